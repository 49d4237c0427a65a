"""An aiohttp application on sockets that are bound already."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from gateway.service.http_log import HttpLog
from gateway.service.sockets import BACKLOG, bound, listener_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Sequence

    from gateway.config import Address, UnixAddress

__all__ = ["SHUTDOWN_SECONDS", "serve_sockets", "site", "start_server"]

SHUTDOWN_SECONDS: Final = 15.0


async def start_server(
    factory: Callable[[], asyncio.BaseProtocol], bound_socket: socket.socket, ssl_context: ssl.SSLContext | None = None
) -> asyncio.AbstractServer:
    """Accept connections of `bound_socket`, TCP or Unix, with protocols from `factory`. The file is left alone."""
    loop = asyncio.get_running_loop()
    if bound_socket.family != socket.AF_UNIX:
        return await loop.create_server(factory, sock=bound_socket, ssl=ssl_context, backlog=BACKLOG)
    options: dict[str, Any] = {"sock": bound_socket, "ssl": ssl_context, "backlog": BACKLOG}
    if _removes_files(loop):
        options["cleanup_socket"] = False
    return await loop.create_unix_server(factory, **options)


def _removes_files(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the loop would remove a socket's file when it is closed (asyncio since Python 3.13)."""
    kept = asyncio.SelectorEventLoop.create_unix_server.__kwdefaults__ or {}
    return isinstance(loop, asyncio.SelectorEventLoop) and "cleanup_socket" in kept


class _Site(web.BaseSite):
    """A site of aiohttp's on one bound socket."""

    __slots__ = ("_socket",)

    def __init__(self, runner: web.AppRunner, bound_socket: socket.socket, ssl_context: ssl.SSLContext | None) -> None:
        super().__init__(runner, ssl_context=ssl_context)
        self._socket = bound_socket

    @property
    def name(self) -> str:
        return str(self._socket.getsockname())

    async def start(self) -> None:
        await super().start()
        server = self._runner.server
        assert server is not None
        self._server = await start_server(server, self._socket, self._ssl_context)


@asynccontextmanager
async def serve_sockets(
    app: web.Application,
    sockets: Sequence[socket.socket],
    *,
    ssl_context: ssl.SSLContext | None = None,
    at_once: asyncio.Event | None = None,
) -> AsyncIterator[web.AppRunner]:
    """Serve `app` on bound sockets until the context ends; then requests in flight are answered first.

    Not so if `at_once` is set, or gets set while they are answered.
    """
    runner = web.AppRunner(
        app, access_log=None, logger=HttpLog(), shutdown_timeout=SHUTDOWN_SECONDS, handle_signals=False
    )
    await runner.setup()
    try:
        for each in sockets:
            await _Site(runner, each, ssl_context).start()
        yield runner
    finally:
        if at_once is not None:
            await _finish(runner, at_once)
        await runner.cleanup()


async def _finish(runner: web.AppRunner, at_once: asyncio.Event) -> None:
    """Answer what is in flight, for as long as nobody insists; then nothing is left for `cleanup` to wait for."""
    server = runner.server
    assert server is not None
    for each in list(runner.sites):
        await each.stop()
    await asyncio.sleep(0)  # what was accepted just now begins to be handled
    server.pre_shutdown()
    answered = asyncio.create_task(server.shutdown(SHUTDOWN_SECONDS))
    insisted = asyncio.create_task(at_once.wait())
    await asyncio.wait({answered, insisted}, return_when=asyncio.FIRST_COMPLETED)
    for task in (answered, insisted):
        task.cancel()
    await asyncio.gather(answered, insisted, return_exceptions=True)
    await server.shutdown(0)


@asynccontextmanager
async def site(app: web.Application, address: Address | UnixAddress, setting: str) -> AsyncIterator[str]:
    """Serve `app` on `address`; yields its URL. Raises `ListenFailed`, which names `setting`."""
    with bound(address, setting) as sockets:
        async with serve_sockets(app, sockets):
            yield listener_of(sockets, setting, "http").url
