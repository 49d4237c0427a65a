"""Sending the body of a request to an upstream while its answer may come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.errors import GatewayError, UpstreamFailed
from gateway.service.upstream.request import written_trailers

if TYPE_CHECKING:
    from gateway.service.messages import Body
    from gateway.service.upstream.connection import Connection

__all__ = ["COLLECTED", "BytesBody", "collected", "upload"]

COLLECTED: Final = 64 * 1024  # bytes; a body up to this length is sent in one write with its head
_PIECE: Final = 128 * 1024
_GO_AHEAD: Final = 1.0  # seconds; RFC 9110, section 10.1.1: nobody waits for ever for a 100


class BytesBody:
    """Bytes as a body, in pieces that a slow upstream can take one by one."""

    __slots__ = ("_at", "_data", "length", "trailers")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self.length: int | None = len(data)
        self.trailers: list[tuple[bytes, bytes]] = []

    async def read(self) -> bytes:
        """The next piece."""
        piece = self._data[self._at : self._at + _PIECE]
        self._at += len(piece)
        return piece


async def collected(body: Body, length: int) -> bytes:
    """All of a small body. Raises what it raises, and `UpstreamFailed` if it is not as long as it said."""
    pieces = []
    left = length
    while left > 0:
        piece = await body.read()
        if not piece:
            break
        pieces.append(piece)
        left -= len(piece)
    if left:
        raise _other_length()
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def upload(connection: Connection, body: Body, go_ahead: asyncio.Future[None] | None) -> None:
    """Send `body` on `connection`, chunked if its length is not known. If it breaks off, so does the exchange.

    With `go_ahead`, the upstream was asked whether it wants the body: it is sent when that is done, or after a second.
    """
    error: GatewayError = UpstreamFailed("The body of the request could not be sent on.")
    try:
        if go_ahead is not None:
            await asyncio.wait((go_ahead,), timeout=_GO_AHEAD)
        await _send(connection, body)
        connection.uploaded()
    except GatewayError as told:
        error = told
    finally:
        connection.upload_failed(error)  # of no effect if it went well


async def _send(connection: Connection, body: Body) -> None:
    left = body.length
    if left is None:
        while piece := await body.read():
            connection.out.write(b"%x\r\n" % len(piece), piece, b"\r\n")
            await connection.out.drained()
        connection.out.write(written_trailers(body.trailers))
        return
    while left > 0:
        piece = await body.read()
        left -= len(piece)
        if not piece or left < 0:
            raise _other_length()
        connection.out.write(piece)
        await connection.out.drained()


def _other_length() -> UpstreamFailed:
    return UpstreamFailed("The body of the request is not as long as its head says.", reason="protocol")
