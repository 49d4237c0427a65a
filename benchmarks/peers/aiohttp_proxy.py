"""A plain aiohttp reverse proxy with the same hook call and no features: what one writes first.

usage: aiohttp_proxy.py PORT UPSTREAM_PORT HOOK_PORT
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import aiohttp
import uvloop
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PORT, UPSTREAM, HOOK = (int(word) for word in sys.argv[1:4])
SESSION = web.AppKey("session", aiohttp.ClientSession)
LIMIT = aiohttp.ClientTimeout(total=1)


async def passed(request: web.Request) -> web.StreamResponse:
    """Stream the upstream's answer through."""
    async with request.app[SESSION].get(f"http://127.0.0.1:{UPSTREAM}{request.path}") as found:
        response = web.StreamResponse(status=found.status, headers={"content-type": "application/json"})
        response.content_length = found.content_length
        await response.prepare(request)
        async for piece in found.content.iter_any():
            await response.write(piece)
        return response


async def hooked(request: web.Request) -> web.Response:
    """Send the upstream's answer to the hook, and answer with what it says."""
    session = request.app[SESSION]
    async with session.get(f"http://127.0.0.1:{UPSTREAM}{request.path}") as found:
        body, status = await found.read(), found.status
    try:
        async with session.post(
            f"http://127.0.0.1:{HOOK}/echo", data=body, headers={"content-type": "application/json"}, timeout=LIMIT
        ) as said:
            after = await said.read()
            if said.status == 200:
                body = after
    except (aiohttp.ClientError, TimeoutError):
        pass
    return web.Response(body=body, status=status, content_type="application/json")


async def session_of(app: web.Application) -> AsyncIterator[None]:
    """The client's session, as long as the application runs."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as app[SESSION]:
        yield


if __name__ == "__main__":
    application = web.Application()
    application.router.add_get("/pass/{rest:.*}", passed)
    application.router.add_get("/{rest:.*}", hooked)
    application.cleanup_ctx.append(session_of)
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    web.run_app(application, host="127.0.0.1", port=PORT, access_log=None, print=None, loop=loop)
