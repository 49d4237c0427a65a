"""The built-in paths of `gateway.testing.hook_server.HookServer`.

Well-behaved: `/unchanged` `/echo` `/replace` `/json-patch` `/merge-patch` `/reject` `/gone` `/status/{code}`
`/redirect` `/set-cookie` `/empty-200` `/gzip` `/big?size=N` `/chunked` `/until-close`.
Wrong in what they say: `/bad-json` `/wrong-type`. Slow: `/slow` (until `HookServer.release`), `/hang` (for ever),
`/drip` (a body byte every few milliseconds, without end). Broken or hostile: all in `_BYTES` and `_STREAMS`.
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from typing import TYPE_CHECKING, Final

import orjson

from gateway.testing.hook_messages import Raw, Reply, Request

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from gateway.testing.hook_server import HookServer

__all__ = ["standard_route"]

_DRIP_SECONDS: Final = 0.005
_PIECE: Final = 64 * 1024
_OK: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
_EMPTY: Final = b"content-length: 0\r\n\r\n"

# Sent as they are; then the connection is closed.
_BYTES: Final[Mapping[str, bytes]] = {
    "/hang-up": b"",
    "/cut-head": b"HTTP/1.1 200 OK\r\ncontent-ty",
    "/cut-body": _OK + b"content-length: 100\r\n\r\n" + b'{"rows":[',
    "/cut-chunk": _OK + b"transfer-encoding: chunked\r\n\r\n20\r\n" + b'{"rows":[',
    "/no-last-chunk": _OK + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
    "/until-close": _OK + b"\r\n" + b'{"until":"close"}',
    "/http10": b'HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n{"version":"1.0"}',
    "/garbage": b"\x16\x03\x01\x02\x00 this is no HTTP \x00\xff\r\n\r\n",
    "/http09": b'{"no":"head"}',
    "/http2": b"HTTP/2.0 200 OK\r\n" + _EMPTY,
    "/icecast": b"ICY 200 OK\r\n" + _EMPTY,
    "/status-000": b"HTTP/1.1 000 None\r\n" + _EMPTY,
    "/status-999": b"HTTP/1.1 999 Beyond\r\n" + _EMPTY,
    "/leading-lines": b"\r\n\r\n" + _OK + _EMPTY,
    "/bare-lf": b"HTTP/1.1 200 OK\ncontent-type: application/json\ncontent-length: 2\n\n{}",
    "/folded": _OK + b"x-folded: a\r\n b\r\n" + _EMPTY,
    "/nul-header": _OK + b"x-nul: a\x00b\r\n" + _EMPTY,
    "/space-before-colon": _OK + b"x-space : a\r\n" + _EMPTY,
    "/two-lengths": _OK + b"content-length: 2\r\ncontent-length: 4\r\n\r\n{}{}",
    "/length-list": _OK + b"content-length: 2, 2\r\n\r\n{}",
    "/length-negative": _OK + b"content-length: -2\r\n\r\n{}",
    "/length-and-chunked": _OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "/chunked-and-length": _OK + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "/transfer-gzip": _OK + b"transfer-encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "/transfer-identity": _OK + b"transfer-encoding: identity\r\n\r\n{}",
    "/chunk-garbage": _OK + b"transfer-encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n",
    "/chunk-overrun": _OK + b"transfer-encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
    "/unknown-encoding": _OK + b"content-encoding: br\r\ncontent-length: 2\r\n\r\n{}",
    "/two-encodings": _OK + b"content-encoding: gzip, gzip\r\ncontent-length: 2\r\n\r\n{}",
    "/encoded-twice": _OK + b"content-encoding: gzip\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}",
    "/upgrade": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n",
    "/continue-flood": b"HTTP/1.1 100 Continue\r\n\r\n" * 100 + b"HTTP/1.1 204 No Content\r\n\r\n",
    "/long-header": _OK + b"x-long: " + b"a" * 1_000_000 + b"\r\n" + _EMPTY,
    "/many-headers": _OK + b"x-many: 1\r\n" * 1000 + _EMPTY,
}

# Sent as they are; the connection stays open.
_OPEN_BYTES: Final[Mapping[str, bytes]] = {
    "/chunked": _OK + b'transfer-encoding: chunked\r\n\r\n4;x=y\r\n{"a"\r\n3\r\n:1}\r\n0\r\nx-trailer: 1\r\n\r\n',
    "/early-hints": b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + _OK + b"content-length: 2\r\n\r\n{}",
    "/pipelined": b"HTTP/1.1 204 No Content\r\n\r\n" + _OK + b'content-length: 16\r\n\r\n{"poison": true}',
    "/half-pipelined": _OK + b"content-length: 2\r\n\r\n{}HTTP/1.1 2",
    "/unchanged-with-length": b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n",
}

_JSON: Final[Mapping[str, tuple[int, str, bytes]]] = {
    "/replace": (200, "application/json", b'{"replaced":true}'),
    "/json-patch": (200, "application/json-patch+json", b'[{"op":"add","path":"/patched","value":true}]'),
    "/merge-patch": (200, "application/merge-patch+json", b'{"merged":true}'),
    "/reject": (422, "application/problem+json", b'{"title":"This query is not allowed.","status":422}'),
    "/bad-json": (200, "application/json", b'{"rows": ['),
    "/wrong-type": (200, "text/html", b"<h1>It works!</h1>"),
    "/empty-200": (200, "application/json", b""),
}


async def standard_route(server: HookServer, request: Request) -> Reply | Raw | bytes:
    """The answer of the built-in path that `request` names; 404 if there is none such."""
    path = request.path
    if path in _JSON:
        status, content_type, body = _JSON[path]
        return Reply.json(body, content_type, status)
    if path in _BYTES:
        return Raw(_BYTES[path])
    if path in _OPEN_BYTES:
        return _OPEN_BYTES[path]
    if path in _STREAMS:
        return Raw(_STREAMS[path](request))
    if path.startswith("/status/"):
        return Reply(int(path.removeprefix("/status/")))
    if path == "/slow":
        await server.released()
    if path == "/hang":
        await asyncio.Event().wait()
    return _plain(path, request)


def _plain(path: str, request: Request) -> Reply:
    body = b'{"ok":true}' * 50
    match path:
        case "/unchanged" | "/slow":
            return Reply(204)
        case "/echo":
            return Reply.json(_result_of(request))
        case "/gone":
            return Reply(410)
        case "/redirect":
            return Reply(302, [("location", "/replace")])
        case "/set-cookie":
            return Reply(204, [("set-cookie", "session=secret; Path=/")])
        case "/gzip":
            return Reply(200, [("content-type", "application/json"), ("content-encoding", "gzip")], gzip.compress(body))
        case "/deflate":
            packed = zlib.compress(body)
            return Reply(200, [("content-type", "application/json"), ("content-encoding", "deflate")], packed)
        case "/gzip-cut":
            return Reply(200, [("content-encoding", "gzip")], gzip.compress(body)[:-4])
        case "/gzip-trailing":
            return Reply(200, [("content-encoding", "gzip")], gzip.compress(body) + b"more")
        case "/gzip-garbage":
            return Reply(200, [("content-encoding", "gzip")], b"this is not compressed")
        case "/gzip-bomb":
            return Reply(200, [("content-encoding", "gzip")], gzip.compress(bytes(12_000_000), 1))
        case _:
            return Reply(404)


def _result_of(request: Request) -> bytes:
    """The result a call brought, in either form of delivery."""
    if (request.header("content-type") or "").startswith("application/cloudevents+json"):
        return orjson.dumps(orjson.loads(request.body)["data"]["result"])
    return request.body


async def _big(request: Request) -> AsyncGenerator[bytes, None]:
    """A body of `size` bytes (10 million if not given), with its length or, with `chunked`, without."""
    left = int(request.query.get("size", "10000000"))
    chunked = "chunked" in request.query
    yield _OK + (b"transfer-encoding: chunked\r\n\r\n" if chunked else b"content-length: %d\r\n\r\n" % left)
    while left:
        piece = b" " * min(left, _PIECE)
        left -= len(piece)
        yield b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece
    if chunked:
        yield b"0\r\n\r\n"


async def _drip(request: Request) -> AsyncGenerator[bytes, None]:
    yield _OK + b"content-length: 50000\r\n\r\n"
    while True:
        yield b" "
        await asyncio.sleep(_DRIP_SECONDS)


async def _endless(start: bytes, piece: bytes) -> AsyncGenerator[bytes, None]:
    yield start
    while True:
        yield piece


_STREAMS: Final[Mapping[str, Callable[[Request], AsyncGenerator[bytes, None]]]] = {
    "/big": _big,
    "/drip": _drip,
    "/endless-body": lambda _: _endless(_OK + b"\r\n", b" " * _PIECE),
    "/endless-header": lambda _: _endless(_OK + b"x-endless: ", b"a" * _PIECE),
    "/endless-headers": lambda _: _endless(_OK, b"x-endless: a\r\n" * 1000),
    "/endless-extension": lambda _: _endless(_OK + b"transfer-encoding: chunked\r\n\r\n2;x=", b"a" * _PIECE),
    "/endless-trailers": lambda _: _endless(
        _OK + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"x-endless: a\r\n" * 1000
    ),
}
