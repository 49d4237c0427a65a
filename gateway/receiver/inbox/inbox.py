"""The inbox itself: lets messages in, and lets them be handled."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeVar

import orjson

from gateway.errors import InboxError, WebhookRefused
from gateway.receiver.asgi import AsgiApplication
from gateway.receiver.inbox.message import Message
from gateway.receiver.inbox.metrics import InboxMetrics
from gateway.receiver.inbox.worker import InboxWorker, WorkerSettings
from gateway.receiver.log import EventLog
from gateway.receiver.messages import Headers, HttpReply, Request, problem
from gateway.receiver.verification import Verifier

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from aiohttp import web

    from gateway.receiver.inbox.store import InboxStore
    from gateway.receiver.inbox.worker import MessageHandler
    from gateway.receiver.messages import HeadersLike

    F = TypeVar("F", bound=MessageHandler)

__all__ = ["Inbox"]

_ORIGIN: Final = "webhook-request-origin"
_KEPT: Final = ("content-type", "webhook-id", "webhook-timestamp", "user-agent", "traceparent", "tracestate")
_KEPT_BEGINNINGS: Final = ("ce-", "x-")
_NOT_KEPT: Final = ("signature", "secret", "token", "authorization", "api-key", "cookie")
_BUSY: Final = (("retry-after", "5"),)

_log = EventLog("inbox")


class Inbox:
    """Takes notifications, keeps them, acknowledges them, and then lets handlers work on them.

    ```python
    inbox = Inbox("inbox.db", [os.environ["SUBSCRIPTION_SECRET"]])

    @inbox.on("order.created")
    async def created(message):
        print(message.value()["data"])
    ```

    `store` is the path of an SQLite file, or an `InboxStore`. `secrets` and `public_keys` are those of `Verifier`.
    A handler may be called more than once for one message, and never at the same time as its time limit lasts:
    it should be safe to repeat, by `message.id`. `now` gives seconds since 1970, `clock` never steps.
    Raises `ConfigError` for keys that cannot be used; `InboxError` where the file cannot, at the first use.
    """

    def __init__(
        self,
        store: InboxStore | Path | str,
        secrets: Iterable[str] = (),
        *,
        public_keys: Iterable[str] = (),
        settings: WorkerSettings | None = None,
        max_body_bytes: int = 1024 * 1024,
        tolerance_seconds: float = 300.0,
        metrics_path: str | None = "/metrics",
        alive_path: str | None = "/healthz",
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._verifier = Verifier(secrets, public_keys=public_keys, tolerance_seconds=tolerance_seconds, now=now)
        self._given = store
        self._opened: InboxStore | None = None
        self._settings = settings or WorkerSettings()
        self._max_body_bytes = max_body_bytes
        self._places = {metrics_path: self._measured, alive_path: self._alive}
        self._now = now
        self._clock = clock
        self._handlers: dict[str | None, MessageHandler] = {}
        self._worker: InboxWorker | None = None
        self.metrics = InboxMetrics()

    # ------------------------------------------------------------ handling

    def on(self, *types: str) -> Callable[[F], F]:
        """Let the decorated function handle messages of these types; without one, of all that no other handles.

        A message without a handler counts as processed. Raise `HandlingFailed` where trying again is of no use.
        """

        def add(function: F) -> F:
            for each in types or (None,):
                self._handlers[each] = function
            return function

        return add

    def handler(self, message: Message) -> MessageHandler | None:
        """What handles the message, if anything does."""
        return self._handlers.get(message.type) or self._handlers.get(None)

    @property
    def store(self) -> InboxStore:
        """Where the messages are. Raises `InboxError`."""
        if self._opened is None:
            from pathlib import Path

            given = self._given
            if isinstance(given, (str, Path)):
                from gateway.receiver.inbox.sqlite import SqliteInboxStore

                self._opened = SqliteInboxStore(given)
            else:
                self._opened = given
        return self._opened

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Handle messages until the context ends, also those that another process takes in. Raises `InboxError`."""
        store = await asyncio.to_thread(lambda: self.store)
        worker = InboxWorker(store, self.handler, self._settings, went=self.metrics.handled, now=self._now)
        async with worker.working():
            self._worker = worker
            try:
                yield
            finally:
                self._worker = None

    @asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """While the context is open, messages are handled, if there is a handler. Raises `InboxError`."""
        async with AsyncExitStack() as stack:
            stack.callback(self.close)
            if self._handlers:
                await stack.enter_async_context(self.working())
            else:
                await asyncio.to_thread(lambda: self.store)
            yield

    def close(self) -> None:
        """Close the file, if it is open; it is opened again when it is needed."""
        if self._opened is not None and self._opened is not self._given:
            self._opened.close()
            self._opened = None

    # ------------------------------------------------------------ forms

    @property
    def asgi(self) -> AsgiApplication:
        """The inbox as an ASGI application; its worker lives with it."""
        return AsgiApplication(self)

    def aiohttp_app(self) -> web.Application:
        """The inbox as an aiohttp application; its worker lives with it."""
        from gateway.receiver.aiohttp_form import aiohttp_application

        return aiohttp_application(self)

    def serving(
        self, host: str = "127.0.0.1", port: int = 0, *, ssl_context: ssl.SSLContext | None = None
    ) -> AbstractAsyncContextManager[str]:
        """Serve until the context ends; yields the URL. Port 0 is any free one. Raises `ListenFailed`."""
        from gateway.receiver.aiohttp_form import serving

        return serving(self, host, port, ssl_context=ssl_context)

    def run(self, host: str = "127.0.0.1", port: int = 9200, *, ssl_context: ssl.SSLContext | None = None) -> None:
        """Serve until SIGTERM or SIGINT. Raises `ListenFailed` and `InboxError`."""
        from gateway.receiver.aiohttp_form import run

        asyncio.run(run(self, host, port, ssl_context=ssl_context))

    def __call__(self, headers: HeadersLike, body: bytes, *, method: str | None = None) -> HttpReply:
        """The reply to a request that something else received, without an event loop. Nothing is handled by this."""
        given = Headers(headers)
        if method is None:
            method = "OPTIONS" if given(_ORIGIN) is not None and given("webhook-signature") is None else "POST"
        admitted = self._admit(Request(method, None, given, bytes(body), self._clock()))
        return admitted if isinstance(admitted, HttpReply) else self._keep(admitted)

    async def answer(self, request: Request) -> HttpReply:
        """The reply to a request: 202 once the message lasts."""
        if request.method in ("GET", "HEAD"):
            return await asyncio.to_thread(self._watched, request)
        admitted = self._admit(request)
        if isinstance(admitted, HttpReply):
            return admitted
        reply = await asyncio.to_thread(self._keep, admitted)
        if self._worker is not None:
            self._worker.wake()
        return reply

    # ------------------------------------------------------------ letting in

    def _admit(self, request: Request) -> Message | HttpReply:
        allow = ("allow", "POST, OPTIONS")
        if request.method == "OPTIONS":
            origin = request.headers(_ORIGIN)
            if origin is None or not (origin.isascii() and origin.isprintable()):
                return HttpReply(204, (allow,))
            return HttpReply(200, (allow, ("webhook-allowed-origin", origin), ("webhook-allowed-rate", "*")))
        if request.method != "POST":
            return problem(405, "Method Not Allowed", "messages are sent by POST").with_headers(allow)
        if len(request.body) > self._max_body_bytes:
            return self.too_large()
        try:
            message_id = self._verifier.verify(request.headers, request.body)
        except WebhookRefused as error:
            _log.warning("inbox.refused", why=error.detail)
            self.metrics.received("refused")
            return problem(401, "Unauthorized", error.detail)
        now = self._now()
        return Message(message_id, _kept(request.headers), request.body, now, due_at=now)

    def _keep(self, message: Message) -> HttpReply:
        try:
            is_new = self.store.add(message)
        except InboxError as error:
            _log.error("inbox.not_kept", id=message.id, why=error.detail)
            self.metrics.received("not_kept")
            return problem(503, "Service Unavailable", "the message could not be kept").with_headers(*_BUSY)
        self.metrics.received("new" if is_new else "known")
        return self._verifier.signed(message.id, HttpReply(202))

    def too_large(self) -> HttpReply:
        """The reply to a request whose body is larger than `max_body_bytes`."""
        self.metrics.received("too_large")
        return problem(413, "Content Too Large", f"the body is larger than {self._max_body_bytes} bytes")

    def _watched(self, request: Request) -> HttpReply:
        for place, show in self._places.items():
            if place is not None and request.path is not None and request.path.endswith(place):
                try:
                    return show()
                except InboxError as error:
                    return problem(503, "Service Unavailable", error.detail)
        return problem(404, "Not Found", "there is nothing at this path")

    def _alive(self) -> HttpReply:
        state = {"status": "ok", "messages": self.store.counts()._asdict(), "working": self._worker is not None}
        return HttpReply(200, (("content-type", "application/json"),), orjson.dumps(state))

    def _measured(self) -> HttpReply:
        self.metrics.waiting(self.store.counts())
        return HttpReply(200, (("content-type", self.metrics.content_type),), self.metrics.text())

    # ------------------------------------------------------------ as gateway.receiver.server.Server

    @property
    def max_body_bytes(self) -> int:
        """The largest body that is read."""
        return self._max_body_bytes

    @property
    def clock(self) -> Callable[[], float]:
        """The clock by which arrivals are told."""
        return self._clock


def _kept(headers: Headers) -> tuple[tuple[str, str], ...]:
    """The headers that are kept with a message: none that may hold a secret."""
    return tuple(
        (name, value)
        for name, value in headers.items()
        if name in _KEPT or (name.startswith(_KEPT_BEGINNINGS) and not any(word in name for word in _NOT_KEPT))
    )
