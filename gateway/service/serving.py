"""The gateway as a process of its own: the control API and the standalone gateway on their addresses."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import aiohttp

from gateway.runtime import open_gateway
from gateway.service.control import control_app
from gateway.service.data_source import HttpDataSource
from gateway.service.operator_keys import operator_keys
from gateway.service.queries import serving_queries
from gateway.service.site import serve_sockets
from gateway.service.sockets import Listener, bound, listener_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from gateway.config import Settings
    from gateway.pipeline import QueryPipeline
    from gateway.runtime import Gateway


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


@dataclass(frozen=True, slots=True)
class Listeners:
    """Where the control API listens and, if there is any upstream, the standalone gateway."""

    control: Listener
    queries: Listener | None

    @property
    def gateway_url(self) -> str | None:
        """The URL of the standalone gateway, if it is served."""
        return None if self.queries is None else self.queries.url


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
    async with AsyncExitStack() as stack:
        where = stack.enter_context(listeners_of(settings))
        keys, new_key, key_file = operator_keys(settings)
        gateway = await stack.enter_async_context(open_gateway(settings))
        await stack.enter_async_context(serving_control(gateway, keys, where.control))
        if where.queries is not None:
            await stack.enter_async_context(serving_queries(gateway, where.queries.sockets))
        stop_on_signals(stop, stack)
        announce(Listening(where.control.url, where.gateway_url, new_key, key_file))
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
    async with AsyncExitStack() as stack:
        where = stack.enter_context(listeners_of(gateway.settings))
        await stack.enter_async_context(serving_control(gateway, keys, where.control))
        if where.queries is not None:
            await stack.enter_async_context(serving_queries(gateway, where.queries.sockets))
        yield where.control.url, where.gateway_url


@contextmanager
def listeners_of(settings: Settings) -> Iterator[Listeners]:
    """The sockets that the settings want, bound and listening, until the context ends. Raises `ListenFailed`."""
    with ExitStack() as stack:
        control = stack.enter_context(bound(settings.control.listen, "control.listen"))
        queries = None
        if settings.effective_routes():
            queries = listener_of(stack.enter_context(bound(settings.listen, "listen")), "listen", "http")
        yield Listeners(listener_of(control, "control.listen", "http"), queries)


@asynccontextmanager
async def serving_control(gateway: Gateway, keys: Sequence[str], listener: Listener) -> AsyncIterator[None]:
    """Serve the control API of `gateway` until the context ends. `keys` are the operators'."""
    settings = gateway.settings
    async with AsyncExitStack() as stack:
        pipeline: QueryPipeline | None = None
        if settings.data_source.url is not None:
            session = await stack.enter_async_context(
                aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
            )
            pipeline = gateway.pipeline(HttpDataSource(session, settings.data_source.url))
        app = control_app(
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
        gateway.debug.accept(keys)
        await stack.enter_async_context(serve_sockets(app, listener.sockets))
        yield


async def _ready(gateway: Gateway) -> None:
    await gateway.registry.ping()
    await gateway.events.ping()
