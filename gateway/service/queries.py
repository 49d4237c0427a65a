"""The standalone gateway on bound sockets: served, changed while it runs, drained.

Whoever has a data path and sockets serves queries with it: the one process of `gateway serve`, and each worker.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gateway.service.front import Front, FrontSettings
from gateway.service.proxy import handler_of, opened_upstreams, pseudonym
from gateway.service.site import SHUTDOWN_SECONDS

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Sequence

    from gateway.config import Settings
    from gateway.runtime_data_path import DataPath
    from gateway.service.front import Access

__all__ = ["Queries", "serving_queries"]


class Queries:
    """The standalone gateway of one process while it is served.

    It begins to answer when it is opened (`serving_queries`). What is not drained when it is closed is broken off.
    """

    def __init__(self, front: Front, settings: Settings) -> None:
        self._front = front
        self.settings = settings

    async def stop_accepting(self) -> None:
        """Take no further connections; those that are open live on. Idempotent."""
        await self._front.stop_accepting()

    async def drain(self, seconds: float) -> int:
        """Answer what is in flight, for at most `seconds`; returns how many requests were broken off."""
        return await self._front.drain(seconds)


@asynccontextmanager
async def serving_queries(gateway: DataPath, sockets: Sequence[socket.socket]) -> AsyncIterator[Queries]:
    """Serve the routes of `gateway.settings` on bound sockets, which stay the caller's, until the context ends."""
    settings = gateway.settings

    def told(access: Access) -> None:
        gateway.metrics.http_request("gateway", access.status)

    async with opened_upstreams(settings) as upstreams:
        front = Front(
            handler_of(gateway, settings, upstreams, pseudonym()), FrontSettings.of(settings.server), access=told
        )
        try:
            for each in sockets:
                await front.listen(each)
            yield Queries(front, settings)
        finally:
            await front.drain(SHUTDOWN_SECONDS)
