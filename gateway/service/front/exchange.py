"""One request and the answering of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from gateway.service.front.refusal import ClientGone
from gateway.service.front.writing import informational_head, response_head, trailer_block

if TYPE_CHECKING:
    from gateway.service.front.body import RequestBody
    from gateway.service.front.connection import Connection
    from gateway.service.front.fields import Fields
    from gateway.service.front.tunnel import ClientTunnel
    from gateway.service.messages import Headers, RequestHead, ResponseHead

__all__ = ["Exchange", "Handler"]

_JOIN_UP_TO: Final = 16 * 1024  # a larger piece of a body is not copied behind what comes before it
_UNREAD_BODY_KEPT: Final = 64 * 1024  # bytes that are read and dropped, to keep the connection
_NO_CONTENT: Final = frozenset({204, 304})


class Exchange:
    """What a handler gets: the request, and the ways to answer it.

    Either `answer`, once; or `begin`, any number of `write`, then `end`; or `upgrade`. A handler that returns without
    a complete answer, or raises, is in error: the client gets 500 if nothing is out yet, else the connection is broken
    off. Headers are passed with names in lower case. Those that frame messages (content-length, transfer-encoding,
    connection, keep-alive) are left out of what the handler gives: the server makes its own.
    """

    __slots__ = (
        "_chunked",
        "_connection",
        "_left",
        "_silent",
        "_tunnel",
        "_until_close",
        "_written",
        "begun",
        "body",
        "ended",
        "fields",
        "head",
        "keep",
        "memo",
        "notes",
        "started",
        "status",
    )  # fmt: skip

    def __init__(
        self,
        connection: Connection,
        head: RequestHead,
        fields: Fields,
        body: RequestBody | None,
        started: float,
        keep: bool,  # noqa: FBT001  # made once for each request: names cost a tenth of it
    ) -> None:
        self.head = head
        self.body = body
        # What the handler keeps for later requests of this connection with the very same headers; `None` at first. It
        # may depend on nothing else of the request: another method, target or version can come with them.
        self.memo = fields.memo
        self.notes: dict[str, object] = {}  # what the handler wants to have in the access log, such as `upstream_ms`
        self.started = started  # when the head was whole, by the server's clock
        self.begun = False  # whether a final head is out
        self.ended = False  # whether the answer is complete
        self.keep = keep  # whether another request may follow on this connection
        self.status = 0
        self._written = 0
        self._tunnel: ClientTunnel | None = None
        self._connection = connection
        self.fields = fields
        self._chunked = False
        self._until_close = False  # the body ends where the connection does
        self._silent = False  # the answer has no content, whatever is written
        self._left: int | None = None  # bytes that `begin` promised and that are not written yet

    @property
    def client(self) -> str | None:
        """The peer's address without port; `None` on a unix socket."""
        return self._connection.client

    @property
    def scheme(self) -> str:
        """`http` or `https`: how the client speaks to this server."""
        return self._connection.scheme

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Send the whole answer. Its content-length is added here; HEAD, 204 and 304 get no body.

        Nothing happens if the client has gone away.
        """
        if self.begun or not 200 <= status <= 999:
            self._start(status)
        connection = self._connection
        unread = connection.incoming
        if unread is not None and (unread.expects or (unread.remaining or _UNREAD_BODY_KEPT) >= _UNREAD_BODY_KEPT):
            self.keep = False
        silent = status in _NO_CONTENT
        size = len(body)
        framing = b"\r\n" if silent else b"content-length: %d\r\n\r\n" % size
        if not self.keep or not self.head.minor or connection.front.ends_connections:
            framing = self._framing(framing)
        head = response_head(status, b"", headers, connection.date, framing)
        self.status = status
        self.begun = self.ended = True
        if silent or self.head.method == "HEAD":
            connection.write(head)
            return
        self._written = size
        if connection.front.in_flight > 1:
            connection.hold((head + body,) if size <= _JOIN_UP_TO else (head, body), connection.front.writes)
        elif size <= _JOIN_UP_TO:
            connection.write(head + body)
        else:
            connection.write_all((head, body))

    async def informational(self, head: ResponseHead) -> None:
        """Pass on a 1xx answer such as 103 (Early Hints); not 100 and 101, which have ways of their own.

        HTTP/1.0 clients are not told.
        """
        if self.begun:
            raise RuntimeError("an informational answer comes before the final one")
        if not 102 <= head.status <= 199:
            raise ValueError(f"{head.status} is no informational answer to pass on")
        if self.head.minor:
            self._connection.write(informational_head(head.status, head.reason, head.headers, b"\r\n"))
            await self._drained()

    async def begin(self, head: ResponseHead, length: int | None) -> None:
        """Send the head of an answer whose body follows piece by piece.

        Without a `length`, the body is sent in chunks, to HTTP/1.0 until the connection closes. For HEAD and 304,
        `length` is what the content-length says, although no body follows. Raises `ClientGone`.
        """
        self._start(head.status)
        connection = self._connection
        unread = connection.incoming
        if unread is not None and unread.expects:
            self.keep = False
        silent = head.status in _NO_CONTENT or self.head.method == "HEAD"
        chunked = False
        if head.status == 204 or (silent and length is None):
            line = b"\r\n"
        elif length is not None:
            line = b"content-length: %d\r\n\r\n" % length
        elif self.head.minor:
            chunked = True
            line = b"transfer-encoding: chunked\r\n\r\n"
        else:
            self.keep = False
            self._until_close = True
            line = b"\r\n"
        data = response_head(head.status, head.reason, head.headers, connection.date, self._framing(line))
        self._silent = silent
        self._chunked = chunked
        self._left = None if silent else length
        self.status = head.status
        self.begun = True
        if connection.lost:
            raise ClientGone
        connection.write(data)
        await self._drained()

    async def write(self, piece: bytes) -> None:
        """Send a piece of the body; waits while the client reads slowly. Raises `ClientGone`.

        Raises `ValueError` for more than the length that was announced.
        """
        if not self.begun or self.ended:
            raise RuntimeError("a piece of the body comes between begin and end")
        if not piece or self._silent:
            return
        connection = self._connection
        if connection.lost:
            raise ClientGone
        size = len(piece)
        if self._left is not None:
            if size > self._left:
                raise ValueError("the body of the answer is longer than the length that was announced")
            self._left -= size
        self._written += size
        if not self._chunked:
            connection.write(piece)
        elif size <= _JOIN_UP_TO:
            connection.write(b"%x\r\n%b\r\n" % (size, piece))
        else:
            connection.write_all((b"%x\r\n" % size, piece, b"\r\n"))
        if connection.slow:
            await connection.writable()

    async def end(self, trailers: Headers | tuple[()] = ()) -> None:
        """The answer is complete. Trailers are sent where the body goes out in chunks, else dropped.

        Raises `ValueError` for less than the length that was announced.
        """
        if not self.begun or self.ended:
            raise RuntimeError("the end of an answer comes once, after its beginning")
        if self._left:
            raise ValueError("the body of the answer is shorter than the length that was announced")
        if self._chunked:
            self._connection.write(trailer_block(trailers))
        self.ended = True
        await self._drained()

    def abort(self) -> None:
        """Break the connection: the client must not take what it got for the whole answer."""
        self.keep = False
        self._connection.abort(reset=self._until_close)

    async def upgrade(self, head: ResponseHead) -> ClientTunnel:
        """Send the 101 (Switching Protocols) in `head`, whose `upgrade` names the protocol, and leave HTTP.

        The tunnel lasts until the handler returns. Raises `ClientGone`.
        """
        if head.status != 101:
            raise ValueError("an upgrade begins with 101")
        if self.begun:
            raise RuntimeError("an upgrade comes before any other answer")
        if self.body is not None and not self.body.complete:
            raise RuntimeError("an upgrade comes after the whole request")
        if self._connection.lost:
            raise ClientGone
        data = informational_head(101, head.reason, head.headers, b"connection: upgrade\r\n\r\n")
        self.begun = True
        self.status = 101
        self.keep = False
        tunnel = self._tunnel = self._connection.leave_http(data)
        await self._drained()
        return tunnel

    # ------------------------------------------------------------ the server's side

    @property
    def bytes_in(self) -> int:
        """How much of the request's body has come, or through the tunnel."""
        if self._tunnel is not None:
            return self._tunnel.received
        return 0 if self.body is None else self.body.received

    @property
    def bytes_out(self) -> int:
        """How much of the answer's body was written, or into the tunnel."""
        return self._written if self._tunnel is None else self._tunnel.sent

    def _start(self, status: int) -> None:
        if self.begun:
            raise RuntimeError("a request has one final answer")
        if not 200 <= status <= 999:
            raise ValueError(f"{status} is not the status of a final answer")

    def _framing(self, line: bytes) -> bytes:
        if self._connection.front.ends_connections:
            self.keep = False
        if not self.keep:
            return b"connection: close\r\n" + line
        return line if self.head.minor else b"connection: keep-alive\r\n" + line

    async def _drained(self) -> None:
        if self._connection.slow:
            await self._connection.writable()


# One task per connection runs it, for one request after another. It is cancelled when the client goes away before the
# answer is complete.
Handler: TypeAlias = Callable[[Exchange], Awaitable[None]]
