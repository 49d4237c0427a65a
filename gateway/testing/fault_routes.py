"""The paths of the fault server that are not built into the fake integration server."""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib
from typing import TYPE_CHECKING, Final

from gateway.testing.fault_catalogue import BIG_NUMBERS, DUPLICATE_KEYS
from gateway.testing.hook_messages import Raw, Reply, Request
from gateway.wire import signature

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

__all__ = ["FaultRoutes"]

_JSON: Final = "application/json"
_PATCH: Final = "application/json-patch+json"
_MERGE: Final = "application/merge-patch+json"
_OK: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
_EMPTY: Final = b"content-length: 0\r\n\r\n"
_REPLACED: Final = b'{"replaced":true}'
_DRIP_SECONDS: Final = 0.005
_BOMB_BYTES: Final = 12_000_000
_LATE_MS: Final = 20

_BODIES: Final[Mapping[str, tuple[str, bytes]]] = {
    "/truncated-json": (_JSON, b'{"rows": [1, 2'),
    "/invalid-utf8": (_JSON, b'"caf\xe9"'),
    "/utf8-bom": (_JSON, b"\xef\xbb\xbf{}"),
    "/lone-surrogate": (_JSON, rb'"\ud800"'),
    "/nan": (_JSON, b'{"a":NaN}'),
    "/infinity": (_JSON, b'{"a":-Infinity}'),
    "/trailing-comma": (_JSON, b"[1,]"),
    "/two-documents": (_JSON, b"{}{}"),
    "/depth-100000": (_JSON, b"[" * 100_000 + b"]" * 100_000),
    "/depth-mixed": (_JSON, b'[{"a":' * 50_000),
    "/unlabelled-gzip": (_JSON, gzip.compress(_REPLACED)),
    "/duplicate-keys": (_JSON, DUPLICATE_KEYS),
    "/big-numbers": (_JSON, BIG_NUMBERS),
    "/scalar": (_JSON, b"5"),
    "/charset-latin1": ("application/json; charset=ISO-8859-1", b'"caf\xe9"'),
    "/charset-utf16": ("application/json; charset=utf-16", '{"a":1}'.encode("utf-16")),
    "/merge-patch-scalar": (_MERGE, b"5"),
    "/merge-patch-truncated": (_MERGE, b'{"a":'),
    "/patch-missing-path": (_PATCH, b'[{"op":"replace","path":"/not/there","value":1}]'),
    "/patch-not-a-patch": (_PATCH, b'{"op":"add","path":"/a","value":1}'),
    "/patch-unknown-operation": (_PATCH, b'[{"op":"fly","path":"/a"}]'),
    "/patch-failed-test": (
        _PATCH,
        b'[{"op":"add","path":"","value":{"half":"done"}},{"op":"test","path":"/half","value":1}]',
    ),
    "/patch-bomb": (
        _PATCH,
        b'[{"op":"add","path":"","value":{}}'
        + b"".join(b',{"op":"copy","from":"","path":"/%d"}' % number for number in range(60))
        + b"]",
    ),
    "/patch-too-long": (_PATCH, b"[" + b",".join([b'{"op":"test","path":"","value":0}'] * 10_001) + b"]"),
}

_BYTES: Final[Mapping[str, Raw | bytes]] = {
    "/ssh": Raw(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "/header-line-100k": Raw(_OK + b"x-long: " + b"a" * 100_000 + b"\r\n" + _EMPTY),
    "/ten-thousand-headers": Raw(_OK + b"x-many: 1\r\n" * 10_000 + _EMPTY),
    "/announced": _OK + b"content-length: 1000000000000\r\n\r\n{",
    "/length-too-long": _OK + b"content-length: 100\r\n\r\n" + _REPLACED,
    "/length-too-short": _OK + b"content-length: 5\r\n\r\n" + _REPLACED,
    "/no-type": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    "/interim-only": b"HTTP/1.1 100 Continue\r\n\r\n",
    "/reject-without-problem": Reply.json(b'{"title":"no"}', status=422).encode(),
    "/redirect-internal": Reply(307, [("location", "http://169.254.169.254/latest/meta-data/")]).encode(),
    "/deflate-raw": Reply(
        200, [("content-type", _JSON), ("content-encoding", "deflate")], zlib.compress(_REPLACED)[2:-4]
    ).encode(),
    "/once": Raw(Reply(200, [("content-type", _JSON), ("connection", "close")], _REPLACED).encode()),
}


class FaultRoutes:
    """Answers the paths of the catalogue; holds what must last between calls.

    `secret` is what signed replies are signed with.
    """

    def __init__(self) -> None:
        self.secret: str | None = None
        self._first_signed: Reply | None = None

    def reset(self) -> None:
        """Forget what was replied before."""
        self._first_signed = None

    async def answer(self, request: Request) -> Reply | Raw | bytes | None:
        """The answer to `request`; `None` if its path is none of these."""
        path = request.path
        if path in _BODIES:
            content_type, body = _BODIES[path]
            return Reply.json(body, content_type)
        if path in _BYTES:
            return _BYTES[path]
        if path.startswith("/add/"):
            return Reply.json(b'{"%b":true}' % path.removeprefix("/add/").encode(), _MERGE)
        if path.startswith("/interim/"):
            code = path.removeprefix("/interim/").encode()
            return b"HTTP/1.1 %b Interim\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n" % code
        return await self._special(path, request)

    async def _special(self, path: str, request: Request) -> Reply | Raw | bytes | None:
        match path:
            case "/late":
                await asyncio.sleep((int(request.header("gateway-timeout-ms") or "1000") + _LATE_MS) / 1000)
                return Reply.json(_REPLACED)
            case "/slow-head":
                return Raw(_drip(b"HTTP/1.1 200 OK\r\nx-slow: ", b"a"))
            case "/drip-chunks":
                return Raw(_drip(_OK + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n"))
            case "/deflate-bomb":
                packed = zlib.compress(bytes(_BOMB_BYTES), 1)
                return Reply(200, [("content-type", _JSON), ("content-encoding", "deflate")], packed)
            case "/br-bomb":
                return Reply(200, [("content-type", _JSON), ("content-encoding", "br")], bytes(_BOMB_BYTES))
            case "/signed" | "/signed-for-another" | "/signed-by-another" | "/signed-long-ago" | "/replayed":
                return self._signed(path, request)
            case _:
                return None

    def _signed(self, path: str, request: Request) -> Reply:
        if path == "/replayed" and self._first_signed is not None:
            return self._first_signed
        if self.secret is None:
            return Reply.json(b'{"title":"The fault server was not told the secret."}', status=500)
        ident = request.header(signature.ID) or ""
        if path == "/signed-for-another":
            ident = "msg_of_another_call"
        timestamp = int(time.time()) - (3600 if path == "/signed-long-ago" else 0)
        secret = signature.new_secret() if path == "/signed-by-another" else self.secret
        signed = signature.sign([signature.key_of(secret)], ident, timestamp, _REPLACED)
        headers = [
            ("content-type", _JSON),
            (signature.ID, ident),
            (signature.TIMESTAMP, str(timestamp)),
            (signature.SIGNATURE, signed),
        ]
        reply = Reply(200, headers, _REPLACED)
        if path == "/replayed":
            self._first_signed = reply
        return reply


async def _drip(start: bytes, piece: bytes) -> AsyncGenerator[bytes, None]:
    yield start
    while True:
        yield piece
        await asyncio.sleep(_DRIP_SECONDS)
