"""The response reader: any bytes in any pieces are one response or one `CallError`, and the caps hold."""

from __future__ import annotations

import gzip
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from fuzz.pieces import Pieces
from gateway.errors import CallError
from gateway.testing import hook_routes
from gateway.transport.buffers import ReplyBuffers
from gateway.transport.protocol import Limits, Response
from gateway.transport.reading import ResponseReader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LIMITS: Final = Limits(body=2000, head=1500, header_count=20)
WORDS: Final = (
    b"HTTP/1.1 ", b"HTTP/1.0 ", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"\r\n", b"\r\n\r\n", b": ",
    b"content-length: ", b"transfer-encoding: chunked\r\n", b"content-encoding: gzip\r\n", b"connection: close\r\n",
    b"0\r\n\r\n", b"deflate", b"\x1f\x8b\x08", b"204", b"304", b"101", b"2;x=y\r\n",
)  # fmt: skip


def check(data: bytes) -> None:
    """Read one connection's bytes in pieces, whole, and once more by the same reader."""
    pieces = Pieces(data)
    cuts = [pieces.below(256) * 8 + pieces.below(256) for _ in range(pieces.below(6))]
    repeat = pieces.flag()
    message = pieces.rest()
    buffers = ReplyBuffers(1024 * 1024)
    reader = ResponseReader(buffers, "hk_1")
    whole = _read(reader, message, ())
    again = _read(reader, message, cuts) if repeat and isinstance(whole, Response) and reader.keep else None
    in_pieces = _read(ResponseReader(buffers, "hk_1"), message, cuts)
    assert _alike(whole, in_pieces)
    if again is not None:
        assert _alike(whole, again), "a reader that has seen such a reply reads it in another way"


def _read(reader: ResponseReader, message: bytes, cuts: Sequence[int]) -> Response | CallError | None:
    reader.begin(_LIMITS)
    edges = sorted({0, len(message), *(min(cut, len(message)) for cut in cuts)})
    for start, end in pairwise(edges):
        try:
            response = reader.feed(message[start:end])
        except CallError as error:
            assert "fault of the gateway" not in error.detail
            assert type(error) is not CallError
            reader.close()
            return error
        if response is not None:
            _within_caps(response)
            return response
    return None


def _within_caps(response: Response) -> None:
    assert 200 <= response.status <= 599
    assert len(response.body) <= _LIMITS.body
    assert response.received <= _LIMITS.body
    assert len(response.headers) <= _LIMITS.header_count
    assert sum(len(name) + len(value) for name, value in response.headers) <= _LIMITS.head
    for name, value in response.headers:
        assert name
        assert not set(name + value) & set("\r\n\0")


def _alike(one: Response | CallError | None, other: Response | CallError | None) -> bool:
    if isinstance(one, Response) and isinstance(other, Response):
        return (one.status, list(one.headers), one.body, one.received) == (
            other.status, list(other.headers), other.body, other.received,
        )  # fmt: skip
    # Which of two faults is seen first may depend on the pieces; that there is one may not.
    return (one is None) == (other is None) and isinstance(one, CallError) == isinstance(other, CallError)


def seeds() -> Mapping[str, bytes]:
    """Replies as servers send them, and the broken ones of the test server."""
    packed = gzip.compress(b'{"rows":[]}' * 20, mtime=0)
    plain = {
        "unchanged": b"HTTP/1.1 204 No Content\r\n\r\n",
        "length": b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"rows":[]}',
        "chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nx-t: 1\r\n\r\n",
        "hints": b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 422 No\r\ncontent-length: 2\r\n\r\n{}",
        "gzip": b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n%b" % (len(packed), packed),
    }
    broken = {name.strip("/"): data for name, data in sorted(hook_routes._BYTES.items()) if 0 < len(data) < 500}
    found = {name: b"\x02\x00\x14\x03\x02\x01" + data for name, data in (plain | broken).items()}
    found["by-bytes"] = b"\x05\x00\x01\x00\x02\x00\x03\x02\x00\x02\x01\x00" + plain["length"]
    return found
