"""The heads of answers as bytes: status line, headers, date and framing."""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus
from time import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["HttpDate", "informational_head", "response_head", "trailer_block"]

_LINES: Final = {status.value: b"HTTP/1.1 %d %b" % (status, status.phrase.encode()) for status in HTTPStatus}
# What frames a message on one connection is said by this server alone.
_OWN: Final = frozenset({
    b"connection", b"content-length", b"keep-alive", b"proxy-connection", b"transfer-encoding",
})  # fmt: skip

_LOOKED_AT: Final = _OWN | {b"date"}
_CR: Final = 0x0D  # numbers, because `b"\r" in` first raises and drops a TypeError
_LF: Final = 0x0A


class HttpDate:
    """The `date` header (RFC 9110, section 6.6.1), made once a second."""

    __slots__ = ("_line", "_now", "_since", "_until")

    def __init__(self, now: Callable[[], float] = time) -> None:
        self._now = now
        self._since = self._until = 0.0
        self._line = b""

    def line(self) -> bytes:
        """The header as a line."""
        now = self._now()
        if not self._since <= now < self._until:
            self._since = float(int(now))
            self._until = self._since + 1
            self._line = b"date: %b\r\n" % formatdate(now, usegmt=True).encode()
        return self._line


def response_head(
    status: int, reason: bytes, headers: Iterable[tuple[bytes, bytes]], date: HttpDate, framing: bytes
) -> bytes:
    """The head of a final answer. `framing` are whole lines, with the empty one at the end.

    Headers that frame messages are left out. Raises `ValueError` for a name or value that would begin a new line.
    """
    lines = [_status_line(status, reason)]
    dated = False
    for field in headers:
        name = field[0]
        if name in _LOOKED_AT:
            if name != b"date":
                continue
            dated = True
        lines.append(b": ".join(field))
    content = b"".join(lines)
    if _CR in content or _LF in content:
        raise ValueError("a header of the answer has a line end in it")
    lines.append(framing if dated else date.line() + framing)
    return b"\r\n".join(lines)


def informational_head(status: int, reason: bytes, headers: Iterable[tuple[bytes, bytes]], framing: bytes) -> bytes:
    """The head of a 1xx answer, which has no date. Raises `ValueError` as `response_head` does."""
    lines = [_status_line(status, reason)]
    lines += [b": ".join(field) for field in headers if field[0] not in _OWN]
    content = b"".join(lines)
    if _CR in content or _LF in content:
        raise ValueError("a header of the answer has a line end in it")
    lines.append(framing)
    return b"\r\n".join(lines)


def trailer_block(trailers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The last chunk with the trailers behind it. Raises `ValueError` as `response_head` does."""
    lines = [b"%b: %b\r\n" % trailer for trailer in trailers if trailer[0] not in _OWN]
    block = b"".join(lines)
    if block.count(b"\n") != len(lines) or block.count(b"\r") != len(lines):
        raise ValueError("a trailer of the answer has a line end in it")
    return b"0\r\n%b\r\n" % block


def _status_line(status: int, reason: bytes) -> bytes:
    if reason or status not in _LINES:
        return b"HTTP/1.1 %d %b" % (status, reason)
    return _LINES[status]
