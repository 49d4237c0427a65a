"""The SDK's front door: handlers, and the forms in which they can be served."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.receiver.asgi import AsgiApplication
from gateway.receiver.enrolment import Enrolment
from gateway.receiver.messages import Headers, HttpReply, Request
from gateway.receiver.metrics import ReceiverMetrics
from gateway.receiver.reception import ORIGIN, Reception, ReceptionSettings
from gateway.receiver.routing import Handler, Routing
from gateway.receiver.running import Runner
from gateway.receiver.seen import MemorySeen
from gateway.receiver.verification import Verifier

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterable
    from contextlib import AbstractAsyncContextManager

    from aiohttp import web

    from gateway.receiver.control.hooks import HookRequest
    from gateway.receiver.messages import HeadersLike
    from gateway.receiver.routing import HandlerFunction
    from gateway.receiver.seen import SeenMessages

    F = TypeVar("F", bound=HandlerFunction)

__all__ = ["HookReceiver"]

DEFAULT_HOOK = "hook"


class HookReceiver:
    """Receives the calls of hooks: verifies them, lets a handler answer, signs the reply.

    ```python
    receiver = HookReceiver(secrets=[os.environ["HOOK_SECRET"]])

    @receiver.transform("search")
    def note(call):
        with call.edit() as result:
            result["note"] = "seen"
    ```

    Serve it with `run`, as `asgi`, as `aiohttp_app()`, or call `reply` with what another server received.
    `secrets` (`whsec_…`), `public_keys` (`whpk_…`) and `signing_keys` (`whsk_…`) are those of `Verifier`; `settings`
    has the limits and paths. `seen` remembers messages; several processes may share one of their own. `now` gives
    seconds since 1970, `clock` never steps. Raises `ConfigError` without a key, or for one that is none.
    """

    def __init__(
        self,
        secrets: Iterable[str] = (),
        *,
        public_keys: Iterable[str] = (),
        signing_keys: Iterable[str] = (),
        settings: ReceptionSettings | None = None,
        tolerance_seconds: float = 300.0,
        seen: SeenMessages | None = None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings or ReceptionSettings()
        self._verifier = Verifier(
            secrets,
            public_keys=public_keys,
            signing_keys=signing_keys,
            tolerance_seconds=tolerance_seconds,
            now=now,
        )
        self._routing = Routing()
        self._enrolment: Enrolment | None = None
        self._clock = clock
        self.metrics = ReceiverMetrics()
        self._reception = Reception(
            self._routing,
            self._verifier,
            MemorySeen(seconds=self._verifier.window_seconds) if seen is None else seen,
            self.metrics,
            self._settings,
            now=now,
            clock=clock,
            state=self.state,
        )
        self._runner = Runner(self._reception, self.metrics, clock=clock)

    # ------------------------------------------------------------ handlers

    def transform(
        self, *types: str, capability: str | None = None, hook: str = DEFAULT_HOOK, max_age: int | None = None
    ) -> Callable[[F], F]:
        """Let the decorated function answer calls for queries of these types (without one: of any type).

        `capability` limits it to queries that name this one; of several handlers that fit, the most specific answers:
        type and capability, then type, then capability, then any. `hook` is the hook that it belongs to: each is
        called on its own. `max_age` seconds is how long answers may be used again, where they do not say it themselves.
        The function, a coroutine or not, takes a `Call`; it returns the new result, one of `unchanged`, `json_patch`,
        `merge_patch`, `replace`, `reject` and `try_later`, or nothing: then the answer is what it edited.
        Raises `ConfigError` if there is a handler for the same calls already.
        """

        def add(function: F) -> F:
            for each in types or (None,):
                self._routing.add(Handler(function, hook, each, capability, max_age))
            return function

        return add

    def default(self, function: F) -> F:
        """Let the decorated function answer every call that no other handler fits. Without one, that is 204."""
        return self.transform()(function)

    def hook(self, declaration: HookRequest) -> None:
        """Say more of a hook than follows from its handlers: path, order, time limit and so on, as the API has it."""
        self._routing.declare(declaration)

    def declarations(self) -> list[HookRequest]:
        """All hooks, as `PUT /v1/hooks` takes them. Raises `ConfigError` for a hook without a handler."""
        return self._routing.declarations()

    # ------------------------------------------------------------ life cycle

    def enrol(
        self,
        control_url: str,
        api_key: str,
        *,
        lease_seconds: float | None = 60.0,
        disable_at_end: bool = True,
        drain_seconds: float = 15.0,
    ) -> None:
        """While this receiver is served, declare its hooks at the gateway, enable them, and renew their lease.

        At the end they are disabled, and at most `drain_seconds` pass until no call is in flight; with several servers
        for one integration, say `disable_at_end=False` and let the lease end. A gateway that is down is asked again.
        """
        self._enrolment = Enrolment(
            control_url,
            api_key,
            self.declarations,
            self.metrics,
            lease_seconds=lease_seconds,
            disable_at_end=disable_at_end,
            drain_seconds=drain_seconds,
        )

    @asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """While the context is open, the hooks are enrolled, if `enrol` was called."""
        try:
            if self._enrolment is None:
                yield
            else:
                async with self._enrolment.lasting():
                    yield
        finally:
            self._runner.close()

    def state(self) -> dict[str, Any]:
        """How the receiver is: what `GET /healthz` says."""
        enrolled = "not asked for" if self._enrolment is None else self._enrolment.state
        return {"status": "ok", "hooks": self._routing.hooks, "enrolment": enrolled}

    # ------------------------------------------------------------ forms

    @property
    def asgi(self) -> AsgiApplication:
        """The receiver as an ASGI application, lifespan included."""
        return AsgiApplication(self)

    def aiohttp_app(self) -> web.Application:
        """The receiver as an aiohttp application; it can be a sub-application too."""
        from gateway.receiver.aiohttp_form import aiohttp_application

        return aiohttp_application(self)

    def serving(
        self, host: str = "127.0.0.1", port: int = 0, *, ssl_context: ssl.SSLContext | None = None
    ) -> AbstractAsyncContextManager[str]:
        """Serve until the context ends; yields the URL. Port 0 is any free one. Raises `ListenFailed`."""
        from gateway.receiver.aiohttp_form import serving

        return serving(self, host, port, ssl_context=ssl_context)

    def run(
        self,
        host: str = "127.0.0.1",
        port: int = 9100,
        *,
        ssl_context: ssl.SSLContext | None = None,
        control_url: str | None = None,
        api_key: str | None = None,
    ) -> None:
        """Serve until SIGTERM or SIGINT. With `control_url` and `api_key`, as after `enrol`. Raises `ListenFailed`."""
        from gateway.receiver.aiohttp_form import run

        if control_url is not None and api_key is not None:
            self.enrol(control_url, api_key)
        asyncio.run(run(self, host, port, ssl_context=ssl_context))

    def __call__(
        self, headers: HeadersLike, body: bytes, *, method: str | None = None, path: str | None = None
    ) -> HttpReply:
        """The reply to a request that something else received, without an event loop: for WSGI and serverless.

        Without a `method`, a request with `WebHook-Request-Origin` is the ownership handshake, and any other a POST.
        With more hooks than one, their paths tell them apart, so give the `path`. Raises `ConfigError` only, where a
        handler is a coroutine and an event loop runs in this thread.
        """
        admitted = self._reception.admit(self._request(headers, body, method, path))
        return admitted if isinstance(admitted, HttpReply) else self._runner.run_now(admitted)

    async def reply(
        self, headers: HeadersLike, body: bytes, *, method: str | None = None, path: str | None = None
    ) -> HttpReply:
        """The same in an event loop."""
        return await self.answer(self._request(headers, body, method, path))

    async def answer(self, request: Request) -> HttpReply:
        """The reply to a request."""
        admitted = self._reception.admit(request)
        return admitted if isinstance(admitted, HttpReply) else await self._runner.run(admitted)

    def verify(self, headers: HeadersLike, body: bytes) -> str:
        """The id of the message, if it is authentic and fresh; raises `WebhookRefused` otherwise, and nothing else."""
        return self._verifier.verify(Headers(headers), body)

    # ------------------------------------------------------------ as gateway.receiver.server.Server

    @property
    def max_body_bytes(self) -> int:
        """The largest body that is read."""
        return self._settings.max_body_bytes

    @property
    def clock(self) -> Callable[[], float]:
        """The clock by which deadlines are told."""
        return self._clock

    def too_large(self) -> HttpReply:
        """The reply to a request whose body is larger than `max_body_bytes`."""
        return self._reception.too_large()

    def _request(self, headers: HeadersLike, body: bytes, method: str | None, path: str | None) -> Request:
        arrived = self._clock()
        given = Headers(headers)
        if method is None:
            method = "OPTIONS" if given(ORIGIN) is not None and given("webhook-signature") is None else "POST"
        return Request(method, None if path is None else path.partition("?")[0], given, bytes(body), arrived)
