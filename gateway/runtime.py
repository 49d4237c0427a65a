"""The composition root: what a gateway is made of, in the order in which it starts."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.config import Settings, encryption_keys
from gateway.errors import NotFound
from gateway.model import CanaryBounds
from gateway.observe.log import get_logger
from gateway.observe.metrics import GatewayMetrics
from gateway.observe.observer import Observers
from gateway.pipeline import (
    BreakerObservers,
    CallSettings,
    Canaries,
    ChainSettings,
    Coalescer,
    CoalesceSettings,
    DebugHeader,
    Explainer,
    HookCaller,
    HookChain,
    HookGuard,
    HookTrials,
    HookTurn,
    Insight,
    Journal,
    JournalSettings,
    Protections,
    ProtectionSettings,
    QueryPipeline,
    Replays,
    Reuse,
    ReuseSettings,
    Rollout,
    RowBatches,
    RowsSettings,
    Selection,
    Sending,
    Shadows,
    ShadowSettings,
    Traces,
)
from gateway.pipeline.listening import Listeners, ListeningTransport
from gateway.registry import HealthMonitor, HealthSettings, OwnershipCheck, Registry, RegistryRules, WaivedOwnership
from gateway.registry.notes import AuditNotes
from gateway.relay import AuditTail, Publisher, Relay, Transients, new_publisher, relaying
from gateway.relay.desk import Desk, new_desk
from gateway.resilience.breaker import BreakerSettings
from gateway.runtime_relay import event_store, notification_settings, way_out
from gateway.stores import AuditRetention, open_store, parse_store_url
from gateway.transport.address import AddressGuard
from gateway.transport.client import HttpTransport
from gateway.wire.redaction import Redaction

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

    from gateway.model.event import Event
    from gateway.pipeline.query_pipeline import DataQuery, PostQuery, PreQuery
    from gateway.stores import EventStore, RegistryStore
    from gateway.transport.protocol import Transport

T = TypeVar("T")

log = get_logger("store")


@dataclass(frozen=True, slots=True)
class Gateway:
    """An open gateway: the registry to change, the chain to run results through, the metrics to show.

    `protections` are the breakers and bulkheads of its hooks; `health` watches over its integrations. `insight` is
    what answers the question why, `canaries` tells who steps back from going live. `reuse` is the cache of the replies.
    `publisher` publishes events to whoever subscribed, `events` is where they last, and `relay` delivers them: `None`
    if another process does. `debug` traces the queries of those who may ask for it. At the `desk`, subscriptions are
    made and changed, and deliveries repeated.
    """

    settings: Settings
    registry: Registry
    chain: HookChain
    metrics: GatewayMetrics
    transport: Transport
    protections: Protections
    health: HealthMonitor
    insight: Insight
    reuse: Reuse
    canaries: Canaries
    events: EventStore
    publisher: Publisher
    relay: Relay | None
    debug: DebugHeader
    desk: Desk

    def pipeline(
        self,
        data_query: DataQuery,
        *,
        pre_query: Sequence[PreQuery] = (),
        post_query: Sequence[PostQuery] = (),
    ) -> QueryPipeline:
        """A `QueryPipeline` over this gateway's chain."""
        return QueryPipeline(self.chain, data_query, pre_query=pre_query, post_query=post_query)


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
        guard = AddressGuard(calls.allow, allow_http=calls.allow_http, ports=calls.ports)
        given = transport is not None
        if transport is None:
            transport = HttpTransport(guard, ssl_context=ssl_context, max_buffered_bytes=calls.max_buffered_bytes)
            stack.push_async_callback(transport.aclose)
        rules = RegistryRules(
            guard,
            default_timeout_ms=calls.timeout_ms,
            max_timeout_ms=calls.max_timeout_ms,
            max_concurrency=calls.max_concurrency,
            max_cache_seconds=settings.cache.max_seconds,
        )
        ownership = OwnershipCheck(transport, origin=calls.origin) if calls.require_ownership else WaivedOwnership()
        store = await stack.enter_async_context(_store(settings))
        registry = await stack.enter_async_context(Registry.open(store, rules, ownership, now=now))
        metrics = GatewayMetrics()
        metrics.watch(
            generation=lambda: registry.snapshot.generation,
            hooks_enabled=lambda: registry.snapshot.enabled_count,
            names_of=registry.names_of,
        )
        call_settings = CallSettings(max_reply_bytes=calls.max_reply_bytes, max_json_depth=calls.max_json_depth)
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
        protections = Protections(
            _protection(settings),
            snapshot=lambda: registry.snapshot,
            observer=BreakerObservers(metrics, transients),
            clock=clock,
        )
        metrics.watch_protection(
            load_of=protections.load_of, total=lambda: (protections.total.in_use, protections.total.waiting)
        )
        journal = Journal(_journal(settings), now)
        listeners = Listeners(clock, now)
        caller = HookCaller(ListeningTransport(transport, listeners), call_settings, now)
        guarded = HookGuard(caller, protections, gone=registry.report_gone, watcher=journal)
        sending = _sending(settings, guarded, caller)
        metrics.watch_reuse(sending.figures)
        chain_settings = ChainSettings(
            budget=calls.budget_ms / 1000,
            max_depth=calls.max_depth,
            max_result_bytes=calls.max_result_bytes,
            source=calls.source,
        )
        selection = Selection(calls.max_condition_bytes)
        observers = Observers(metrics, journal, transients)
        redaction = Redaction(settings.journal.redact)
        shadows = Shadows(_shadows(settings), redaction, metrics, journal)
        await stack.enter_async_context(shadows.open())
        metrics.watch_shadows(lambda: shadows.under_way)
        window = float(settings.rollout.window_seconds)
        bounds = CanaryBounds(failure_percent=settings.rollout.failure_percent, min_calls=settings.rollout.min_calls)
        canaries = Canaries(registry.report_step_back, registry.present, protections.now, window=window, bounds=bounds)
        canaries.tell(lambda hook, _: metrics.stepped_back(hook.integration, hook.name))
        turn = HookTurn(guarded, selection, sending, Rollout(shadows, canaries))
        chain = HookChain(registry.present, guarded, chain_settings, observers, turn=turn)
        monitor = HealthMonitor(registry, transport, _health(settings), metrics, now=now)
        health = await stack.enter_async_context(monitor.watching())
        insight = Insight(
            journal,
            Traces(settings.journal.max_traces, settings.journal.max_bytes, now),
            Explainer(registry, protections, chain_settings, selection),
            HookTrials(
                caller,
                chain_settings,
                redaction,
                registry.present,
                now,
                turn=lambda guard: HookTurn(guard, selection, _sending(settings, guard, caller)),
            ),
            Replays(caller, guard, chain_settings, redaction, registry.present),
            redaction,
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
        debug = DebugHeader(
            insight.traces,
            [key.get_secret_value() for key in (*settings.control.operator_keys, *settings.journal.debug_keys)],
            max_wrong=settings.control.max_failed_auth,
            window=float(settings.control.failed_auth_window_seconds),
        )
        yield Gateway(
            settings,
            registry,
            chain,
            metrics,
            transport,
            protections,
            health,
            insight,
            sending.reuse,
            canaries,
            events,
            publisher,
            relay,
            debug,
            desk,
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


def _journal(settings: Settings) -> JournalSettings:
    journal = settings.journal
    return JournalSettings(
        calls_per_hook=journal.calls_per_hook,
        max_hooks=journal.max_hooks,
        bodies=journal.bodies,
        max_body_bytes=journal.max_body_bytes,
        max_bytes=journal.max_bytes,
        redaction=Redaction(journal.redact),
    )


def _shadows(settings: Settings) -> ShadowSettings:
    rollout = settings.rollout
    return ShadowSettings(
        calls=min(rollout.shadow_calls, settings.calls.max_concurrency_total // 2),
        calls_per_hook=rollout.shadow_calls_per_hook,
        max_bytes=rollout.shadow_bytes,
    )


def _health(settings: Settings) -> HealthSettings:
    health = settings.health
    return HealthSettings(
        interval=health.interval_seconds, timeout=health.timeout_ms / 1000, down_after=health.down_after_seconds
    )


def _sending(settings: Settings, guard: HookGuard, caller: HookCaller) -> Sending:
    calls, cache = settings.calls, settings.cache
    return Sending(
        guard,
        Reuse(ReuseSettings(cache.max_bytes, cache.max_entries), clock=asyncio.get_running_loop().time),
        RowBatches(RowsSettings(calls.batch_rows, calls.parallel_batches, calls.max_reply_bytes)),
        Coalescer(guard, caller, CoalesceSettings(window=calls.coalesce_ms / 1000)),
    )


def _protection(settings: Settings) -> ProtectionSettings:
    calls, breaker = settings.calls, settings.breaker
    return ProtectionSettings(
        max_concurrency_total=calls.max_concurrency_total,
        max_waiting=calls.max_waiting,
        max_waiting_total=calls.max_waiting_total,
        slow_share=breaker.slow_share_percent / 100,
        budget=calls.budget_ms / 1000,
        breaker=BreakerSettings(
            enabled=breaker.enabled,
            window=breaker.window_ms / 1000,
            min_calls=breaker.min_calls,
            failure_rate=breaker.failure_percent / 100,
            slow_rate=breaker.slow_percent / 100,
            open_seconds=breaker.open_ms / 1000,
            max_open_seconds=breaker.max_open_ms / 1000,
            probes=breaker.probes,
        ),
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
