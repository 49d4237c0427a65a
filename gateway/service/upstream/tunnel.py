"""A connection to an upstream that has left HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.service.upstream.answer import AnswerBody
    from gateway.service.upstream.connection import Connection

__all__ = ["UpstreamTunnel"]


class UpstreamTunnel:
    """Bytes both ways, with backpressure both ways; silence has no limit."""

    __slots__ = ("_connection", "_stream")

    def __init__(self, connection: Connection, stream: AnswerBody) -> None:
        self._connection = connection
        self._stream = stream

    async def read(self) -> bytes:
        """The next bytes; empty once the upstream has ended its sending. Raises `UpstreamFailed`."""
        return await self._stream.read()

    async def write(self, piece: bytes) -> None:
        """Send bytes; waits while the upstream reads slowly. Raises `UpstreamFailed` if it is gone."""
        self._connection.out.write(piece)
        await self._connection.out.drained()

    def write_eof(self) -> None:
        """End one's own sending. Over TLS that ends both ways, so there it is left to `close`."""
        self._connection.write_eof()

    def close(self) -> None:
        """Close, after what was written is sent."""
        self._connection.close()
