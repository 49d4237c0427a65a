"""One HTTP/1.1 connection: writes a request, reads one response strictly, under caps and a deadline."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

from gateway.errors import CallError, ConnectFailed, ProtocolViolated, ReplyTooLarge, TimedOut
from gateway.transport.decoding import Inflater, inflater_for
from gateway.transport.protocol import Limits, Response

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Connection"]

_JOIN_UP_TO: Final = 64 * 1024  # a larger body is not copied behind the head, it gets a write of its own
_INTERIM_REPLIES: Final = 8  # 100 Continue, 103 Early Hints, …: more than these are a flood
_VERSIONS: Final = frozenset({"1.0", "1.1"})
_TIMER_SLACK: Final = 0.001  # seconds; uvloop's clock ticks in milliseconds


class Connection(asyncio.Protocol):
    """An open connection that does one exchange at a time, over and over.

    `on_idle` is called when a response is complete and the connection may serve another; `on_lost` when
    the connection is gone. Between exchanges any byte from the other side closes it: an answer that
    nobody asked for must never meet the next question.

    The parser (llhttp) is strict about line ends, header syntax, lengths and chunks. What it lets through
    is refused here: other versions than 1.0 and 1.1, anything before the status line, status codes outside
    100..599, interim replies with a body or without end, transfer codings other than `chunked`, unbounded
    heads, trailers and chunk extensions.
    """

    __slots__ = (
        "_body",
        "_body_limit",
        "_chunked",
        "_complete",
        "_deadline",
        "_error",
        "_head_left",
        "_headers",
        "_in_head",
        "_inflater",
        "_interim",
        "_interim_count",
        "_keep",
        "_limits",
        "_loop",
        "_on_idle",
        "_on_lost",
        "_out",
        "_parser",
        "_received",
        "_response_headers",
        "_status",
        "_timer",
        "_timer_at",
        "_transport",
        "_until_close",
        "_waiter",
        "_wire",
        "began",
        "idle_since",
        "key",
        "usable",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        key: tuple[str, str, str, int],
        on_idle: Callable[[Connection, float], None],
        on_lost: Callable[[Connection], None],
    ) -> None:
        self.key = key
        self.began = False  # a byte of the response to the present request has come
        self.usable = False  # open, and nothing has happened that forbids another exchange
        self.idle_since = 0.0
        self._loop = loop
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._waiter: asyncio.Future[Response] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._deadline = 0.0
        self._headers: list[tuple[bytes, bytes]] = []
        self._interim = False
        self._complete = False
        self._until_close = False

    # ------------------------------------------------------------ for the pool

    def send(self, head: bytes, body: bytes, deadline: float, limits: Limits) -> asyncio.Future[Response]:
        """Write one request; the future gets its response, or a `CallError`, not later than `deadline`.

        Whoever cancels the wait calls `give_up` with the future.
        """
        self.began = False
        self._limits = limits
        self._body_limit = limits.body
        self._head_left = limits.head
        self._in_head = True
        self._complete = self._chunked = self._until_close = False
        self._interim_count = self._received = self._wire = 0
        self._inflater: Inflater | None = None
        self._error: CallError | None = None
        self._out: bytes | bytearray = b""
        waiter = self._waiter = self._loop.create_future()
        self._arm(deadline)
        transport = self._transport
        if transport is None:
            self.fail(ConnectFailed("The connection closed before the request was sent."))
        elif len(body) > _JOIN_UP_TO:
            transport.write(head)
            transport.write(body)
        else:
            transport.write(head + body)
        return waiter

    def give_up(self, waiter: asyncio.Future[Response]) -> None:
        """The caller no longer waits for `waiter`: close, unless its response was complete already."""
        if waiter.done() and not waiter.cancelled():
            waiter.exception()  # looked at, so that the loop does not report it as forgotten
        if self._waiter is waiter:
            self._waiter = None
            self.abort()

    def abort(self) -> None:
        """Close at once. An exchange in flight fails when the connection is lost."""
        self.usable = False
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
        """Feed the parser, never past a cap."""
        parser = self._parser
        if self._waiter is None or parser is None:
            self.abort()
            return
        if not self.began:
            self.began = True
            if data[0] != 0x48:  # "H"; the parser skips line ends and knows RTSP and ICE
                self.fail(ProtocolViolated("The reply does not begin with an HTTP/1.1 status line."))
                return
        try:
            if not self._in_head:
                parser.feed_data(data)
                if self._chunked:
                    self._count_framing(len(data))
            elif len(data) <= self._head_left:
                self._head_left -= len(data)
                parser.feed_data(data)
            else:
                self._feed_around_cap(parser, memoryview(data))
        except (HttpParserError, HttpParserUpgrade, CallError) as error:
            if not self._complete:
                self.fail(self._reason(error))
                return
            self._keep = False  # bytes behind the response: it stands, but nothing else may follow here
        if self._complete:
            self._succeed()

    def eof_received(self) -> None:
        """The other side sends no more: that is the end of a body without a length."""
        self.usable = False
        if self._waiter is not None and self._until_close:
            self._complete = True
            self._keep = False
            self._succeed()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, by us, by an orderly end or by a reset (`exc`)."""
        self.abort()
        self._transport = None
        self._parser = None  # it holds this object's methods
        self._on_lost(self)
        if self._waiter is None:
            return
        how = "closed" if exc is None else "reset"
        if not self.began:
            self.fail(ConnectFailed(f"The connection was {how} before a reply began."))
        elif self._in_head:
            self.fail(ProtocolViolated(f"The connection was {how} in the middle of the reply's head."))
        else:
            self.fail(ProtocolViolated(f"The connection was {how} in the middle of the reply's body."))

    # ------------------------------------------------------------ callbacks of the parser

    def on_message_begin(self) -> None:
        """A status line begins; after a complete response, that is a response nobody asked for."""
        if self._complete:
            raise ProtocolViolated("Bytes follow the end of the reply.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or one trailer: the latter are dropped."""
        if self._in_head:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole: judge it before any of the body is read."""
        parser = self._parser
        assert parser is not None
        status = parser.get_status_code()
        headers = self._headers
        self._headers = []
        if len(headers) > self._limits.header_count:
            self._refuse(ReplyTooLarge(f"The reply has more than {self._limits.header_count} headers."))
        if not 100 <= status <= 599 or parser.get_http_version() not in _VERSIONS:
            self._refuse(ProtocolViolated("The reply's status line is not one of HTTP/1.1."))
        framed = promises_body = False
        decoded = []
        for raw_name, raw_value in headers:
            name = raw_name.decode("ascii").lower()
            value = raw_value.decode("latin-1").strip(" \t")
            decoded.append((name, value))
            if name == "content-length":
                framed = True
                length = int(value)
                promises_body = length > 0
                if length > self._body_limit:
                    self._refuse(ReplyTooLarge(f"The body of the reply is larger than {self._body_limit} bytes."))
            elif name == "transfer-encoding":
                if framed or value.lower() != "chunked":
                    self._refuse(ProtocolViolated("The reply has a transfer encoding other than chunked."))
                framed = promises_body = self._chunked = True
            elif name == "content-encoding":
                self._decode(value)
        if status < 200:
            self._count_interim(status, framed=framed)
            return
        self._in_head = False
        self._status = status
        self._response_headers = decoded
        bodiless = status in {204, 304}
        self._until_close = not framed and not bodiless
        if bodiless and promises_body:  # the promised bytes may still come: not in front of another response
            self.usable = False

    def on_body(self, piece: bytes) -> None:
        """The next bytes of the body."""
        self._received += len(piece)
        if self._received > self._body_limit:
            self._refuse(ReplyTooLarge(f"The body of the reply is larger than {self._body_limit} bytes."))
        if self._inflater is not None:
            try:
                piece = self._inflater.feed(piece)
            except CallError as error:
                self._refuse(error)
        # One piece is kept as it is. More go into one growing buffer, not a list: a body that drips in
        # by single bytes must not cost an object for each.
        if not self._out:
            self._out = piece
        elif isinstance(self._out, bytearray):
            self._out += piece
        else:
            self._out = bytearray(self._out) + piece

    def on_message_complete(self) -> None:
        """The parser saw the end of the response, or of an interim one."""
        if self._interim:
            self._interim = False
            return
        parser = self._parser
        assert parser is not None
        self._complete = True
        self._keep = parser.should_keep_alive()

    # ------------------------------------------------------------ judging

    def _refuse(self, error: CallError) -> None:
        self._error = error  # the parser wraps what its callbacks raise
        raise error

    def _reason(self, error: Exception) -> CallError:
        if self._error is not None:
            return self._error
        if isinstance(error, CallError):
            return error
        if isinstance(error, HttpParserCallbackError):
            return CallError("The reply could not be read, by a fault of the gateway.")
        return ProtocolViolated(f"The reply is not valid HTTP/1.1: {error}.")

    def _feed_around_cap(self, parser: HttpResponseParser, data: memoryview) -> None:
        left = self._head_left
        self._head_left = 0
        parser.feed_data(data[:left])
        if self._in_head:
            raise ReplyTooLarge(f"The head of the reply is larger than {self._limits.head} bytes.")
        parser.feed_data(data[left:])

    def _count_framing(self, size: int) -> None:
        self._wire += size
        # A body in chunks of one byte takes six bytes on the wire for each; much beyond that is padding.
        if self._wire > 9 * self._received + self._limits.head:
            raise ReplyTooLarge("The reply's chunks and trailers are larger than they may be.")

    def _count_interim(self, status: int, *, framed: bool) -> None:
        self._interim_count += 1
        if status == 101:
            self._refuse(ProtocolViolated("The reply switches to another protocol (101), which was not asked for."))
        if framed or self._interim_count > _INTERIM_REPLIES:
            self._refuse(ProtocolViolated("The reply has interim (1xx) responses with a body, or too many."))
        self._interim = True

    def _decode(self, codings: str) -> None:
        if self._inflater is not None:
            self._refuse(ProtocolViolated("The reply has more than one content encoding."))
        try:
            self._inflater = inflater_for(codings, self._body_limit)
        except CallError as error:
            self._refuse(error)

    # ------------------------------------------------------------ the end of an exchange

    def _succeed(self) -> None:
        waiter = self._waiter
        assert waiter is not None
        if self._inflater is not None and self._received:
            try:
                self._inflater.finish()
            except CallError as error:
                self.fail(error)
                return
        out = self._out
        body = out if isinstance(out, bytes) else bytes(out)
        self._out = b""
        self._waiter = None
        if waiter.done():  # given up in this very turn of the loop
            self.abort()
            return
        response = Response(self._status, self._response_headers, body, self._received)
        transport = self._transport
        # Bytes that are still unsent belong to a request that was answered before it was read.
        if self._keep and self.usable and transport is not None and not transport.get_write_buffer_size():
            self._on_idle(self, self._loop.time())
        else:
            self.abort()
        waiter.set_result(response)

    def fail(self, error: CallError) -> None:
        """Close at once; an exchange in flight ends with `error`."""
        waiter = self._waiter
        self._waiter = None
        self._out = b""
        self.abort()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    # ------------------------------------------------------------ the deadline

    def _arm(self, deadline: float) -> None:
        """See to it that a timer fires at `deadline` or before.

        A timer is left running after its exchange and serves the next ones: with deadlines that only move
        on, a busy connection makes one timer per time limit instead of one per call.
        """
        self._deadline = deadline
        timer = self._timer
        if timer is not None:
            if self._timer_at <= deadline:
                return
            timer.cancel()
        self._timer_at = deadline
        self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        if self._deadline - self._loop.time() > _TIMER_SLACK:
            self._arm(self._deadline)
        elif not self.began:
            self.fail(TimedOut("The deadline passed before a reply began."))
        else:
            self.fail(TimedOut("The deadline passed before the reply was complete."))
