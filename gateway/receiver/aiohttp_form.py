"""A server as an aiohttp application, and as a process of its own."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from aiohttp import web

from gateway.errors import ListenFailed
from gateway.receiver.messages import Headers, Request

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from gateway.receiver.messages import HttpReply
    from gateway.receiver.server import Server

__all__ = ["aiohttp_application", "run", "serving"]

_SHUTDOWN_SECONDS: Final = 15.0


def aiohttp_application(server: Server, *, living: bool = True) -> web.Application:
    """The application: every path and method goes to `server`, which lives with it unless `living` is false."""

    async def handle(request: web.Request) -> web.Response:
        arrived = server.clock()
        body = bytearray()
        try:
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > server.max_body_bytes:
                    response = _response(server.too_large())
                    response.force_close()
                    return response
        except web.RequestPayloadError:
            return web.Response(status=400)
        reply = await server.answer(
            Request(request.method, request.path, Headers(request.headers.items()), bytes(body), arrived)
        )
        return _response(reply)

    async def live(_app: web.Application) -> AsyncIterator[None]:
        async with server.living():
            yield

    app = web.Application(handler_args={"auto_decompress": False})
    app.router.add_route("*", "/{path:.*}", handle)
    if living:
        app.cleanup_ctx.append(live)
    return app


def _response(reply: HttpReply) -> web.Response:
    return web.Response(status=reply.status, headers=dict(reply.headers), body=reply.body or None)


@asynccontextmanager
async def serving(
    server: Server, host: str, port: int, *, ssl_context: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Serve until the context ends; yields the URL. It lives while it can be reached: from after to before.

    Raises `ListenFailed`.
    """
    runner = web.AppRunner(
        aiohttp_application(server, living=False),
        access_log=None,
        handle_signals=False,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port, ssl_context=ssl_context).start()
        except OSError as error:
            why = (error.strerror or type(error).__name__).lower()
            raise ListenFailed(f"Cannot listen on {host}:{port}: {why}. Choose another port.") from None
        bound = runner.addresses[0]
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        async with server.living():
            yield f"{'https' if ssl_context else 'http'}://{shown}:{bound[1]}"
    finally:
        await runner.cleanup()


async def run(server: Server, host: str, port: int, *, ssl_context: ssl.SSLContext | None = None) -> None:
    """Serve until SIGTERM or SIGINT. Raises `ListenFailed`."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(server, host, port, ssl_context=ssl_context) as url:
        print(f"listening on {url}", flush=True)  # noqa: T201  whoever starts the program wants to know
        await stop.wait()
