"""Heads of answers: from bytes to fields and to what follows the head. Strict, as RFC 9112 asks of a proxy.

A head that a lenient reader and a strict one take for different things is how answers get mixed up between clients. So
this knows one form: lines that end with CR LF, names that are tokens, no folded lines, no control characters; one
`content-length` in digits, or `transfer-encoding: chunked`. With both, the chunks count and the connection is not kept.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.errors import UpstreamFailed
from gateway.service.messages import ResponseHead

if TYPE_CHECKING:
    from gateway.service.messages import Headers

__all__ = ["NO_TRAILERS", "HeadReader", "KnownHeads", "ReadHead", "read_alike", "read_head"]

_END: Final = b"\r\n\r\n"

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n")
_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)")
_FIELD: Final = re.compile(_LINE.pattern + rb"\r\n")
_PREFIX: Final = b"HTTP/1."
_BARE_LINE_END: Final = re.compile(rb"(?<!\r)\n|\r(?!\n)[^\n]")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_TIMEOUT: Final = re.compile(rb"(?:^|,)[ \t]*timeout[ \t]*=[ \t]*\"?([0-9]{1,9})\"?[ \t]*(?:,|$)", re.IGNORECASE)
_HEADS_KEPT: Final = 64
_HEAD_KEPT: Final = 2048  # bytes
_MARGIN: Final = 1.0  # seconds; a connection is given up this much earlier than the upstream says that it will do so

_JUDGED: Final = frozenset({b"transfer-encoding", b"connection", b"keep-alive", b"content-type"})

# RFC 9110, section 6.5.1: what frames or routes a message is not believed after it.
NO_TRAILERS: Final = frozenset(
    {
        b"connection",
        b"content-encoding",
        b"content-length",
        b"expect",
        b"host",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)


class ReadHead:
    """A head that was read. `length` is `None` without `content-length`; `chunked` and `length` exclude each other.

    `keep`: another answer may follow. `kept_for`: for how many seconds the upstream says that it waits for another
    request. `quiet`: the answer is a stream of events, which may be silent for as long as nothing happens. `raw`
    is all of it, as it came, `lines` the same without line ends.
    """

    __slots__ = ("chunked", "headers", "keep", "kept_for", "length", "lines", "quiet", "raw", "reason", "status")

    def __init__(
        self, raw: bytes, lines: list[bytes], status: int, reason: bytes, headers: Headers, *, keep: bool
    ) -> None:
        self.raw = raw
        self.lines = lines
        self.status = status
        self.reason = reason
        self.headers = headers
        self.keep = keep
        self.length: int | None = None
        self.chunked = False
        self.kept_for: float | None = None
        self.quiet = False

    def response(self) -> ResponseHead:
        """What is passed on; the receiver's to change."""
        return ResponseHead(self.status, self.reason, self.headers.copy())


def read_head(raw: bytes) -> ReadHead:
    """The head in `raw`, which ends with the first empty line. Raises `UpstreamFailed`."""
    line = _STATUS_LINE.match(raw)
    if line is None:
        raise _broken("does not begin with an HTTP/1.1 status line")
    start = line.end()
    found: list[tuple[bytes, bytes]] = _FIELD.findall(raw, start)
    # What the pattern passed over is no field: then the fields do not make up the head.
    if sum([len(name) + len(value) for name, value in found]) + 3 * len(found) + 2 != len(raw) - start:
        raise _broken("has a header that is not valid")
    newer = line[1] == b"1"
    status = int(line[2])
    headers = [(name.lower(), value.strip(b" \t")) for name, value in found]
    head = ReadHead(raw, raw.split(b"\r\n"), status, (line[3] or b"").strip(b" \t"), headers, keep=newer)
    for name, value in headers:
        if name == b"content-length":
            if head.length is not None or not _LENGTH.fullmatch(value):
                raise _broken("has more than one length, or one that is no number")
            head.length = int(value)
        elif name == b"transfer-encoding":
            if head.chunked or value.lower() != b"chunked" or not newer:
                raise _broken("has a transfer encoding other than chunked")
            head.chunked = True
        elif name == b"connection":
            tokens = [token.strip(b" \t") for token in value.lower().split(b",")]
            if b"close" in tokens:
                head.keep = False
                newer = True  # "keep-alive" beside it counts for nothing
            elif not newer and b"keep-alive" in tokens:
                head.keep = True
        elif name == b"keep-alive":
            told = _TIMEOUT.search(value)
            if told is not None:
                head.kept_for = max(0.0, int(told[1]) - _MARGIN)
        elif name == b"content-type":
            head.quiet = value[:17].lower() == b"text/event-stream"
    if head.chunked and head.length is not None:
        # Some servers say both, of files for example. The chunks count, and what follows them on this connection is not
        # trusted to be an answer (RFC 9112, section 6.3).
        head.length = None
        head.headers = [field for field in headers if field[0] != b"content-length"]
        head.keep = False
    if status < 200 and (head.chunked or head.length):
        raise _broken("is an interim one (1xx) with a body")
    return head


def read_alike(raw: bytes, other: ReadHead) -> ReadHead | None:
    """The head in `raw`, if it has the lines of `other` but for the length and values that nothing here follows from.

    `None` if it has not, or is broken: then `read_head` is to read it.
    """
    lines = raw.split(b"\r\n")
    headers = other.headers.copy()
    if len(lines) != len(other.lines) or len(lines) != len(headers) + 3 or lines[0] != other.lines[0]:
        return None
    length = other.length
    for number, (line, before) in enumerate(zip(lines, other.lines, strict=True), -1):
        if line != before:
            field = _LINE.fullmatch(line)
            if field is None:
                return None
            name, value = field[1].lower(), field[2].strip(b" \t")
            if name != headers[number][0] or name in _JUDGED:
                return None
            if name == b"content-length":
                if not _LENGTH.fullmatch(value) or other.status < 200:
                    return None
                length = int(value)
            headers[number] = (name, value)
    head = ReadHead(raw, lines, other.status, other.reason, headers, keep=other.keep)
    head.length, head.chunked, head.kept_for, head.quiet = length, other.chunked, other.kept_for, other.quiet
    return head


class KnownHeads:
    """Heads that were read lately. Servers send the same ones again and again: those are read once.

    Of one that differs from the last with as many lines only in its length, its date or the like, only that is read.
    """

    __slots__ = ("_by_lines", "_known")

    def __init__(self) -> None:
        self._known: dict[bytes, ReadHead] = {}
        self._by_lines: dict[int, ReadHead] = {}

    def read(self, raw: bytes) -> ReadHead:
        """The head in `raw`. Raises `UpstreamFailed`."""
        known = self._known.get(raw)
        if known is not None:
            return known
        lines = raw.count(b"\n")
        other = self._by_lines.get(lines)
        head = (None if other is None else read_alike(raw, other)) or read_head(raw)
        if len(raw) <= _HEAD_KEPT:
            if len(self._known) >= _HEADS_KEPT:
                self._known.clear()
                self._by_lines.clear()
            self._known[raw] = self._by_lines[lines] = head
        return head


class HeadReader:
    """Finds heads of at most `limit` bytes in what comes on one connection.

    The last one is kept: a server mostly repeats it on a connection, byte for byte.
    """

    __slots__ = ("_held", "_known", "_last", "_limit")

    def __init__(self, known: KnownHeads, limit: int) -> None:
        self._known = known
        self._limit = limit
        self._held: bytearray | None = None  # the beginning of a head
        self._last: ReadHead | None = None

    def feed(self, data: bytes) -> tuple[ReadHead, bytes] | None:
        """The head and what follows it in `data`; `None` if it is not whole. Raises `UpstreamFailed`."""
        held = self._held
        if held is None:
            last = self._last
            if last is not None and data.startswith(last.raw):
                return last, data[len(last.raw) :]
            end = data.find(_END)
            if end < 0:
                held = self._held = bytearray(data)
                self._check_beginning(held, 0)
                return None
        else:
            start = len(held)
            held += data
            end = held.find(_END, max(0, start - 3))
            if end < 0:
                self._check_beginning(held, start)
                return None
            data = bytes(held)
            self._held = None
        end += 4
        if end > self._limit:
            raise self._too_large()
        head = self._last = self._known.read(data[:end])
        return head, data[end:]

    def _check_beginning(self, held: bytearray, start: int) -> None:
        """What is wrong for certain is said at once, so that nobody waits for the end of it."""
        if held[:7] != _PREFIX[: len(held)]:
            raise _broken("does not begin with an HTTP/1.1 status line")
        if len(held) > self._limit:
            raise self._too_large()
        if _BARE_LINE_END.search(held, max(0, start - 2)):
            raise _broken("has a line end other than CR LF in its head")

    def _too_large(self) -> UpstreamFailed:
        return _broken(f"has a head of more than {self._limit} bytes (upstreams.max_header_bytes)")


def _broken(what: str) -> UpstreamFailed:
    return UpstreamFailed(f"The answer of the query API behind the gateway {what}.", reason="protocol")
