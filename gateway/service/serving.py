"""The gateway as a process of its own: what it starts, in this order, and how it ends."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.errors import ConfigError
from gateway.runtime import open_gateway
from gateway.service.control_site import serving_control
from gateway.service.ending import Ending, drain, on_signals
from gateway.service.listeners import listeners_of
from gateway.service.notify import ServiceManager
from gateway.service.operator_keys import operator_keys
from gateway.service.parts import LogPart, ReadWhenNeeded
from gateway.service.queries import serving_queries
from gateway.service.readiness import Readiness
from gateway.service.reloading import Reloader
from gateway.service.workers.crew import Crew
from gateway.service.workers.serving import served_by_workers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, MutableMapping, Sequence
    from pathlib import Path

    from gateway.config import LogSettings, Settings
    from gateway.runtime import Gateway
    from gateway.service.ending import Drained

__all__ = ["Listening", "Program", "listening", "serve"]

_MARGIN_SECONDS = 30.0  # for what comes after the queries: calls of the control API, deliveries under way, the store


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
class Program:
    """What a program has and a library does not.

    `environment`: sockets and the manager of services are taken from it. `read` reads the configuration again; without
    it there is no reload. `configure_log` makes the log as a new configuration wants it.
    """

    environment: MutableMapping[str, str] = field(default_factory=dict)
    read: Callable[[], Settings] | None = None
    configure_log: Callable[[LogSettings], None] | None = None


async def serve(
    settings: Settings,
    *,
    announce: Callable[[Listening], None],
    stop: asyncio.Event | None = None,
    program: Program | None = None,
) -> None:
    """Run the control API, and the standalone gateway where an upstream is configured.

    Returns after SIGTERM or SIGINT, or when `stop` is set, once requests in flight have been answered.
    Raises `StoreError`, `ConfigError`, `ListenFailed` and `WorkersFailed`.
    """
    program = program or Program()
    ending = Ending(stop)
    manager = ServiceManager(program.environment)
    async with AsyncExitStack() as stack:
        where = stack.enter_context(listeners_of(settings, program.environment))
        keys, new_key, key_file = operator_keys(settings)
        gateway = await stack.enter_async_context(open_gateway(settings))
        readiness = Readiness(gateway.registry.ping, gateway.events.ping)
        reloader = _reloader(settings, program, manager)
        crew = Crew(gateway, settings.workers, keys) if where.queries is not None and settings.workers > 1 else None
        await stack.enter_async_context(
            serving_control(
                gateway,
                keys,
                where.control.sockets,
                readiness=readiness,
                reloader=reloader,
                at_once=ending.at_once,
                processes=crew,
            )
        )
        queries: Drained | None = None
        if crew is not None:
            queries = await stack.enter_async_context(
                served_by_workers(gateway, crew, where.groups, readiness=readiness, reloader=reloader)
            )
        elif where.queries is not None:
            queries = await stack.enter_async_context(
                serving_queries(gateway, where.queries.sockets, readiness=readiness, reloader=reloader)
            )
        stack.enter_context(on_signals(ending, _reloading(reloader, ending)))
        await stack.enter_async_context(manager.watched())
        announce(Listening(where.control.url, where.gateway_url, new_key, key_file))
        manager.ready("Serving")
        await ending.asked.wait()
        now = reloader.settings if reloader is not None else settings
        readiness.draining = True
        delay, seconds = float(now.server.ready_delay_seconds), float(now.server.drain_seconds)
        manager.stopping("Draining", delay + seconds + _MARGIN_SECONDS)
        if queries is not None:
            await drain(queries, ending, ready_delay=delay, seconds=seconds)


def _reloader(settings: Settings, program: Program, manager: ServiceManager) -> Reloader | None:
    if program.read is None:
        return None
    reloader = Reloader(settings, program.read, begun=manager.reloading, ended=lambda: manager.ready("Serving"))
    reloader.parts.append(ReadWhenNeeded("server.ready_delay_seconds", "server.drain_seconds"))
    if program.configure_log is not None:
        reloader.parts.append(LogPart(program.configure_log))
    return reloader


def _reloading(reloader: Reloader | None, ending: Ending) -> Callable[[], None] | None:
    """What SIGHUP does; how it went is in the log. Whoever is about to end takes no new configuration."""
    if reloader is None:
        return None
    under_way: set[asyncio.Task[None]] = set()

    async def reload() -> None:
        try:
            await reloader.reload()
        except ConfigError:
            return  # told by the reloader

    def begin() -> None:
        if ending.asked.is_set():
            return
        task = asyncio.create_task(reload(), name="reload")
        under_way.add(task)
        task.add_done_callback(under_way.discard)

    return begin


@asynccontextmanager
async def listening(
    gateway: Gateway, keys: Sequence[str], *, read: Callable[[], Settings] | None = None
) -> AsyncIterator[tuple[str, str | None]]:
    """Serve `gateway` until the context ends; yields the URLs of the control API and of the standalone gateway.

    With `read`, which reads the configuration again, the control API can reload it.
    """
    async with AsyncExitStack() as stack:
        where = stack.enter_context(listeners_of(gateway.settings))
        reloader = Reloader(gateway.settings, read) if read is not None else None
        readiness = Readiness(gateway.registry.ping, gateway.events.ping)
        await stack.enter_async_context(
            serving_control(gateway, keys, where.control.sockets, readiness=readiness, reloader=reloader)
        )
        if where.queries is not None:
            await stack.enter_async_context(
                serving_queries(gateway, where.queries.sockets, readiness=readiness, reloader=reloader)
            )
        yield where.control.url, where.gateway_url
