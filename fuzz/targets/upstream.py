"""Answers of upstreams: any bytes in any pieces are one answer or one `UpstreamFailed`, and no forged one behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fuzz.pieces import Pieces
from gateway.service.upstream.limits import Limits
from gateway.testing import hook_routes
from gateway.testing.upstream_wire import AnswerRead, read_answer

if TYPE_CHECKING:
    from collections.abc import Mapping

_LIMITS: Final = Limits(head=1500)
_METHODS: Final = ("GET", "POST", "HEAD")
WORDS: Final = (
    b"HTTP/1.1 ", b"HTTP/1.0 ", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"\r\n", b"\r\n\r\n", b": ",
    b"content-length: ", b"transfer-encoding: chunked\r\n", b"connection: close\r\n", b"keep-alive: timeout=5\r\n",
    b"0\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n", b"204", b"304", b"103", b"2;x=y\r\n", b"\r\n\t",
)  # fmt: skip


def check(data: bytes) -> None:
    """Read one connection's bytes in pieces and whole: it must come to the same."""
    pieces = Pieces(data)
    cuts = [pieces.below(256) * 8 + pieces.below(256) for _ in range(pieces.below(6))]
    method = pieces.pick(_METHODS)
    upgrade = pieces.flag()
    message = pieces.rest()
    whole = read_answer(message, (), _LIMITS, method=method, upgrade=upgrade)
    _within_limits(whole)
    in_pieces = read_answer(message, cuts, _LIMITS, method=method, upgrade=upgrade)
    _within_limits(in_pieces)
    if whole.head is None or whole.failed:
        # Which part of it can still be used may depend on the pieces; that something is wrong may not.
        assert in_pieces.head is None or in_pieces.failed
        return
    assert (whole.interim, whole.head, whole.body, whole.trailers) == (
        in_pieces.interim, in_pieces.head, in_pieces.body, in_pieces.trailers,
    )  # fmt: skip
    assert not in_pieces.failed
    assert whole.kept <= message.endswith((b"\n", whole.body)), "a connection with bytes behind the answer was kept"


def _within_limits(read: AnswerRead) -> None:
    for head in (*read.interim, *([] if read.head is None else [read.head])):
        assert 100 <= head.status <= 599
        assert sum(len(name) + len(value) for name, value in head.headers) <= _LIMITS.head
        for name, value in head.headers:
            assert name
            assert name == name.lower().strip()
            assert not set(name + value) & set(b"\r\n\0")
    if read.head is not None and read.head.status in {204, 304}:
        assert not read.body


def seeds() -> Mapping[str, bytes]:
    """Answers as servers send them, and broken ones."""
    plain = {
        "length": b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"rows":[]}',
        "chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nx-t: 1\r\n\r\n",
        "hints": b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 422 No\r\ncontent-length: 2\r\n\r\n{}",
        "to-the-end": b"HTTP/1.0 200 OK\r\nserver: x\r\n\r\nhello",
        "not-modified": b"HTTP/1.1 304 Not Modified\r\netag: x\r\ncontent-length: 5\r\n\r\n",
        "forged": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n!HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    }
    broken = {name.strip("/"): data for name, data in sorted(hook_routes._BYTES.items()) if 0 < len(data) < 500}
    found = {name: b"\x02\x00\x14\x03\x02\x00\x00" + data for name, data in (plain | broken).items()}
    found["by-bytes"] = b"\x05\x00\x01\x00\x02\x00\x03\x02\x00\x02\x01\x00\x00" + plain["length"]
    found["switch"] = b"\x02\x00\x14\x03\x02\x00\x01HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\nhello"
    found["head"] = b"\x02\x00\x14\x03\x02\x02\x00HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n"
    return found
