"""`gateway relay`: what delivers, as a process of its own, with its metrics and health on an address if wanted."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.errors import StoreError
from gateway.observe.metrics import CONTENT_TYPE
from gateway.runtime_relay import open_relay
from gateway.service.ending import Ending, on_signals
from gateway.service.site import site

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Settings
    from gateway.runtime_relay import RelayProcess

__all__ = ["relay_app", "serve_relay"]


async def serve_relay(
    settings: Settings, *, announce: Callable[[str | None], None], stop: asyncio.Event | None = None
) -> None:
    """Deliver until SIGTERM or SIGINT, or until `stop` is set; what is under way then is finished or given back.

    `announce` is told the URL of the metrics, or `None` without relay.listen. Raises `StoreError`, `ConfigError` and
    `ListenFailed`.
    """
    ending = Ending(stop)
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(open_relay(settings))
        url = None
        if settings.relay.listen is not None:
            url = await stack.enter_async_context(site(relay_app(process), settings.relay.listen, "relay.listen"))
        stack.enter_context(on_signals(ending))
        announce(url)
        await ending.asked.wait()


def relay_app(process: RelayProcess) -> web.Application:
    """`/healthz`, `/readyz` and `/metrics` of a relay."""

    async def alive(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def ready(_request: web.Request) -> web.Response:
        try:
            await process.events.ping()
        except StoreError as error:
            problem = {"type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": error.detail}
            return web.json_response(problem, status=503, content_type="application/problem+json")
        return web.json_response({"status": "ok", "under_way": process.relay.under_way})

    async def measured(_request: web.Request) -> web.Response:
        text = await asyncio.to_thread(process.metrics.render)
        return web.Response(body=text, headers={"content-type": CONTENT_TYPE})

    app = web.Application()
    app.router.add_get("/healthz", alive)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/metrics", measured)
    return app
