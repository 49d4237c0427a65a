"""The front: any bytes in any pieces are clear requests or a refusal, and llhttp does not read other ones."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from fuzz.pieces import Pieces
from gateway.service.front import FrontSettings
from gateway.testing.front_wire import Seen, SeenRequest, read_requests

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LIMITS: Final = FrontSettings(max_header_bytes=1500, max_headers=20, max_target_bytes=200)
_LOOP: Final = asyncio.new_event_loop()
WORDS: Final = (
    b"GET / HTTP/1.1\r\n", b"POST /x?y HTTP/1.0\r\n", b"host: a\r\n", b"content-length: ", b"expect: 100-continue\r\n",
    b"transfer-encoding: chunked\r\n", b"connection: ", b"close", b"keep-alive", b"upgrade: x\r\n", b"\r\n\r\n", b": ",
    b"0\r\n\r\n", b"3;a=b\r\nabc\r\n", b"http://a/", b"OPTIONS * ", b"\x0b", b" HTTP/1.1\r\n",
)  # fmt: skip


def check(data: bytes) -> None:
    """Read one connection's bytes whole and in pieces; write the requests anew; compare with another parser."""
    pieces = Pieces(data)
    cuts = [pieces.below(256) * 8 + pieces.below(256) for _ in range(pieces.below(6))]
    message = pieces.rest()
    whole, in_pieces = _read(message, ()), _read(message, cuts)
    assert whole.requests == in_pieces.requests
    assert whole.ended == in_pieces.ended
    for seen in (whole, in_pieces):
        _answered_well(seen)
    for request in whole.requests:
        _reads_the_same_again(request)
    for ours, theirs in zip(whole.requests, _Llhttp(message).requests, strict=False):
        if theirs[1][:1] == b"/":  # a target in absolute form is written anew by the front
            assert (ours.method.encode(), ours.target.encode(), ours.headers, ours.body) == theirs


def _read(message: bytes, cuts: Sequence[int]) -> Seen:
    edges = sorted({0, len(message), *(min(cut, len(message)) for cut in cuts)})
    return _LOOP.run_until_complete(read_requests([message[a:b] for a, b in pairwise(edges)], _LIMITS))


def _answered_well(seen: Seen) -> None:
    assert b"HTTP/1.1 500" not in seen.output
    refusals = seen.output.count(b"application/problem+json")
    assert refusals <= 1
    assert not refusals or seen.ended
    for request in seen.requests:
        assert len(request.headers) <= _LIMITS.max_headers
        assert len(request.target) <= _LIMITS.max_target_bytes
        for name, value in request.headers + request.trailers:
            assert name
            assert name == name.lower()
            assert not set(name + value) & set(b"\r\n\0")


def _reads_the_same_again(request: SeenRequest) -> None:
    headers = [field for field in request.headers if field[0] not in {b"content-length", b"transfer-encoding"}]
    if not any(name == b"host" for name, _ in headers):
        headers.append((b"host", b"a"))
    lines = [b"%b: %b\r\n" % field for field in headers]
    if request.body:
        lines.append(b"content-length: %d\r\n" % len(request.body))
    start = f"{request.method} {request.target} HTTP/1.1\r\n".encode()
    (again,) = _read(start + b"".join(lines) + b"\r\n" + request.body, ()).requests
    assert (again.method, again.target, again.body) == (request.method, request.target, request.body)


class _Llhttp:
    """What llhttp reads, up to what it refuses or leaves to another protocol."""

    def __init__(self, data: bytes) -> None:
        self.requests: list[tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]] = []
        self._parser = HttpRequestParser(self)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            return

    def on_message_begin(self) -> None:
        self._url = self._body = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._in_head, self._upgrade = True, False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            self._headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self._in_head, self._upgrade = False, self._parser.should_upgrade()

    def on_body(self, piece: bytes) -> None:
        self._body += piece

    def on_message_complete(self) -> None:
        if not self._upgrade:
            self.requests.append((self._parser.get_method(), self._url, self._headers, self._body))


def seeds() -> Mapping[str, bytes]:
    """Requests as clients send them, and as those send them who try to hide another one in them."""
    get = b"GET /a?b HTTP/1.1\r\nHost: a.example:80\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n"
    post = b"POST / HTTP/1.1\r\nhost: a\r\n"
    plain = {
        "get": get,
        "pipelined": get * 3,
        "length": post + b"content-length: 5\r\n\r\nhello" + get,
        "chunked": post + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n02\r\nde\r\n0\r\nx-t: 1\r\n\r\n" + get,
        "expect": post + b"expect: 100-continue\r\ncontent-length: 2\r\n\r\n{}",
        "http10": b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n" + get,
        "absolute": b"GET http://a/x HTTP/1.1\r\nhost: a\r\n\r\n",
        "asterisk": b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
        "upgrade": b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        "upgrade-with-body": post + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 3\r\n\r\nabc" + get,
        "empty-lines": b"\r\n\r\n" + get + b"\r\n" + get,
        "close": b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" + get,
        "length-and-chunked": post + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + get,
        "two-lengths": post + b"content-length: 5\r\ncontent-length: 0\r\n\r\nhello",
        "chunked-twice": post + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "chunked-10": b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + get,
        "bare-lf": b"GET / HTTP/1.1\nhost: a\n\n" + get,
        "bare-cr": post + b"x: a\rtransfer-encoding: chunked\r\n\r\n",
        "folded": post + b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        "space-before-colon": post + b"content-length : 5\r\n\r\nhello",
        "chunk-bare-lf": post + b"transfer-encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
        "chunk-overrun": post + b"transfer-encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
        "no-host": b"GET / HTTP/1.1\r\nx: y\r\n\r\n",
        "two-hosts": post + b"host: b\r\n\r\n",
        "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    }
    found = {name: b"\x02\x00\x14\x05\x02" + data for name, data in plain.items()}
    found["by-bytes"] = b"\x05\x00\x01\x00\x02\x00\x03\x02\x00\x02\x01" + plain["chunked"]
    return found
