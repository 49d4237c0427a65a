"""Reading one response after another from the bytes of a connection: strictly, and under caps."""

from __future__ import annotations

from typing import Final

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

from gateway.errors import CallError, ProtocolViolated, ReplyTooLarge
from gateway.transport.buffers import STEP, ReplyBuffers
from gateway.transport.decoding import Inflater, inflater_for
from gateway.transport.familiar import FamiliarHead
from gateway.transport.protocol import Limits, Response

__all__ = ["ResponseReader"]

_INTERIM_REPLIES: Final = 8  # 100 Continue, 103 Early Hints, …: more than these are a flood
_STATUS_LINE: Final = (b"HTTP/1.1 ", b"HTTP/1.0 ")
_VERSIONS: Final = frozenset({"1.0", "1.1"})
_WEIGHED: Final = frozenset({"content-length", "transfer-encoding", "content-encoding"})
_LESSONS: Final = 8  # heads learned without ever seeing one again, before giving up on this connection
_LARGE_PIECE: Final = 4096  # bytes
_NAMES_KEPT: Final = 64
_NAME_KEPT: Final = 64  # bytes


class ResponseReader:
    """Reads the responses of one connection. `begin` before each, then `feed` until it is complete.

    The parser (llhttp) is strict about line ends, header syntax, lengths and chunks. What it lets through
    is refused here: other versions than 1.0 and 1.1, anything before the status line, status codes outside
    100..599, interim replies with a body or without end, transfer codings other than `chunked`, unbounded
    heads, trailers and chunk extensions.
    """

    __slots__ = (
        "_buffers",
        "_chunked",
        "_complete",
        "_counted",
        "_error",
        "_familiar",
        "_head_left",
        "_headers",
        "_inflater",
        "_interim",
        "_interim_count",
        "_lessons",
        "_limits",
        "_names",
        "_parser",
        "_pieces",
        "_pool",
        "_received",
        "_response_headers",
        "_size",
        "_status",
        "_verbatim",
        "_version_seen",
        "_wire",
        "began",
        "in_head",
        "keep",
        "until_close",
    )

    def __init__(self, buffers: ReplyBuffers, pool: str) -> None:
        self.began = False  # a byte of the present response has come
        self.in_head = True
        self.until_close = False  # the body ends where the connection ends
        self.keep = True  # once complete: whether another response may follow on this connection
        self._pieces: list[bytes | bytearray] = []  # of the body
        self._size = 0  # of all pieces
        self._buffers = buffers
        self._pool = pool
        self._counted = 0  # bytes of the body that `_buffers` counts
        self._chunked = False
        self._complete = False
        self._error: CallError | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._familiar: FamiliarHead | None = None
        self._inflater: Inflater | None = None
        self._interim = False
        self._lessons = 0
        self._names: dict[bytes, str] = {}
        self._parser: HttpResponseParser | None = HttpResponseParser(self)

    def begin(self, limits: Limits) -> None:
        """A request was sent: what comes now is its response."""
        self.began = False
        self.in_head = True
        self._limits = limits

    def feed(self, data: bytes) -> Response | None:
        """Read on; the response once it is complete. Raises `CallError`, then nothing more can be read."""
        if self.began:
            return self._read_on(data)
        self.began = True
        if self._familiar is not None:
            response = self._familiar.recognise(data, self._limits)
            if response is not None:
                self._lessons = 0
                return response
        self._complete = self._chunked = False
        self.keep = self._verbatim = True
        self._head_left = self._limits.head
        self._interim_count = self._received = 0
        self._version_seen = data.startswith(_STATUS_LINE)
        if data[0] != 0x48:  # "H"; the parser would skip line ends, and it knows RTSP and ICE
            raise ProtocolViolated("The reply does not begin with an HTTP/1.1 status line.")
        response = self._read_on(data)
        if response is not None and self.keep and self._verbatim and self._lessons < _LESSONS:
            self._lessons += 1
            self._familiar = FamiliarHead.learn(data, response, self._limits)
        return response

    def _read_on(self, data: bytes) -> Response | None:
        parser = self._parser
        assert parser is not None
        try:
            if not self.in_head:
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
                raise self._reason(error) from None
            self.keep = False  # bytes behind the response: it stands, but nothing else may follow here
        return self.finish() if self._complete else None

    def finish(self) -> Response:
        """The response, which is whole now. Raises `ProtocolViolated` if its compressed body is not."""
        if self._inflater is not None:
            if self._received:
                self._inflater.finish()
            self._inflater = None
        pieces = self._pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if isinstance(body, bytearray):
            body = bytes(body)
        self._let_go()
        return Response(self._status, self._response_headers, body, self._received)

    def close(self) -> None:
        """Let go of the parser, which holds this object's methods, and of what was read."""
        self._parser = None
        self._error = None  # its traceback leads back here
        self._let_go()

    # ------------------------------------------------------------ callbacks of the parser

    def on_message_begin(self) -> None:
        """A status line begins; after a complete response, that is a response nobody asked for."""
        if self._complete:
            raise ProtocolViolated("Bytes follow the end of the reply.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or one trailer: the latter are dropped."""
        if self.in_head:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole: judge it before any of the body is read."""
        parser = self._parser
        assert parser is not None
        status = parser.get_status_code()
        raw_headers = self._headers
        self._headers = []
        if len(raw_headers) > self._limits.header_count:
            self._refuse(ReplyTooLarge(f"The reply has more than {self._limits.header_count} headers."))
        if not 100 <= status <= 599 or not (self._version_seen or parser.get_http_version() in _VERSIONS):
            self._refuse(ProtocolViolated("The reply's status line is not one of HTTP/1.1."))
        names = self._names
        headers = []
        length: int | None = None
        for raw_name, raw_value in raw_headers:
            name = names.get(raw_name) or self._name(raw_name)
            value = raw_value.decode("latin-1").strip(" \t")
            headers.append((name, value))
            if name in _WEIGHED:
                if name == "content-length":
                    length = int(value)  # the parser took care that it is one number, once, and not negative
                elif name == "transfer-encoding":
                    self._expect_chunks(value)
                else:
                    self._expect_coding(value)
        if status < 200:
            self._count_interim(status, framed=length is not None or self._chunked)
            return
        self.in_head = False
        self._status = status
        if length is not None and length > self._limits.body:
            self._refuse(ReplyTooLarge(f"The body of the reply is larger than {self._limits.body} bytes."))
        self._response_headers = headers
        if status in {204, 304}:
            if length or self._chunked:  # the promised bytes may still come: not in front of another response
                self.keep = False
        elif length is None and not self._chunked:
            self.until_close = True

    def on_body(self, piece: bytes) -> None:
        """The next bytes of the body."""
        self._received += len(piece)
        if self._received > self._limits.body:
            self._refuse(ReplyTooLarge(f"The body of the reply is larger than {self._limits.body} bytes."))
        if self._inflater is not None:
            try:
                piece = self._inflater.feed(piece)
            except CallError as error:
                self._refuse(error)
        # Large pieces are kept as they are, until all are joined. Small ones go into a growing buffer: a body that
        # drips in by single bytes must not cost an object for each.
        size = self._size = self._size + len(piece)
        pieces = self._pieces
        if not pieces or len(piece) >= _LARGE_PIECE:
            pieces.append(piece)
        elif isinstance(pieces[-1], bytearray):
            pieces[-1] += piece
        else:
            pieces.append(bytearray(piece))
        del pieces, piece  # an error's traceback would keep them
        if size > self._counted + STEP:
            self._count_body(size)

    def on_message_complete(self) -> None:
        """The parser saw the end of the response, or of an interim one."""
        if self._interim:
            self._interim = False
            return
        parser = self._parser
        assert parser is not None
        self._complete = True
        self.keep = self.keep and parser.should_keep_alive()

    # ------------------------------------------------------------ judging

    def _name(self, raw: bytes) -> str:
        name = raw.decode("ascii").lower()
        if len(self._names) < _NAMES_KEPT and len(raw) <= _NAME_KEPT:
            self._names[raw] = name
        return name

    def _refuse(self, error: CallError) -> None:
        if isinstance(error, ReplyTooLarge) and not self.in_head:
            error.status = self._status
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
        if self.in_head:
            raise ReplyTooLarge(f"The head of the reply is larger than {self._limits.head} bytes.")
        parser.feed_data(data[left:])

    def _count_framing(self, size: int) -> None:
        self._wire += size
        # A body in chunks of one byte takes six bytes on the wire for each; much beyond that is padding.
        if self._wire > 9 * self._received + self._limits.head:
            raise ReplyTooLarge("The chunk sizes, extensions and trailers of the reply are larger than they may be.")

    def _count_body(self, size: int) -> None:
        more = size - self._counted
        try:
            self._buffers.take(self._pool, more)
        except CallError as error:
            self._refuse(error)
        self._counted = size

    def _let_go(self) -> None:
        self._pieces = []
        self._size = 0
        if self._counted:
            self._buffers.give_back(self._pool, self._counted)
            self._counted = 0

    def _count_interim(self, status: int, *, framed: bool) -> None:
        self._interim_count += 1
        if status == 101:
            self._refuse(ProtocolViolated("The reply switches to another protocol (101), which was not asked for."))
        if framed or self._interim_count > _INTERIM_REPLIES:
            self._refuse(ProtocolViolated("The reply has interim (1xx) responses with a body, or too many."))
        self._interim = True
        self._verbatim = False
        self._version_seen = False

    def _expect_chunks(self, codings: str) -> None:
        if self._chunked or codings.lower() != "chunked":
            self._refuse(ProtocolViolated("The reply has a transfer encoding other than chunked."))
        self._chunked = True
        self._verbatim = False
        self._wire = 0

    def _expect_coding(self, codings: str) -> None:
        self._verbatim = False
        if self._inflater is not None:
            self._refuse(ProtocolViolated("The reply has more than one content encoding."))
        try:
            self._inflater = inflater_for(codings, self._limits.body)
        except CallError as error:
            self._refuse(error)
