"""The sending side of a connection: no faster than the client reads, and not for ever."""

from __future__ import annotations

import asyncio
import select
import socket
import struct
from math import inf
from typing import TYPE_CHECKING, Final, cast

from gateway.service.front.refusal import ClientGone

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.transport.write_round import WriteRound

__all__ = ["Outgoing"]

_RESET: Final = struct.pack("ii", 1, 0)  # linger for no time: what is unsent is lost, and the other side is told


class Outgoing(asyncio.Protocol):
    """What `Connection` is built on: its transport, what is unsent, and how it ends."""

    __slots__ = (
        "_clock", "_closing", "_held", "_transport", "_unsent", "_write_deadline", "_write_seconds", "_writers", "loop",
        "lost", "slow",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float], write_seconds: float) -> None:
        self.loop = loop
        self.lost = False  # nothing more can be sent
        self.slow = False  # what was written is not yet taken
        self._clock = clock
        self._closing = False  # no more is begun on this connection
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._held: tuple[bytes, ...] = ()  # whole answers, which go out at the end of this round of the loop
        self._unsent = 0
        self._write_deadline = inf
        self._write_seconds = write_seconds
        self._writers: list[asyncio.Future[None]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open (after the TLS handshake, if there is one)."""
        self._transport = cast("asyncio.Transport", transport)

    def pause_writing(self) -> None:
        """The client reads more slowly than it is written to."""
        self.slow = True
        self._watch_writing()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.slow = False
        if not self._closing:
            self._write_deadline = inf
        for writer in self._writers:
            if not writer.done():
                writer.set_result(None)
        self._writers.clear()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  however it ended, it is over
        """The connection is gone."""
        self.lost = True
        self._held = ()
        self._write_deadline = inf
        for writer in self._writers:
            if not writer.done():
                writer.set_exception(ClientGone())
        self._writers.clear()

    def write(self, data: bytes) -> None:
        """Send bytes; those for a client that is gone are dropped."""
        if self._held:
            self.flush()
        if not (self.lost or self._transport.is_closing()):
            self._transport.write(data)

    def write_all(self, pieces: tuple[bytes, ...]) -> None:
        """Send pieces in one go, without a copy of them where the event loop can; as `write` else."""
        if self._held:
            self.flush()
        if not (self.lost or self._transport.is_closing()):
            self._transport.writelines(pieces)

    def hold(self, pieces: tuple[bytes, ...], writes: WriteRound) -> None:
        """Send pieces in one go, together with those of other connections, at the end of this round of the loop."""
        if not self._held:
            writes.add(self, self.loop)
        self._held += pieces

    def flush(self) -> None:
        """Send what is held."""
        held = self._held
        self._held = ()
        if held and not (self.lost or self._transport.is_closing()):
            if len(held) == 1:
                self._transport.write(held[0])
            else:
                self._transport.writelines(held)

    async def writable(self) -> None:
        """Wait until the client has caught up. Raises `ClientGone`."""
        while self.slow:
            if self.lost:
                raise ClientGone
            writer = self.loop.create_future()
            self._writers.append(writer)
            await writer

    def write_eof(self) -> None:
        """End one's own sending; with TLS, which has no such thing, the connection."""
        self.flush()
        if self.lost or self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self.close()

    def something_came(self) -> bool:
        """Whether there are bytes, or an end, that the loop has not read yet."""
        sock = self._transport.get_extra_info("socket")
        if self.lost or sock is None or sock.fileno() < 0:
            return False
        poller = select.poll()
        poller.register(sock.fileno(), select.POLLIN)
        return bool(poller.poll(0))

    def close(self) -> None:
        """Close the connection once what was written is sent."""
        self.flush()
        if not (self.lost or self._transport.is_closing()):
            self._closing = True
            self._watch_writing()
            self._transport.close()

    def abort(self, *, reset: bool = False) -> None:
        """Close the connection at once; with a `reset` where an end alone would say that all was sent."""
        self._closing = True
        self.flush()  # answers to requests before this one are whole
        if self.lost:
            return
        if reset:
            sock = self._transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    def check_writing(self, now: float) -> None:
        """Break off if the client has taken nothing for too long."""
        if self._write_deadline != inf:
            if self._transport.get_write_buffer_size() != self._unsent:
                self._watch_writing()
            elif now >= self._write_deadline:
                self.abort()

    def _watch_writing(self) -> None:
        """From now on, the client has to take some of what was written."""
        self._unsent = self._transport.get_write_buffer_size()
        self._write_deadline = self._clock() + self._write_seconds
