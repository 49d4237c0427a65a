"""The head of a request as it is sent to an upstream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.errors import UpstreamFailed
from gateway.service.upstream.heads import NO_TRAILERS

if TYPE_CHECKING:
    from gateway.service.messages import Headers, RequestHead

__all__ = ["IDEMPOTENT", "written_head", "written_trailers"]

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})  # RFC 9110, section 9.2.2

_BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "DELETE"})  # without a body, no length is told
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})


def written_head(head: RequestHead, length: int | None) -> bytes:
    """The bytes of `head` for a body of `length` bytes; `None`: chunked. What `head` says of framing is replaced.

    Raises `UpstreamFailed` if it cannot be written so that it would be read as it is meant.
    """
    lines = [name + b": " + value + b"\r\n" for name, value in head.headers if name not in _FRAMING]
    if length is None:
        lines.append(b"transfer-encoding: chunked\r\n")
    elif length or head.method not in _BODILESS:
        lines.append(b"content-length: %d\r\n" % length)
    try:
        first = f"{head.method} {head.target} HTTP/1.1\r\n".encode("latin-1")
    except UnicodeEncodeError:
        raise _unwritable() from None
    written = b"".join([first, *lines, b"\r\n"])
    ends = len(lines) + 2
    if (
        written.count(b"\n") != ends
        or written.count(b"\r") != ends
        or first.count(b" ") != 2
        or b"\0" in written
        or not head.method
    ):
        raise _unwritable()
    return written


def written_trailers(trailers: Headers) -> bytes:
    """The last chunk with the trailer fields behind it. Raises `UpstreamFailed`."""
    if not trailers:
        return b"0\r\n\r\n"
    lines = [name + b": " + value + b"\r\n" for name, value in trailers if name not in NO_TRAILERS]
    written = b"".join([b"0\r\n", *lines, b"\r\n"])
    if written.count(b"\n") != len(lines) + 2 or written.count(b"\r") != len(lines) + 2:
        raise _unwritable()
    return written


def _unwritable() -> UpstreamFailed:
    return UpstreamFailed("The request cannot be written as HTTP/1.1 for the query API.", reason="protocol")
