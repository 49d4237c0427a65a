"""Answers of an upstream that pass as they are, piece by piece; and connections that have left HTTP."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.errors import GatewayError
from gateway.service.messages import ResponseHead, value_of

if TYPE_CHECKING:
    from gateway.service.front import Exchange
    from gateway.service.messages import Headers, Tunnel
    from gateway.service.upstream import UpstreamAnswer

__all__ = ["asks_for_websocket", "pass_on", "tunnel"]

_SMALL: Final = 64 * 1024
_LAST_WORDS: Final = 5.0  # seconds
_UPGRADE: Final = (b"upgrade", b"websocket")


async def pass_on(exchange: Exchange, answer: UpstreamAnswer, headers: Headers, begun: bytes = b"") -> None:
    """Send the answer on under `headers`, as it comes; `begun` is what was read of its body already."""
    head, body = answer.head, answer.body
    told = value_of(head.headers, b"content-length")
    length = int(told) if told is not None else None
    # What has come whole already goes out in one write.
    if length is not None and 0 < length <= _SMALL and exchange.head.method != "HEAD" and head.status != 304:
        more, whole = await answer.whole(_SMALL) if answer.body.complete else (b"", False)
        begun += more
        if whole:
            exchange.answer(head.status, headers, begun)
            return
    await exchange.begin(ResponseHead(head.status, head.reason, headers), length)
    if begun:
        await exchange.write(begun)
    while piece := await body.read():
        await exchange.write(piece)
    await exchange.end(body.trailers)


def asks_for_websocket(headers: Headers) -> bool:
    """Whether a request asks to leave HTTP for WebSocket (RFC 6455). Other protocols are not passed on.

    (`h2c` above all: what is asked in it would pass all routes by.)
    """
    upgrade = value_of(headers, b"upgrade")
    if upgrade is None or upgrade.strip().lower() != b"websocket":
        return False
    return any(
        name == b"connection" and b"upgrade" in [token.strip(b" \t") for token in value.lower().split(b",")]
        for name, value in headers
    )


async def tunnel(exchange: Exchange, answer: UpstreamAnswer, headers: Headers) -> None:
    """Leave HTTP on both sides after the upstream's 101; pass bytes both ways until a side ends, and soon the other."""
    theirs = await answer.upgrade()
    try:
        ours = await exchange.upgrade(ResponseHead(101, answer.head.reason, [*headers, _UPGRADE]))
        try:
            await _both_ways(ours, theirs)
        finally:
            ours.close()
    finally:
        theirs.close()


async def _both_ways(ours: Tunnel, theirs: Tunnel) -> None:
    ways = [asyncio.ensure_future(_one_way(ours, theirs)), asyncio.ensure_future(_one_way(theirs, ours))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        # The other side may have last words. But one that says nothing any more is not waited for: it cannot be told
        # from one that is gone.
        await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION, timeout=_LAST_WORDS)
    finally:
        for way in ways:
            way.cancel()
        for ended in await asyncio.gather(*ways, return_exceptions=True):
            if isinstance(ended, Exception) and not isinstance(ended, GatewayError):
                raise ended


async def _one_way(reads: Tunnel, writes: Tunnel) -> None:
    while piece := await reads.read():
        await writes.write(piece)
    writes.write_eof()
