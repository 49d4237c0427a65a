"""The chain: the hooks of one query, one after another, under one budget."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING

from gateway.errors import HookFailed, QueryRejected
from gateway.model import Reason
from gateway.observe.log import get_logger
from gateway.observe.observer import Observers
from gateway.pipeline.answer import Answer
from gateway.pipeline.trace import TRACE, trace_of
from gateway.pipeline.turn import HookTurn
from gateway.wire.cloudevents import QueryEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.model import Outcome, Query, Result
    from gateway.observe.observer import OutcomeObserver
    from gateway.pipeline.guard import HookGuard
    from gateway.registry.snapshot import Snapshot

log = get_logger("pipeline")


@dataclass(slots=True)
class ChainSettings:
    """What holds for every chain. May be changed while it is in use: a query that begins then goes by it.

    `budget` in seconds for all hooks of a query together; `max_depth` of nested gateway calls; results over
    `max_result_bytes` are not sent to hooks; `source` is the CloudEvents source of the calls.
    """

    budget: float = 2.0
    max_depth: int = 3
    max_result_bytes: int = 8 * 1024 * 1024
    source: str = "/gateway"


class HookChain:
    """Runs results through the hooks that are enabled for a query.

    `snapshot` gives the present snapshot. Plain hooks go straight to `guard`, those with a plan and those
    whose replies may be used again through `turn`. `settings` are those of every chain. `under_way` is how
    many chains with at least one hook there are now. For one event loop.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        guard: HookGuard,
        settings: ChainSettings | None = None,
        observer: OutcomeObserver | Observers | None = None,
        *,
        turn: HookTurn | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._guard = guard
        self._turn = turn or HookTurn(guard)
        self.settings = settings or ChainSettings()
        self.under_way = 0
        if not isinstance(observer, Observers):
            observer = Observers() if observer is None else Observers(observer)
        self._observers = observer

    async def run(self, query: Query, result: Result, unsent: Reason | None = None) -> Answer:
        """The answer to `query`, whose data-query phase produced `result`.

        A result that cannot be sent to any hook, for the reason `unsent`, is the answer unless there is a hook that the
        query must not go on without. Raises `HookFailed` if a hook failed whose policy is `fail`, and `QueryRejected`
        if one rejected the query and may do so. Cancelling cancels the call in flight.
        """
        hooks = self._snapshot().select(query.type, query.capability, query.tenant)
        if not hooks:
            return Answer(result, (), None, 0.0, trace_of(query))
        trace = TRACE.get()
        trace_id = None if trace is None else trace.id
        settings, guard, turn, observers, time = self.settings, self._guard, self._turn, self._observers, self._time
        begun = perf_counter()
        deadline = time() + settings.budget
        event = QueryEvent(query, settings.source)
        outcomes: list[Outcome] = []
        for hook in hooks:
            hook.in_flight.count += 1
        left = iter(hooks)
        self.under_way += 1
        try:
            for hook in left:
                problem = None
                try:
                    if query.depth >= settings.max_depth:
                        outcome = turn.without(hook, hook.plan, query, event, result, Reason.DEPTH)
                    elif len(result.body) > settings.max_result_bytes:
                        outcome = turn.without(hook, hook.plan, query, event, result, Reason.SIZE)
                    elif unsent is not None:
                        outcome = turn.without(hook, hook.plan, query, event, result, unsent)
                    elif outcomes and time() >= deadline:
                        outcome = guard.out_of_time(hook) if hook.fail else guard.skip(hook, Reason.BUDGET)
                    elif (plan := hook.plan) is None and hook.learned.reusable is False:
                        result, outcome, problem = await guard.run(hook, query, event, result, deadline)
                    else:
                        result, outcome, problem = await turn.run(hook, plan, query, event, result, deadline)
                finally:
                    hook.in_flight.leave()
                outcomes.append(outcome)
                if trace is not None:
                    trace.outcome(query, outcome)
                for tell in observers.outcome:
                    try:
                        tell(query, outcome)
                    except Exception:  # who watches must not disturb
                        log.exception("observer.broke")
                if problem is not None:
                    told = tuple(outcomes)
                    raise QueryRejected(hook.name, problem, outcomes=told, trace_id=trace_id)
                if outcome.fatal and outcome.reason is not None:
                    told = tuple(outcomes)
                    raise HookFailed(hook.name, outcome.reason, outcomes=told, trace_id=trace_id)
        finally:
            for hook in left:
                hook.in_flight.leave()
            self.under_way -= 1
            seconds = perf_counter() - begun
            for finished in observers.finished:
                try:
                    finished(seconds)
                except Exception:  # who watches must not disturb
                    log.exception("observer.broke")
        return Answer(result, tuple(outcomes), None, seconds * 1000, trace_id)

    async def skip(self, query: Query, result: Result, reason: Reason) -> Answer:
        """The answer to `query` with a result that cannot be sent to any hook, for `reason`.

        Raises `HookFailed` if there is a hook among them that the query must not go on without.
        """
        return await self.run(query, result, reason)

    @cached_property
    def _time(self) -> Callable[[], float]:
        return asyncio.get_running_loop().time
