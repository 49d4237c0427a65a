"""One HTTP/1.1 connection: writes a request, waits for its response, and keeps the deadline."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Final, cast

from gateway.errors import CallError, ConnectFailed, ProtocolViolated, TimedOut, TlsFailed
from gateway.transport.reading import ResponseReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.transport.buffers import ReplyBuffers
    from gateway.transport.protocol import Limits, PoolKey, Response
    from gateway.transport.write_round import WriteRound

__all__ = ["Connection"]

_JOIN_UP_TO: Final = 64 * 1024  # a larger body is not copied behind the head: the socket gets both in one go
_TIMER_SLACK: Final = 0.001  # seconds; uvloop's clock ticks in milliseconds


class Connection(asyncio.Protocol):
    """An open connection that does one exchange at a time, over and over.

    `on_idle` is called when a response is complete and another exchange may follow; `on_lost` when the
    connection is gone. Between exchanges any byte from the other side closes it: an
    answer that nobody asked for must never meet the next question.
    """

    __slots__ = (
        "_deadline",
        "_held",
        "_loop",
        "_on_idle",
        "_on_lost",
        "_reader",
        "_timer",
        "_timer_at",
        "_transport",
        "_waiter",
        "_writes",
        "key",
        "usable",
        "used_at",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        key: PoolKey,
        on_idle: Callable[[Connection], None],
        on_lost: Callable[[Connection], None],
        buffers: ReplyBuffers,
        writes: WriteRound,
    ) -> None:
        self.key = key
        self.usable = False  # open, and nothing has happened that forbids another exchange
        self.used_at = 0.0  # loop time; for the pool
        self._loop = loop
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._reader = ResponseReader(buffers, key[0])
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Response] | None = None
        self._writes = writes
        self._held: tuple[bytes, bytes] | None = None  # head and body of a request that is not written yet
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._deadline = 0.0

    @property
    def began(self) -> bool:
        """Whether a byte of the response to the present request has come."""
        return self._reader.began

    def send(
        self, head: bytes, body: bytes, deadline: float, limits: Limits, *, together: bool
    ) -> asyncio.Future[Response]:
        """Write one request; the future gets its response, or a `CallError`, not later than `deadline`.

        Requests that go out `together` are written at the end of this round of the loop. Whoever cancels the wait calls
        `give_up` with the future.
        """
        self._reader.begin(limits)
        waiter = self._waiter = self._loop.create_future()
        self._deadline = deadline
        if self._timer is None or self._timer_at > deadline:
            self._arm(deadline)
        if self._transport is None:
            self.fail(ConnectFailed("The connection closed before the request was sent."))
        elif together:
            self._held = (head, body)
            self._writes.add(self, self._loop)
        else:
            self._write(self._transport, head, body)
        return waiter

    def flush(self) -> None:
        """Write the request that is held back, if the connection is still there."""
        held = self._held
        if held is not None:
            self._held = None
            if self._transport is not None and not self._transport.is_closing():
                self._write(self._transport, *held)

    def _write(self, transport: asyncio.Transport, head: bytes, body: bytes) -> None:
        if len(body) > _JOIN_UP_TO:
            transport.writelines((head, body))
        else:
            transport.write(head + body)

    def give_up(self, waiter: asyncio.Future[Response]) -> None:
        """The caller no longer waits for `waiter`: close, unless its response was complete already."""
        if waiter.done() and not waiter.cancelled():
            waiter.exception()  # looked at, so that the loop does not report it as forgotten
        if self._waiter is waiter:
            self._waiter = None
            self.abort()

    def fail(self, error: CallError) -> None:
        """Close at once; an exchange in flight ends with `error`."""
        waiter = self._waiter
        self._waiter = None
        self.abort()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def abort(self) -> None:
        """Close at once. An exchange in flight fails when the connection is lost."""
        self.usable = False
        self._held = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()

    # ------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open (after the TLS handshake, if there is one)."""
        self._transport = cast("asyncio.Transport", transport)
        self.usable = True

    def data_received(self, data: bytes) -> None:
        """Bytes of the response, or bytes that nobody asked for."""
        waiter = self._waiter
        if waiter is None or self._held is not None:  # nobody asked for it, or not yet
            self.abort()
            return
        try:
            response = self._reader.feed(data)
        except CallError as error:
            self.fail(error)
            return
        if response is not None:
            self._succeed(waiter, response)

    def eof_received(self) -> None:
        """The other side sends no more: that is the end of a body without a length."""
        self.usable = False
        if self._waiter is not None and self._reader.until_close:
            try:
                response = self._reader.finish()
            except CallError as error:
                self.fail(error)
            else:
                self._succeed(self._waiter, response)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, by us, by an orderly end or by a reset (`exc`)."""
        self.abort()
        self._transport = None
        self._reader.close()
        self._on_lost(self)
        if self._waiter is None:
            return
        if isinstance(exc, ssl.SSLError):  # since TLS 1.3, a client certificate is judged after the handshake
            why = (exc.reason or "no reason given").replace("_", " ").lower()
            self.fail(TlsFailed(f"The other side ended the TLS connection: {why}."))
            return
        how = "closed" if exc is None else "reset"
        if not self._reader.began:
            self.fail(ConnectFailed(f"The connection was {how} before a reply began."))
        else:
            where = "head" if self._reader.in_head else "body"
            self.fail(ProtocolViolated(f"The connection was {how} in the middle of the reply's {where}."))

    # ------------------------------------------------------------ the end of an exchange

    def _succeed(self, waiter: asyncio.Future[Response], response: Response) -> None:
        self._waiter = None
        if waiter.done():  # given up in this very turn of the loop
            self.abort()
            return
        transport = self._transport
        # Bytes that are still unsent belong to a request that was answered before it was read.
        if self._reader.keep and self.usable and transport is not None and not transport.get_write_buffer_size():
            self._on_idle(self)
        else:
            self.abort()
        waiter.set_result(response)

    def _arm(self, deadline: float) -> None:
        """See to it that a timer fires at `deadline` or before.

        A timer is left running after its exchange and serves the next ones: with deadlines that only move
        on, a busy connection makes one timer per time limit instead of one per call.
        """
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        if self._deadline - self._loop.time() > _TIMER_SLACK:
            self._arm(self._deadline)
        elif not self._reader.began:
            self.fail(TimedOut("The deadline passed before a reply began."))
        else:
            self.fail(TimedOut("The deadline passed before the reply was complete."))
