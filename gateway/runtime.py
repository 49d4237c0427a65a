"""The composition root: what a gateway is made of, in the order in which it starts."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.config import Settings, encryption_keys
from gateway.errors import NotFound
from gateway.observe.log import get_logger
from gateway.observe.metrics import GatewayMetrics
from gateway.pipeline import (
    Explainer,
    HookTrials,
    HookTurn,
    Insight,
    Replays,
)
from gateway.pipeline.listening import Listeners, ListeningTransport
from gateway.registry import HealthMonitor, HealthSettings, OwnershipCheck, Registry, WaivedOwnership
from gateway.registry.notes import AuditNotes
from gateway.relay import AuditTail, Publisher, Relay, Transients, new_publisher, relaying
from gateway.relay.desk import Desk, new_desk
from gateway.runtime_data_path import DataPath, address_guard, data_path, registry_rules, sending
from gateway.runtime_relay import event_store, notification_settings, way_out
from gateway.stores import AuditRetention, open_store, parse_store_url
from gateway.transport.client import HttpTransport

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Coroutine

    from gateway.model.event import Event
    from gateway.stores import EventStore, RegistryStore
    from gateway.transport.protocol import Transport

T = TypeVar("T")

log = get_logger("store")


@dataclass(frozen=True, slots=True)
class Gateway(DataPath):
    """An open gateway: the registry to change, the chain to run results through, the metrics to show.

    `health` watches over its integrations; `insight` is what answers the question why.
    `publisher` publishes events to whoever subscribed, `events` is where they last, and `relay` delivers them: `None`
    if another process does. At the `desk`, subscriptions are made and changed, and deliveries repeated. `transients`
    publish how hooks do.
    """

    registry: Registry
    health: HealthMonitor
    insight: Insight
    events: EventStore
    publisher: Publisher
    relay: Relay | None
    desk: Desk
    transients: Transients


@asynccontextmanager
async def open_gateway(
    settings: Settings | None = None,
    *,
    transport: Transport | None = None,
    ssl_context: ssl.SSLContext | None = None,
    now: Callable[[], float] = time.time,
) -> AsyncIterator[Gateway]:
    """A gateway for this event loop, open until the context ends.

    Without `settings`, all defaults: SQLite in the working directory, calls to public addresses over https
    only. `ssl_context` is for calls to integration servers; by default the system's authorities are trusted.
    `transport` replaces the way calls go out altogether. `now` gives seconds since 1970.
    Raises `StoreError` and `ConfigError`.
    """
    settings = settings or Settings()
    calls = settings.calls
    async with AsyncExitStack() as stack:
        guard = address_guard(settings)
        given = transport is not None
        if transport is None:
            transport = HttpTransport(guard, ssl_context=ssl_context, max_buffered_bytes=calls.max_buffered_bytes)
            stack.push_async_callback(transport.aclose)
        rules = registry_rules(settings, guard)
        ownership = OwnershipCheck(transport, origin=calls.origin) if calls.require_ownership else WaivedOwnership()
        store = await stack.enter_async_context(_store(settings))
        registry = await stack.enter_async_context(Registry.open(store, rules, ownership, now=now))
        metrics = GatewayMetrics()
        events = await stack.enter_async_context(event_store(settings))
        notifying = notification_settings(settings)
        publisher = new_publisher(events, notifying, metrics.relay, may_know=partial(_may_know, registry), now=now)
        desk = new_desk(
            events,
            publisher,
            guard,
            ownership,
            AuditNotes(store, registry, now),
            allow_insecure_ssl=settings.relay.allow_insecure_ssl,
            now=now,
        )
        clock = asyncio.get_running_loop().time
        transients = Transients(
            publisher, lambda hook_id: _integration_of(registry, hook_id), metrics.relay, clock=clock
        )
        listeners = Listeners(clock, now)
        path, steps = await stack.enter_async_context(
            data_path(
                settings,
                registry,
                transport,
                ListeningTransport(transport, listeners),
                metrics,
                observers=[transients],
                breakers=[transients],
                now=now,
            )
        )
        monitor = HealthMonitor(registry, transport, _health(settings), metrics, now=now)
        health = await stack.enter_async_context(monitor.watching())
        insight = Insight(
            path.journal,
            path.traces,
            Explainer(registry, path.protections, steps.chain, steps.selection),
            HookTrials(
                steps.caller,
                steps.chain,
                steps.redaction,
                registry.present,
                now,
                turn=lambda guard: HookTurn(guard, steps.selection, sending(settings, guard, steps.caller)),
            ),
            Replays(steps.caller, guard, steps.chain, steps.redaction, registry.present),
            steps.redaction,
            listeners,
        )
        tail = AuditTail(registry, events, publisher, metrics.relay.store_answered)
        await tail.begin()
        await stack.enter_async_context(tail.tailing())
        await stack.enter_async_context(transients.publishing())
        relay = None
        if settings.relay.enabled:
            out = await stack.enter_async_context(way_out(settings, transport if given else None, ssl_context))
            relay = await stack.enter_async_context(relaying(events, out, publisher, notifying, metrics.relay, now=now))
        parts = {each.name: getattr(path, each.name) for each in fields(path)}
        yield Gateway(
            **(parts | {"registry": registry}),
            health=health,
            insight=insight,
            events=events,
            publisher=publisher,
            relay=relay,
            desk=desk,
            transients=transients,
        )


def _integration_of(registry: Registry, hook_id: str) -> str | None:
    hook = registry.snapshot.get(hook_id)
    return None if hook is None else hook.integration_id


def _may_know(registry: Registry, integration_id: str, event: Event) -> bool:
    """Whether the envelope of an integration lets it know of the event's tenant."""
    try:
        tenants = registry.integration(integration_id).envelope.tenants
    except NotFound:
        return False
    return event.tenant is None or tenants is None or event.tenant in tenants


@asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[RegistryStore]:
    keys = encryption_keys(settings.store)
    kept = parse_store_url(settings.store.url).path is not None
    days, entries = settings.store.audit_days, settings.store.audit_entries
    retention = AuditRetention(entries, days * 86_400.0)
    async with open_store(settings.store.url, keys=keys, retention=retention) as store:
        if kept and keys is None:
            log.warning(
                "store.secrets_not_encrypted", set="store.encryption_key_file", make_one="gateway config new-key"
            )
        resealed = getattr(store, "resealed", 0)  # only a store with a file has such
        if resealed:
            log.info("store.encrypted_anew", count=resealed)
        yield store


def _health(settings: Settings) -> HealthSettings:
    health = settings.health
    return HealthSettings(
        interval=health.interval_seconds, timeout=health.timeout_ms / 1000, down_after=health.down_after_seconds
    )


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` in a new event loop: uvloop's where it is installed, asyncio's otherwise."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if sys.platform != "win32":
        try:
            import uvloop
        except ModuleNotFoundError:
            pass
        else:
            factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)
