"""The head of a request as it is sent to an upstream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.errors import UpstreamFailed
from gateway.service.upstream.heads import NO_TRAILERS

if TYPE_CHECKING:
    from gateway.service.messages import Headers, RequestHead

__all__ = ["IDEMPOTENT", "HeadWriter", "written_trailers"]

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})  # RFC 9110, section 9.2.2

_BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "DELETE"})  # without a body, no length is told
_TOKENS: Final = _BODILESS | {"POST", "PUT", "PATCH", "QUERY"}  # methods of which it is known that they can be written
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
_LISTS_KEPT: Final = 512
_FIELDS_KEPT: Final = 4096  # bytes


class HeadWriter:
    """Writes heads of requests. Fields that come again in the very same list are written once.

    A list that has changed since is noticed, and written anew.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        # By the identity of a list: the list, which must live for as long as its number stands here, what was in it,
        # and the bytes.
        self._known: dict[int, tuple[Headers, Headers, bytes]] = {}

    def write(self, head: RequestHead, length: int | None) -> bytes:
        """The bytes of `head` for a body of `length` bytes; `None`: chunked. What `head` says of framing is replaced.

        Raises `UpstreamFailed` if it cannot be written so that it would be read as it is meant.
        """
        headers = head.headers
        known = self._known.get(id(headers))
        fields = known[2] if known is not None and known[1] == headers else self._written(headers)
        method, target = head.method, head.target
        if _breaks_line(target) or (method not in _TOKENS and (not method or _breaks_line(method))):
            raise _unwritable()
        try:
            line = f"{method} {target} HTTP/1.1\r\n".encode("latin-1")
        except UnicodeEncodeError:
            raise _unwritable() from None
        if length is None:
            return b"%b%btransfer-encoding: chunked\r\n\r\n" % (line, fields)
        if length or method not in _BODILESS:
            return b"%b%bcontent-length: %d\r\n\r\n" % (line, fields, length)
        return line + fields + b"\r\n"

    def _written(self, headers: Headers) -> bytes:
        lines = [name + b": " + value + b"\r\n" for name, value in headers if name not in _FRAMING]
        fields = b"".join(lines)
        # A line end within a name or a value makes one line more.
        if fields.count(b"\n") != len(lines) or fields.count(b"\r") != len(lines) or 0 in fields:
            raise _unwritable()
        if len(fields) <= _FIELDS_KEPT:
            if len(self._known) >= _LISTS_KEPT:
                self._known.clear()
            self._known[id(headers)] = (headers, headers.copy(), fields)
        return fields


def written_trailers(trailers: Headers) -> bytes:
    """The last chunk with the trailer fields behind it. Raises `UpstreamFailed`."""
    if not trailers:
        return b"0\r\n\r\n"
    lines = [name + b": " + value + b"\r\n" for name, value in trailers if name not in NO_TRAILERS]
    written = b"".join([b"0\r\n", *lines, b"\r\n"])
    if written.count(b"\n") != len(lines) + 2 or written.count(b"\r") != len(lines) + 2:
        raise _unwritable()
    return written


def _breaks_line(word: str) -> bool:
    return " " in word or "\r" in word or "\n" in word or "\0" in word


def _unwritable() -> UpstreamFailed:
    return UpstreamFailed("The request cannot be written as HTTP/1.1 for the query API.", reason="protocol")
