"""Calls of one hook, brought to a place that can only call out: who develops a hook asks for them, and answers.

A listener asks again and again (long polling) for the calls of one hook and posts its replies. In mode `live` they are
answered by it instead of the hook's URL; in mode `shadow` the hook's URL answers, and the listener gets a copy; in mode
`replayed` it gets only recorded calls that are sent again. A listener that stops asking is forgotten, and calls go
where they always went.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextvars import ContextVar
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.errors import Conflict, ConnectFailed, ReplyTooLarge, TimedOut
from gateway.model.ids import random_id
from gateway.observe.log import get_logger
from gateway.transport.protocol import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from gateway.transport.protocol import Endpoint, Limits, Transport

__all__ = ["REPLAYED", "ListenMode", "ListenedCall", "Listener", "Listeners", "ListeningTransport"]

log = get_logger("pipeline")

REPLAYED: Final[ContextVar[bool]] = ContextVar("REPLAYED", default=False)
"""Whether the call that is being made is a recorded one that is sent again."""

MOST_CALLS: Final = 100  # that wait for a listener, or for its replies
MOST_BYTES: Final = 32 * 1024 * 1024
FORGOTTEN_SECONDS: Final = 15.0


class ListenMode(StrEnum):
    """What a listener gets, and whether its answers count."""

    LIVE = "live"
    SHADOW = "shadow"
    REPLAYED = "replayed"


class ListenedCall(NamedTuple):
    """One call as it is brought to a listener.

    `at` in seconds since 1970, `timeout` in seconds from then. `answers`: whether its reply is waited for.
    """

    ident: str
    at: float
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    timeout: float
    answers: bool


class Listener:
    """One who listens to one hook. For one event loop."""

    def __init__(self, hook_id: str, mode: ListenMode, clock: Callable[[], float], now: Callable[[], float]) -> None:
        self.id: Final = random_id("lsn")
        self.hook_id: Final = hook_id
        self.mode: Final = mode
        self._clock = clock
        self._now = now
        self._calls: deque[ListenedCall] = deque()
        self._bytes = 0
        self._came = asyncio.Event()
        self._waiting: dict[str, asyncio.Future[Response]] = {}
        self._asking = 0
        self._until = clock() + FORGOTTEN_SECONDS

    @property
    def is_there(self) -> bool:
        """Whether it asks, or has asked a moment ago."""
        return self._asking > 0 or self._clock() < self._until

    def takes(self, body: bytes) -> bool:
        """Whether there is room for one more call."""
        room = len(self._calls) < MOST_CALLS and len(self._waiting) < MOST_CALLS
        return self.is_there and room and self._bytes + len(body) <= MOST_BYTES

    def bring(self, url: str, headers: Sequence[tuple[str, str]], body: bytes, timeout: float, *, answers: bool) -> str:
        """Bring it a call; its id."""
        call = ListenedCall(random_id("lcl"), self._now(), url, tuple(headers), body, timeout, answers)
        self._calls.append(call)
        self._bytes += len(body)
        self._came.set()
        return call.ident

    async def answer(
        self, url: str, headers: Sequence[tuple[str, str]], body: bytes, deadline: float, limits: Limits
    ) -> Response:
        """Bring it a call and wait for its reply. Raises `CallError`."""
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        ident = self.bring(url, headers, body, max(0.0, deadline - self._clock()), answers=True)
        self._waiting[ident] = future
        try:
            async with asyncio.timeout_at(deadline):
                response = await future
        except TimeoutError:
            raise TimedOut("The deadline passed before the listener had answered.") from None
        finally:
            self._waiting.pop(ident, None)
        if len(response.body) > limits.body:
            raise ReplyTooLarge(f"The listener's reply is larger than {limits.body} bytes.")
        return response

    async def next_calls(self, seconds: float) -> list[ListenedCall]:
        """The calls that have come; waits for one for so long."""
        self._asking += 1
        try:
            if not self._calls:
                self._came.clear()
                try:
                    async with asyncio.timeout(seconds):
                        await self._came.wait()
                except TimeoutError:
                    pass
            calls = list(self._calls)
            self._calls.clear()
            self._bytes = 0
            return calls
        finally:
            self._asking -= 1
            self._until = self._clock() + FORGOTTEN_SECONDS

    def reply(self, ident: str, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> bool:
        """Take a reply; whether anybody still waits for it."""
        future = self._waiting.get(ident)
        if future is None or future.done():
            return False
        lower = [(name.lower(), value) for name, value in headers]
        future.set_result(Response(status, lower, body, len(body)))
        return True

    def end(self) -> None:
        """It listens no more; what waits for it fails at once, as a connection that breaks."""
        self._until = float("-inf")
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectFailed("The listener went away."))


class Listeners:
    """Who listens to which hook: at most one to each. `now` gives seconds since 1970."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._now = now
        self._all: dict[str, Listener] = {}

    def of(self, hook_id: str) -> Listener | None:
        """Who listens to this hook, if anyone does."""
        found = self._all.get(hook_id)
        if found is None or found.is_there:
            return found
        self.leave(found)
        return None

    def join(self, hook_id: str, mode: ListenMode, listener_id: str | None) -> Listener:
        """The listener with this id, or a new one. Raises `Conflict` if another one listens."""
        found = self.of(hook_id)
        if found is not None and found.id == listener_id:
            return found
        if found is not None:
            msg = "Another listener has this hook's calls; end it, or wait until it is forgotten (15 s)."
            raise Conflict(msg)
        made = self._all[hook_id] = Listener(hook_id, mode, self._clock, self._now)
        log.info("listening.began", hook=hook_id, listener=made.id, mode=mode.value)
        return made

    def leave(self, listener: Listener) -> None:
        """It listens no more."""
        if self._all.get(listener.hook_id) is listener:
            del self._all[listener.hook_id]
            log.info("listening.ended", hook=listener.hook_id, listener=listener.id)
        listener.end()


class ListeningTransport:
    """A transport that asks `listeners` first. What it is wrapped around makes every other exchange."""

    def __init__(self, transport: Transport, listeners: Listeners) -> None:
        self._transport = transport
        self._listeners = listeners

    def exchange(
        self,
        endpoint: Endpoint,
        method: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        *,
        deadline: float,
        limits: Limits,
    ) -> Coroutine[Any, Any, Response]:
        """See `gateway.transport.Transport`. The hook is told by the endpoint's pool."""
        listener = self._listeners.of(endpoint.pool)
        if listener is None:  # as always
            return self._transport.exchange(endpoint, method, headers, body, deadline=deadline, limits=limits)
        return self._listened(listener, endpoint, method, headers, body, deadline, limits)

    async def _listened(
        self,
        listener: Listener,
        endpoint: Endpoint,
        method: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        deadline: float,
        limits: Limits,
    ) -> Response:
        wanted = listener.mode is not ListenMode.REPLAYED or REPLAYED.get()
        takes = wanted and listener.takes(body)
        if takes and listener.mode is not ListenMode.SHADOW:
            return await listener.answer(endpoint.url, headers, body, deadline, limits)
        try:
            return await self._transport.exchange(endpoint, method, headers, body, deadline=deadline, limits=limits)
        finally:
            if takes:
                left = deadline - asyncio.get_running_loop().time()
                listener.bring(endpoint.url, headers, body, max(0.0, left), answers=False)

    async def aclose(self) -> None:
        """Close what it is wrapped around."""
        await self._transport.aclose()
