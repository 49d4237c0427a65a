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
_field: Final = b": ".join
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})


def written_head(head: RequestHead, length: int | None) -> bytes:
    """The bytes of `head` for a body of `length` bytes; `None`: chunked. What `head` says of framing is replaced.

    Raises `UpstreamFailed` if it cannot be written so that it would be read as it is meant.
    """
    headers = head.headers
    for name, _ in headers:
        if name in _FRAMING:
            headers = [field for field in headers if field[0] not in _FRAMING]
            break
    framing: tuple[bytes, ...]
    if length is None:
        framing = (b"transfer-encoding: chunked", b"", b"")
    elif length or head.method not in _BODILESS:
        framing = (b"content-length: %d" % length, b"", b"")
    else:
        framing = (b"", b"")
    try:
        first = f"{head.method} {head.target} HTTP/1.1".encode("latin-1")
    except UnicodeEncodeError:
        raise _unwritable() from None
    written = b"\r\n".join((first, *map(_field, headers), *framing))
    # A line end within a name or a value makes one line more.
    if (
        len(written.splitlines()) != len(headers) + len(framing)
        or first.count(b" ") != 2
        or 0 in written
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
