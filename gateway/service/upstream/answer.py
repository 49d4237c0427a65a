"""What an upstream answers: a head, and a body that is read piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.errors import UpstreamFailed
from gateway.service.upstream.tunnel import UpstreamTunnel

if TYPE_CHECKING:
    import asyncio

    from gateway.errors import GatewayError
    from gateway.service.messages import Headers, ResponseHead, Tunnel
    from gateway.service.upstream.connection import Connection

__all__ = ["HELD", "AnswerBody", "UpstreamAnswer", "WholeBody"]

HELD: Final = 256 * 1024  # bytes; with more than this unread, nothing is taken from the socket


class AnswerBody:
    """The body of an answer that is still to come, or the bytes of a connection that has left HTTP. For one reader.

    The connection puts pieces in. It is let go of as soon as the body is whole, and serves other requests then: what
    is held here belongs to this answer alone.
    """

    __slots__ = ("_connection", "_error", "_pieces", "_waiter", "complete", "held", "length", "quiet", "trailers")

    def __init__(self, connection: Connection, length: int | None, *, quiet: bool = False) -> None:
        self.length = length
        self.trailers: Headers = []
        self.complete = False
        self.held = 0  # bytes that came and are not read
        self.quiet = quiet  # may be silent for ever
        self._connection: Connection | None = connection
        self._pieces: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._error: GatewayError | None = None

    async def read(self) -> bytes:
        """The next piece, as soon as there is one; empty at the end. Raises `UpstreamFailed` if it breaks off."""
        while True:
            if self._pieces:
                return self.taken()
            if self.complete:
                return b""
            if self._error is not None:
                raise self._error.with_traceback(None)
            connection = self._connection
            assert connection is not None
            waiter = self._waiter = connection.loop.create_future()
            connection.await_piece(quiet=self.quiet)
            try:
                await waiter
            finally:
                self._waiter = None

    def taken(self) -> bytes:
        """What is held, without waiting for more."""
        pieces = self._pieces
        found = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        if self.held > HELD and self._connection is not None:
            self._connection.read_on()
        self.held = 0
        return found

    # ------------------------------------------------------------ for the connection

    def feed(self, piece: bytes) -> None:
        """Bytes came."""
        self._pieces.append(piece)
        self.held += len(piece)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def end(self) -> None:
        """That is all of it."""
        self.complete = True
        self._connection = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def fail(self, error: GatewayError) -> None:
        """It breaks off here: what is held can still be read, then `error` is raised."""
        self._connection = None
        self._error = error
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class WholeBody:
    """The body of an answer that came as a whole with its head."""

    __slots__ = ("_whole", "held", "length", "trailers")

    complete: Final = True

    def __init__(self, whole: bytes) -> None:
        self.length = self.held = len(whole)  # altogether; not read yet
        self.trailers: Headers = []
        self._whole = whole

    async def read(self) -> bytes:
        """All of it; empty after that."""
        return self.taken()

    def taken(self) -> bytes:
        """All of it; empty after that."""
        whole = self._whole
        self._whole = b""
        self.held = 0
        return whole


class UpstreamAnswer:
    """An answer. Whoever has it calls `release` in any case, or `upgrade` after a 101.

    `head` is as the upstream sent it, with what concerns the connection only still in it. `body` is empty after HEAD
    and for 204 and 304. An interim answer (1xx, but not 101) has another one `following` it.
    """

    __slots__ = ("_connection", "body", "following", "head")

    def __init__(
        self,
        head: ResponseHead,
        body: AnswerBody | WholeBody,
        connection: Connection | None,
        following: asyncio.Future[UpstreamAnswer] | None = None,
    ) -> None:
        self.head = head
        self.body = body
        self.following = following
        self._connection = connection

    async def whole(self, limit: int) -> tuple[bytes, bool]:
        """All of the body and `True`, if it has at most `limit` bytes.

        Otherwise what came of it so far, perhaps nothing, and `False`; `body.read` goes on from there. A body whose
        length is known to be larger is not waited for. Raises `UpstreamFailed` if it breaks off.
        """
        body = self.body
        if body.complete:
            held = body.taken()
            return held, len(held) <= limit
        if body.length is not None and body.length > limit:
            return body.taken(), False
        pieces = []
        size = 0
        while piece := await body.read():
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                return b"".join(pieces), False
        return b"".join(pieces), True

    def release(self) -> None:
        """No more is read of it: its connection is closed, unless the body is whole; then it was kept already."""
        connection = self._connection
        self._connection = None
        if connection is not None:
            connection.let_go(self.body)

    async def upgrade(self) -> Tunnel:
        """The connection, which has left HTTP after the 101. It is the caller's to close."""
        connection = self._connection
        self._connection = None
        if connection is None or self.head.status != 101:
            raise UpstreamFailed("The query API behind the gateway did not switch protocols.", reason="protocol")
        return UpstreamTunnel(connection, connection.stream())
