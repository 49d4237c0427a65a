"""The client's side of a connection that has left HTTP."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from gateway.service.front.refusal import ClientGone

if TYPE_CHECKING:
    import asyncio

    from gateway.service.front.connection import Connection

__all__ = ["ClientTunnel"]

_HIGH: Final = 64 * 1024


class ClientTunnel:
    """Bytes from and to the client after 101 (Switching Protocols); implements `messages.Tunnel`."""

    __slots__ = ("_connection", "_ended", "_held", "_pieces", "_waiter", "closed", "received", "sent")

    def __init__(self, connection: Connection, first: bytes) -> None:
        self.received = len(first)
        self.sent = 0
        self.closed = False  # by the handler
        self._connection = connection
        self._pieces: deque[bytes] = deque([first] if first else [])
        self._held = len(first)
        self._ended = False
        self._waiter: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        """The next bytes; empty once the client has ended its sending."""
        while not self._pieces:
            if self._ended:
                return b""
            if self._waiter is not None:
                raise RuntimeError("a tunnel has one reader")
            self._waiter = self._connection.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        piece = self._pieces.popleft()
        self._held -= len(piece)
        if self._held < _HIGH and not self._ended:
            self._connection.want_more()
        return piece

    async def write(self, piece: bytes) -> None:
        """Send bytes; waits while the client reads slowly. Raises `ClientGone` if it is gone."""
        connection = self._connection
        if connection.lost:
            raise ClientGone
        self.sent += len(piece)
        connection.write(piece)
        if connection.slow:
            await connection.writable()

    def write_eof(self) -> None:
        """End one's own sending."""
        self._connection.write_eof()

    def close(self) -> None:
        """Close the connection once what was written is sent."""
        self.closed = True
        self._connection.close()

    # ------------------------------------------------------------ the connection's side

    @property
    def is_full(self) -> bool:
        """Whether the reader should catch up before more is read from the socket."""
        return self._held >= _HIGH

    def feed(self, data: bytes) -> None:
        """Bytes from the client."""
        self.received += len(data)
        self._held += len(data)
        self._pieces.append(data)
        self._wake()

    def end(self) -> None:
        """The client sends no more."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
