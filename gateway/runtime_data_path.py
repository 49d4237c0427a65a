"""The data path of one process, put together: what a query's result goes through, over any registry that can be read.

The process that owns the registry and those that follow it run the same parts; `gateway.runtime` adds what there is
only once.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.model import CanaryBounds
from gateway.observe.observer import Observers
from gateway.pipeline import (
    BreakerObservers,
    CallSettings,
    Canaries,
    ChainSettings,
    Coalescer,
    CoalesceSettings,
    DebugHeader,
    HookCaller,
    HookChain,
    HookGuard,
    HookTurn,
    Journal,
    JournalSettings,
    Protections,
    ProtectionSettings,
    QueryPipeline,
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
from gateway.registry import RegistryRules
from gateway.resilience.breaker import BreakerSettings
from gateway.transport.address import AddressGuard
from gateway.wire.redaction import Redaction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from gateway.config import Settings
    from gateway.observe.metrics import GatewayMetrics
    from gateway.observe.observer import OutcomeObserver
    from gateway.pipeline.protection import BreakerObserver
    from gateway.pipeline.query_pipeline import DataQuery, PostQuery, PreQuery
    from gateway.registry.reading import RegistryReading
    from gateway.transport.protocol import Transport


@dataclass(frozen=True, slots=True)
class DataPath:
    """What results go through in one process: the chain, and all that hangs on it.

    `registry` says which hooks there are; `protections` are their breakers and bulkheads; `journal` remembers what
    became of their calls, `traces` those of queries that `debug` lets be traced. `reuse` is the cache of the replies,
    `canaries` tells who steps back from going live.
    """

    settings: Settings
    registry: RegistryReading
    chain: HookChain
    metrics: GatewayMetrics
    transport: Transport
    protections: Protections
    journal: Journal
    traces: Traces
    debug: DebugHeader
    reuse: Reuse
    canaries: Canaries

    def pipeline(
        self,
        data_query: DataQuery,
        *,
        pre_query: Sequence[PreQuery] = (),
        post_query: Sequence[PostQuery] = (),
    ) -> QueryPipeline:
        """A `QueryPipeline` over this chain."""
        return QueryPipeline(self.chain, data_query, pre_query=pre_query, post_query=post_query)


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of a call, for who makes calls beside those of queries."""

    caller: HookCaller
    chain: ChainSettings
    selection: Selection
    redaction: Redaction


@asynccontextmanager
async def data_path(
    settings: Settings,
    registry: RegistryReading,
    transport: Transport,
    calls: Transport,
    metrics: GatewayMetrics,
    *,
    observers: Sequence[OutcomeObserver] = (),
    breakers: Sequence[BreakerObserver] = (),
    now: Callable[[], float],
) -> AsyncIterator[tuple[DataPath, Steps]]:
    """The data path over `registry`, until the context ends.

    `calls` makes the calls of hooks: `transport`, perhaps with something around it. `observers` are told of outcomes
    and `breakers` of changes of breakers, beside what is part of every data path. `now` gives seconds since 1970.
    """
    metrics.watch(
        generation=lambda: registry.snapshot.generation,
        hooks_enabled=lambda: registry.snapshot.enabled_count,
        names_of=registry.names_of,
    )
    clock = asyncio.get_running_loop().time
    protections = Protections(
        _protection(settings),
        snapshot=lambda: registry.snapshot,
        observer=BreakerObservers(metrics, *breakers),
        clock=clock,
    )
    metrics.watch_protection(
        load_of=protections.load_of, total=lambda: (protections.total.in_use, protections.total.waiting)
    )
    journal = Journal(_journal(settings), now)
    call_settings = CallSettings(
        max_reply_bytes=settings.calls.max_reply_bytes, max_json_depth=settings.calls.max_json_depth
    )
    caller = HookCaller(calls, call_settings, now)
    guarded = HookGuard(caller, protections, gone=registry.report_gone, watcher=journal)
    sent = sending(settings, guarded, caller)
    metrics.watch_reuse(sent.figures)
    chain_settings = ChainSettings(
        budget=settings.calls.budget_ms / 1000,
        max_depth=settings.calls.max_depth,
        max_result_bytes=settings.calls.max_result_bytes,
        source=settings.calls.source,
    )
    selection = Selection(settings.calls.max_condition_bytes)
    redaction = Redaction(settings.journal.redact)
    shadows = Shadows(_shadows(settings), redaction, metrics, journal)
    async with shadows.open():
        metrics.watch_shadows(lambda: shadows.under_way)
        window = float(settings.rollout.window_seconds)
        bounds = CanaryBounds(failure_percent=settings.rollout.failure_percent, min_calls=settings.rollout.min_calls)
        canaries = Canaries(registry.report_step_back, registry.present, protections.now, window=window, bounds=bounds)
        canaries.tell(lambda hook, _: metrics.stepped_back(hook.integration, hook.name))
        turn = HookTurn(guarded, selection, sent, Rollout(shadows, canaries))
        chain = HookChain(registry.present, guarded, chain_settings, Observers(metrics, journal, *observers), turn=turn)
        metrics.watch_chains(lambda: chain.under_way)
        traces = Traces(settings.journal.max_traces, settings.journal.max_bytes, now)
        debug = DebugHeader(
            traces,
            [key.get_secret_value() for key in (*settings.control.operator_keys, *settings.journal.debug_keys)],
            max_wrong=settings.control.max_failed_auth,
            window=float(settings.control.failed_auth_window_seconds),
        )
        path = DataPath(
            settings,
            registry,
            chain,
            metrics,
            transport,
            protections,
            journal,
            traces,
            debug,
            sent.reuse,
            canaries,
        )
        yield path, Steps(caller, chain_settings, selection, redaction)


def address_guard(settings: Settings) -> AddressGuard:
    """Where calls may go."""
    calls = settings.calls
    return AddressGuard(calls.allow, allow_http=calls.allow_http, ports=calls.ports)


def registry_rules(settings: Settings, guard: AddressGuard, *, processes: int = 1) -> RegistryRules:
    """The rules for what is registered, for one of so many processes that share the calls of a hook."""
    calls = settings.calls
    return RegistryRules(
        guard,
        default_timeout_ms=calls.timeout_ms,
        max_timeout_ms=calls.max_timeout_ms,
        max_concurrency=calls.max_concurrency,
        max_cache_seconds=settings.cache.max_seconds,
        processes=processes,
    )


def sending(settings: Settings, guard: HookGuard, caller: HookCaller) -> Sending:
    """The steps from a result to its calls, with a cache of their own."""
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
