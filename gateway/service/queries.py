"""The standalone gateway on bound sockets: served, changed while it runs, drained.

Whoever has a data path and sockets serves queries with it: the one process of `gateway serve`, and each worker.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from gateway.config import Selector
from gateway.service.proxy import Route, Take, proxy_app
from gateway.service.site import serve_sockets

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Sequence

    from aiohttp import web

    from gateway.config import RouteSettings, Settings
    from gateway.model import Query
    from gateway.runtime_data_path import DataPath

__all__ = ["Queries", "serving_queries"]

_LONGEST: Final = 86_400.0


class Queries:
    """The standalone gateway of one process while it is served.

    It begins to answer when it is opened (`serving_queries`). What is not drained when it is closed is broken off.
    """

    def __init__(self, runner: web.AppRunner, settings: Settings) -> None:
        self._runner = runner
        self.settings = settings

    async def stop_accepting(self) -> None:
        """Take no further connections; those that are open live on. Idempotent."""
        for site in list(self._runner.sites):
            await site.stop()

    async def drain(self, seconds: float) -> int:
        """Answer what is in flight, for at most `seconds`; returns how many requests were broken off."""
        await self.stop_accepting()
        server = self._runner.server
        if server is None:
            return 0
        server.pre_shutdown()
        try:
            async with asyncio.timeout(seconds):
                await server.shutdown(_LONGEST)
        except TimeoutError:
            broken_off = len(server.connections)
            await server.shutdown(0)
            return broken_off
        return 0


@asynccontextmanager
async def serving_queries(gateway: DataPath, sockets: Sequence[socket.socket]) -> AsyncIterator[Queries]:
    """Serve the routes of `gateway.settings` on bound sockets, which stay the caller's, until the context ends."""
    settings = gateway.settings
    app = proxy_app(
        gateway.chain,
        [_route(route) for route in settings.effective_routes()],
        max_result_bytes=settings.calls.max_result_bytes,
        is_wanted=lambda query: bool(_selected(gateway, query)),
        debug=gateway.debug,
    )

    async def count(_request: web.Request, response: web.StreamResponse) -> None:
        gateway.metrics.http_request("gateway", response.status)

    app.on_response_prepare.append(count)
    async with serve_sockets(app, sockets) as runner:
        yield Queries(runner, settings)


def _selected(gateway: DataPath, query: Query) -> Sequence[object]:
    return gateway.registry.snapshot.select(query.type, query.capability, query.tenant)


def _route(settings: RouteSettings) -> Route:
    return Route(
        path=settings.path,
        upstream=settings.upstream,
        methods=frozenset(settings.methods),
        type=_take(settings.type),
        capability=_take(settings.capability) if settings.capability else None,
        tenant=_take(settings.tenant) if settings.tenant else None,
        params=_take(settings.params) if isinstance(settings.params, Selector) else None,
        result_at=settings.result_at,
    )


def _take(selector: Selector) -> Take:
    kind = selector.kind
    assert kind is not None  # a Selector has exactly one
    return Take(kind, getattr(selector, kind))
