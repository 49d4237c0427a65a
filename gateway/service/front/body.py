"""The body of a request, on its way from the socket to the handler."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from gateway.service.front.refusal import RequestRefused

if TYPE_CHECKING:
    import asyncio

    from gateway.errors import GatewayError
    from gateway.service.front.chunks import ChunkReader
    from gateway.service.front.connection import Connection
    from gateway.service.messages import Headers

__all__ = ["RequestBody"]

_HIGH: Final = 64 * 1024  # bytes that wait for the handler before the socket is no longer read
_DRIP: Final = 4096


class RequestBody:
    """What has come of a body and is not yet read; implements `messages.Body`.

    The connection feeds it. It holds at most a little more than one read of the socket: beyond that, the connection
    stops reading until the handler has caught up.
    """

    __slots__ = (
        "_connection", "_error", "_held", "_left", "_pieces", "_reader", "_waiter", "complete", "expects", "length",
        "received",
    )  # fmt: skip

    def __init__(
        self, connection: Connection, length: int | None, reader: ChunkReader | None, *, expects: bool
    ) -> None:
        self.length = length
        self.complete = False  # all of it has come from the socket
        self.expects = expects  # the client waits for 100 (Continue)
        self.received = 0
        self._connection = connection
        self._reader = reader
        self._left = length or 0
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._error: GatewayError | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def trailers(self) -> Headers:
        """The trailer fields; complete once `read` has returned the empty piece."""
        return [] if self._reader is None else self._reader.trailers

    @property
    def remaining(self) -> int | None:
        """How many bytes are still to come from the socket; `None` if that is not known."""
        return self._left if self._reader is None else None

    async def read(self) -> bytes:
        """The next piece; an empty one at the end. Raises `RequestRefused` or `ClientGone` if it breaks off."""
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self.complete:
                return b""
            if self._waiter is not None:
                raise RuntimeError("a body has one reader")
            connection = self._connection
            if self.expects:
                self.expects = False
                connection.send_continue()
            connection.await_body()
            self._waiter = connection.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
                connection.body_awaited()
        piece = self._pieces.popleft()
        self._held -= len(piece)
        if not self.complete and self._held < _HIGH:
            self._connection.want_more()
        return piece

    # ------------------------------------------------------------ the connection's side

    @property
    def is_full(self) -> bool:
        """Whether the handler should catch up before more is read from the socket."""
        return self._held >= _HIGH

    @property
    def is_awaited(self) -> bool:
        """Whether the handler waits for a piece that has not come."""
        return self._waiter is not None and not self._waiter.done()

    def feed(self, data: bytes) -> bytes:
        """Take what belongs to the body; returns what follows it. Raises `RequestRefused`."""
        rest = b""
        if self._reader is not None:
            data, end = self._feed_chunks(data)
            if end is not None:
                self.complete = True
                rest = end
        elif len(data) >= self._left:
            if len(data) > self._left:
                rest = data[self._left :]
                data = data[: self._left]
            self._left = 0
            self.complete = True
        else:
            self._left -= len(data)
        if data:
            self.expects = False
            self.received += len(data)
            self._held += len(data)
            pieces = self._pieces
            if pieces and len(pieces[-1]) + len(data) <= _DRIP:  # a body that drips in must not cost an object a drop
                pieces[-1] += data
            else:
                pieces.append(data)
        if data or self.complete:
            self._wake()
        return rest

    def fail(self, error: GatewayError) -> None:
        """No more will come: whoever reads gets `error`."""
        if not self.complete and self._error is None:
            self._error = error
            self._wake()

    def drop(self) -> None:
        """Nobody will read it any more."""
        self._pieces.clear()
        self._held = 0

    def _feed_chunks(self, data: bytes) -> tuple[bytes, bytes | None]:
        assert self._reader is not None
        content, end = self._reader.feed(data)
        return content, None if end < 0 else data[end:]

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            self._connection.body_awaited()
            waiter.set_result(None)


def too_slow(seconds: float) -> RequestRefused:
    """The next piece of the body did not come in time."""
    return RequestRefused(408, f"No more of the request's body came for {seconds:g} seconds.")
