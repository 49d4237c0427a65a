"""What is written to an upstream, no faster than it reads."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Final

from gateway.errors import UpstreamFailed

if TYPE_CHECKING:
    import asyncio

    from gateway.errors import GatewayError
    from gateway.service.upstream.times import TimeLimits

__all__ = ["Outflow", "something_came"]

_JOIN_UP_TO: Final = 64 * 1024  # a larger piece is not copied to stand between its chunk size and its end


class Outflow:
    """Writes to a transport for one writer. `seconds` is how long the other side may take nothing."""

    __slots__ = ("_full", "_loop", "_seconds", "_times", "_waiter", "transport")

    def __init__(self, loop: asyncio.AbstractEventLoop, times: TimeLimits, seconds: float) -> None:
        self.transport: asyncio.Transport | None = None  # while the connection is open
        self._loop = loop
        self._times = times
        self._seconds = seconds
        self._full = False
        self._waiter: asyncio.Future[None] | None = None

    def write(self, piece: bytes, *more: bytes) -> None:
        """Write bytes. Raises `UpstreamFailed` if the connection is gone."""
        transport = self.transport
        if transport is None or transport.is_closing():
            raise UpstreamFailed("The connection to the query API behind the gateway is gone.", reason="broke_off")
        if not more:
            transport.write(piece)
        elif len(more[0]) > _JOIN_UP_TO:
            transport.writelines((piece, *more))
        else:
            transport.write(b"".join((piece, *more)))

    async def drained(self) -> None:
        """Wait while the other side reads slowly. Raises `UpstreamFailed` if it takes nothing, or is gone."""
        if not self._full:
            return
        waiter = self._waiter = self._loop.create_future()
        self._times.written_by(self._seconds)
        try:
            await waiter
        finally:
            self._waiter = None
            self._times.write_by = 0.0

    def pause(self) -> None:
        """The other side reads slowly."""
        self._full = True

    def resume(self) -> None:
        """It has read."""
        self._full = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def fail(self, error: GatewayError) -> None:
        """It will never read."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)


def something_came(transport: asyncio.Transport) -> bool:
    """Whether there are bytes, or an end, that the loop has not read yet."""
    poller = select.poll()
    poller.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(poller.poll(0))
