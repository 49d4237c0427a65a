"""Finding the heads of requests in the bytes of a connection."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.service.front.fields import Fields, read_fields
from gateway.service.front.refusal import RequestRefused
from gateway.service.front.request_line import USUAL, VISIBLE, read_request_line, too_long

if TYPE_CHECKING:
    from gateway.service.front.settings import FrontSettings

__all__ = ["HeadReader", "after_empty_lines"]

_CR: Final = 0x0D
_EMPTY_LINES: Final = re.compile(rb"(?:\r\n)+")
_NO_REQUEST: Final = re.compile(rb"(?<!\r)\n|\r[^\n]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_FIRST_BYTES: Final = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz\r")
_VERSION: Final = b" HTTP/1.1"
_AROUND_TARGET: Final = 64  # bytes of a first line beside its target
_FAMILIAR_UP_TO: Final = 4096


def after_empty_lines(data: bytes) -> bytes:
    """What is left of `data` without empty lines at its start, which stand for nothing (RFC 9112, section 2.2)."""
    if data[0] != _CR:
        return data
    lines = _EMPTY_LINES.match(data)
    return data if lines is None else data[lines.end() :]


class HeadReader:
    """Reads one head after another.

    A client that keeps its connection mostly repeats its headers, byte for byte. So the last ones are kept, with what
    was read from them: the next request is compared before it is parsed.
    """

    __slots__ = ("_end", "_fields", "_scanned", "_scheme", "_settings", "_tail")

    def __init__(self, settings: FrontSettings, scheme: str) -> None:
        self._settings = settings
        self._scheme = scheme
        self._scanned = 0  # how much of a part of a head was searched for its end
        self._tail = b""  # the last head, from the end of its first line on
        self._fields: Fields | None = None  # what was read from it
        self._end = b""  # what a head with these fields ends with, if any usual first line before that is a request

    def repeated(self, data: bytes) -> tuple[str, str, int, Fields, bytes] | None:
        """What `read` returns, for a whole head and nothing else, with the headers of the one before.

        `None` for anything else: then ask `read`.
        """
        fields, end = self._fields, self._end
        if fields is None or not end:
            return None
        line = data.removesuffix(end)
        settings = self._settings
        size = len(data)
        if len(line) == size or size > settings.max_header_bytes or line.translate(VISIBLE) != line:
            return None
        method, _, target = line.decode().partition(" ")
        if method not in USUAL or target[:1] != "/" or " " in target or len(target) > settings.max_target_bytes:
            return None
        self._scanned = 0
        return method, target, 1, fields, b""

    def read(self, data: bytes) -> tuple[str, str, int, Fields, bytes] | None:
        """Method, target, minor version and fields of the head that `data` begins with, and what follows it.

        `None` if the head is not whole: call again with the same bytes and more behind them. Raises `RequestRefused`.
        The fields are shared with later requests: nobody changes them.
        """
        end = data.find(b"\r\n\r\n", self._scanned)
        if end < 0:
            self._check_part(data)
            return None
        self._scanned = 0
        line_end = data.find(b"\r\n")
        self._check_size(line_end, end + 4)
        settings = self._settings
        tail = data[line_end : end + 4]
        fields = self._fields
        if fields is None or tail != self._tail:
            fields = read_fields(tail[2:-2], settings.max_headers)
            if len(tail) <= _FAMILIAR_UP_TO:
                self._fields = fields
                self._tail = tail
                self._end = b"" if fields.host is None or fields.unmet else _VERSION + tail
        line = read_request_line(data[:line_end], fields, self._scheme, settings.max_target_bytes)
        return (*line, fields, data[end + 4 :])

    def _check_part(self, data: bytes) -> None:
        """Refuse what cannot become a request any more, instead of waiting for its end."""
        if data and (data[0] not in _FIRST_BYTES or _NO_REQUEST.search(data, max(0, self._scanned - 1))):
            raise RequestRefused(400, "This is not a request of HTTP/1.1.")
        line_end = data.find(b"\r\n")
        self._check_size(len(data) if line_end < 0 else line_end, len(data))
        self._scanned = max(0, len(data) - 3)

    def _check_size(self, line: int, head: int) -> None:
        settings = self._settings
        if line > settings.max_target_bytes + _AROUND_TARGET:
            raise too_long(settings.max_target_bytes)
        if head > settings.max_header_bytes:
            most = settings.max_header_bytes
            raise RequestRefused(431, f"The head of the request is larger than {most} bytes (server.max_header_bytes).")
