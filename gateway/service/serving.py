"""The gateway as a process of its own: the control API and the standalone gateway on their addresses."""

from __future__ import annotations

import asyncio
import errno
import signal
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp import web

from gateway.errors import ListenFailed
from gateway.runtime import open_gateway
from gateway.service.control import control_app
from gateway.service.data_source import HttpDataSource
from gateway.service.http_log import HttpLog
from gateway.service.operator_keys import operator_keys
from gateway.service.proxy import Route, Take, proxy_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from gateway.config import Address, RouteSettings, Selector, Settings
    from gateway.model import Query
    from gateway.pipeline import QueryPipeline
    from gateway.runtime import Gateway

SHUTDOWN_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Listening:
    """What a served gateway tells once it can be reached.

    `gateway_url` is `None` where no upstream is configured. `new_operator_key` is the operator key that was made at
    this first start, and `operator_key_file` where it is kept, if the configuration has none.
    """

    control_url: str
    gateway_url: str | None = None
    new_operator_key: str | None = field(default=None, repr=False)
    operator_key_file: Path | None = None


async def serve(
    settings: Settings,
    *,
    announce: Callable[[Listening], None],
    stop: asyncio.Event | None = None,
) -> None:
    """Run the control API, and the standalone gateway where an upstream is configured.

    Returns after SIGTERM or SIGINT, or when `stop` is set, once requests in flight have been answered.
    Raises `StoreError`, `ConfigError` and `ListenFailed`.
    """
    stop = stop or asyncio.Event()
    keys, new_key, key_file = operator_keys(settings)
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(open_gateway(settings))
        control_url, gateway_url = await stack.enter_async_context(listening(gateway, keys))
        stop_on_signals(stop, stack)
        announce(Listening(control_url, gateway_url, new_key, key_file))
        await stop.wait()


def stop_on_signals(stop: asyncio.Event, stack: AsyncExitStack) -> None:
    """Set `stop` at SIGTERM and SIGINT, until `stack` is left."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop.set)
        except (NotImplementedError, RuntimeError, ValueError):  # no main thread, or no such signals here
            return
        stack.callback(loop.remove_signal_handler, number)


@asynccontextmanager
async def listening(gateway: Gateway, keys: Sequence[str]) -> AsyncIterator[tuple[str, str | None]]:
    """Serve `gateway` until the context ends; yields the URLs of the control API and of the standalone gateway."""
    settings = gateway.settings
    async with AsyncExitStack() as stack:
        pipeline: QueryPipeline | None = None
        if settings.data_source.url is not None:
            session = await stack.enter_async_context(
                aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
            )
            pipeline = gateway.pipeline(HttpDataSource(session, settings.data_source.url))
        control = control_app(
            gateway.registry,
            operator_keys=keys,
            metrics=gateway.metrics,
            pipeline=pipeline,
            protections=gateway.protections,
            health=gateway.health,
            insight=gateway.insight,
            desk=gateway.desk,
            ready=partial(_ready, gateway),
            reuse=gateway.reuse,
            max_body_bytes=settings.control.max_body_bytes,
            max_failed_auth=settings.control.max_failed_auth,
            failed_auth_window_seconds=settings.control.failed_auth_window_seconds,
        )
        control_url = await stack.enter_async_context(site(control, settings.control.listen, "control.listen"))
        gateway.debug.accept(keys)
        gateway_url = None
        if routes := settings.effective_routes():
            app = proxy_app(
                gateway.chain,
                [_route(route) for route in routes],
                max_result_bytes=settings.calls.max_result_bytes,
                is_wanted=lambda query: bool(_selected(gateway, query)),
                debug=gateway.debug,
            )

            async def count(_request: web.Request, response: web.StreamResponse) -> None:
                gateway.metrics.http_request("gateway", response.status)

            app.on_response_prepare.append(count)
            gateway_url = await stack.enter_async_context(site(app, settings.listen, "listen"))
        yield control_url, gateway_url


async def _ready(gateway: Gateway) -> None:
    await gateway.registry.ping()
    await gateway.events.ping()


def _selected(gateway: Gateway, query: Query) -> Sequence[object]:
    return gateway.registry.snapshot.select(query.type, query.capability, query.tenant)


@asynccontextmanager
async def site(app: web.Application, address: Address, setting: str) -> AsyncIterator[str]:
    """Serve `app` on `address`; yields its URL. Raises `ListenFailed`, which names `setting`."""
    runner = web.AppRunner(
        app, access_log=None, logger=HttpLog(), shutdown_timeout=SHUTDOWN_SECONDS, handle_signals=False
    )
    await runner.setup()
    try:
        listener = web.TCPSite(runner, address.host, address.port)
        try:
            await listener.start()
        except OSError as e:
            why = (
                "another program listens there already"
                if e.errno == errno.EADDRINUSE
                else (e.strerror or type(e).__name__)
            )
            msg = f"Cannot listen on {address}: {why}. Choose another address with the setting {setting}."
            raise ListenFailed(msg) from None
        host, port = runner.addresses[0][:2]
        yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def _route(settings: RouteSettings) -> Route:
    return Route(
        path=settings.path,
        upstream=settings.upstream,
        methods=frozenset(settings.methods),
        type=_take(settings.type),
        capability=_take(settings.capability) if settings.capability else None,
        tenant=_take(settings.tenant) if settings.tenant else None,
        params=_take(settings.params) if settings.params else None,
        result_at=settings.result_at,
    )


def _take(selector: Selector) -> Take:
    kind = selector.kind
    assert kind is not None  # a Selector has exactly one
    return Take(kind, getattr(selector, kind))
