"""The middleware: pure ASGI, for HTTP requests; everything else passes as it is."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Final

from gateway import GatewayError, HookFailed, QueryRejected, Result
from gateway.observe.log import get_logger
from gateway.pipeline.debug import HEADER
from gateway.pipeline.http_answer import CONDITIONS, failure, head_after_hooks, is_result
from gateway.pipeline.http_query import type_by_path
from gateway_asgi.keeper import Keeper
from gateway_asgi.request import Request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gateway import Answer, Gateway, Query, Settings
    from gateway.service.embedding import Prepare
    from gateway_asgi.request import Application, Message, Receive, Scope, Send

    QueryOf = Callable[[Request], Query | Awaitable[Query | None] | None]

__all__ = ["HooksMiddleware"]

log = get_logger("asgi")

_DEBUG: Final = HEADER.encode()
_NOT_ON: Final = CONDITIONS | {HEADER}


class HooksMiddleware:
    """Runs the JSON answers of `app` through the hooks.

    `query_of(request)` says which query a request asks, or `None` for one that asks none; instead of a function,
    a table does: `{"/search": "search", "/items/*": "items"}` by path, the parameters of the URL being the query's.

    `gateway` is one that is open already. Without it, the middleware opens one with `settings` (all defaults without
    them) when the application starts, or at the first request where the server has no lifespan, and closes it when the
    application ends. `prepare(gateway)`, plain or async, is called once it is open: there integrations and hooks can
    be declared in code. `control` serves the control API on the address of the setting `control.listen`.

    Only uncompressed JSON answers with status 200 are results; put it inside of compression. Results up to the
    setting `calls.max_result_bytes` are held in memory while hooks run; larger ones pass on with `skipped: size`.
    Answers that no hook is enabled for are not held at all.
    """

    def __init__(
        self,
        app: Application,
        query_of: QueryOf | Mapping[str, str],
        *,
        gateway: Gateway | None = None,
        settings: Settings | None = None,
        prepare: Prepare | None = None,
        control: bool = False,
    ) -> None:
        if gateway is not None and (settings is not None or prepare is not None or control):
            raise TypeError("give either an open gateway, or settings (and prepare, control) for one to be opened")
        self.app = app
        self._query_of = query_of if callable(query_of) else _by_path(query_of)
        self._given = gateway
        self._settings = settings
        self._prepare = prepare
        self._control = control
        self._keeper: Keeper | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI has it."""
        if scope["type"] == "lifespan" and self._given is None:
            await self._lifespan(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _gateway(self) -> Gateway:
        if self._given is not None:
            return self._given
        if self._keeper is None:
            self._keeper = Keeper(self._settings, prepare=self._prepare, control=self._control)
        return await self._keeper.gateway()

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Open the gateway before the application starts, close it after it has ended; also if it has no lifespan."""
        started = await receive()
        try:
            await self._gateway()
        except GatewayError as error:
            await send({"type": "lifespan.startup.failed", "message": error.detail})
            return
        asked = False

        async def received() -> Message:
            nonlocal asked
            if not asked:
                asked = True
                return started
            return await receive()

        async def sent(message: Message) -> None:
            if message["type"] in {"lifespan.shutdown.complete", "lifespan.shutdown.failed"}:
                await self._close()
            await send(message)

        try:
            try:
                await self.app(scope, received, sent)
            except Exception:
                if asked:
                    raise
                await send({"type": "lifespan.startup.complete"})  # it knows no lifespan, and need not
                await receive()
                await sent({"type": "lifespan.shutdown.complete"})
        finally:
            await self._close()

    async def _close(self) -> None:
        if self._keeper is not None:
            await self._keeper.aclose()
            self._keeper = None

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        query = self._query_of(request)
        if inspect.isawaitable(query):
            query = await query
        if query is None:
            await self.app(scope, request.replay, send)
            return
        try:
            gateway = await self._gateway()
        except GatewayError as error:  # no lifespan told of it; the answer is what it is without hooks
            log.error("gateway.not_open", error=type(error).__name__, detail=error.detail)  # noqa: TRY400  # no trace
            await self.app(scope, request.replay, send)
            return
        if not gateway.registry.snapshot.select(query.type, query.capability, query.tenant):
            await self.app(scope, request.replay, send)
            return
        whole = [(name, value) for name, value in scope["headers"] if name.decode("latin-1").lower() not in _NOT_ON]
        debug = next((value.decode("latin-1") for name, value in scope["headers"] if name.lower() == _DEBUG), None)
        answer = _Answer(gateway, query, request.method, send, debug)
        await self.app({**scope, "headers": whole}, request.replay, answer.send)


class _Answer:
    """Takes what the application sends for one query, and sends on what becomes of it."""

    def __init__(self, gateway: Gateway, query: Query, method: str, send: Send, debug: str | None) -> None:
        self._gateway = gateway
        self._debug = debug
        self._query = query
        self._method = method
        self._send = send
        self._start: Message | None = None  # held until the body is whole
        self._held = bytearray()
        self._failed = False  # what the application goes on to send is of no use any more

    async def send(self, message: Message) -> None:
        """Take the next message of the application."""
        if self._failed:
            return
        if message["type"] == "http.response.start":
            if self._holds_result(message):
                self._start = message
                return
        elif self._start is not None and message["type"] == "http.response.body":
            await self._take(self._start, message)
            return
        elif self._start is not None:  # an extension that bypasses the body, such as pathsend
            await self._send(self._start)
            self._start = None
        await self._send(message)

    def _holds_result(self, start: Message) -> bool:
        headers = {name.lower(): value.decode("latin-1") for name, value in start.get("headers", ())}
        kind, encoding = headers.get(b"content-type"), headers.get(b"content-encoding")
        return is_result(self._method, start["status"], kind, encoding)

    async def _take(self, start: Message, message: Message) -> None:
        self._held += message.get("body", b"")
        more = message.get("more_body", False)
        if more and len(self._held) <= self._gateway.settings.calls.max_result_bytes:
            return
        self._start = None
        try:
            answer = await self._through_hooks(start)
        except (HookFailed, QueryRejected) as error:
            self._failed = more
            status, told, body = failure(error)
            await self._send_whole(start, status, [*told.items(), ("content-length", str(len(body)))], body)
            return
        headers = head_after_hooks(_text(start), answer)
        if more:  # skipped for its size: what follows is not known yet, so its length is the application's
            headers = _with_length_of(start, headers)
        await self._send_whole(start, start["status"], headers, answer.result.body, more=more)

    async def _through_hooks(self, start: Message) -> Answer:
        media = next(value for name, value in _text(start) if name.lower() == "content-type")
        result = Result(bytes(self._held), media.partition(";")[0].strip().lower())
        with self._gateway.debug.tracing(self._debug):
            return await self._gateway.chain.run(self._query, result)

    async def _send_whole(
        self, start: Message, status: int, headers: list[tuple[str, str]], body: bytes, *, more: bool = False
    ) -> None:
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await self._send({**start, "status": status, "headers": encoded})
        await self._send({"type": "http.response.body", "body": body, "more_body": more})


def _text(start: Message) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start.get("headers", ())]


def _with_length_of(start: Message, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    lengths = [(name, value) for name, value in _text(start) if name.lower() == "content-length"]
    return [(name, value) for name, value in headers if name.lower() != "content-length"] + lengths


def _by_path(table: Mapping[str, str]) -> Callable[[Request], Query | None]:
    type_of = type_by_path(table)

    def query_of(request: Request) -> Query | None:
        kind = type_of(request.path)
        return None if kind is None else request.query(kind)

    return query_of
