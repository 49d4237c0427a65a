"""The chain: the hooks of one query, one after another, under one budget."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import HookFailed, QueryRejected
from gateway.model import Reason, Status
from gateway.observe.log import get_logger
from gateway.observe.observer import NullObserver
from gateway.pipeline.answer import Answer
from gateway.wire.cloudevents import QueryEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.model import Outcome, Query, Result
    from gateway.observe.observer import Observer
    from gateway.pipeline.guard import HookGuard
    from gateway.registry.snapshot import BoundHook, Snapshot

log = get_logger("pipeline")


@dataclass(frozen=True, slots=True)
class ChainSettings:
    """What holds for every chain.

    `budget` in seconds for all hooks of a query together; `max_depth` of nested gateway calls; results over
    `max_result_bytes` are not sent to hooks; `source` is the CloudEvents source of the calls.
    """

    budget: float = 2.0
    max_depth: int = 3
    max_result_bytes: int = 8 * 1024 * 1024
    source: str = "/gateway"


class HookChain:
    """Runs results through the hooks that are enabled for a query. `snapshot` gives the present snapshot."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        guard: HookGuard,
        settings: ChainSettings | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._guard = guard
        self._settings = settings or ChainSettings()
        self._observer = observer or NullObserver()

    async def run(self, query: Query, result: Result) -> Answer:
        """The answer to `query`, whose data-query phase produced `result`.

        Raises `HookFailed` if a hook failed whose policy is `fail`, and `QueryRejected` if one rejected
        the query and may do so. Cancelling cancels the call in flight.
        """
        hooks = self._snapshot().select(query.type, query.capability, query.tenant)
        if not hooks:
            return Answer(result)
        return await self._run(query, result, hooks)

    async def _run(self, query: Query, result: Result, hooks: tuple[BoundHook, ...]) -> Answer:
        time = asyncio.get_running_loop().time
        started = time()
        deadline = started + self._settings.budget
        event = QueryEvent(query, self._settings.source)
        outcomes: list[Outcome] = []
        for hook in hooks:
            hook.in_flight.count += 1
        left = iter(hooks)
        self._tell_started()
        try:
            for hook in left:
                try:
                    result, outcome, problem = await self._step(hook, query, event, result, deadline)
                finally:
                    hook.in_flight.leave()
                outcomes.append(outcome)
                self._tell(query, outcome)
                if problem is not None:
                    raise QueryRejected(hook.name, problem, outcomes=tuple(outcomes))
                if hook.fail and outcome.status is Status.FAILED and outcome.reason is not None:
                    raise HookFailed(hook.name, outcome.reason, outcomes=tuple(outcomes))
        finally:
            for hook in left:
                hook.in_flight.leave()
            self._tell_finished(time() - started)
        return Answer(result, tuple(outcomes), hooks_ms=(time() - started) * 1000)

    async def _step(
        self, hook: BoundHook, query: Query, event: QueryEvent, result: Result, deadline: float
    ) -> tuple[Result, Outcome, dict[str, object] | None]:
        if query.depth >= self._settings.max_depth:
            return result, self._guard.skip(hook, Reason.DEPTH), None
        if len(result.body) > self._settings.max_result_bytes:
            return result, self._guard.skip(hook, Reason.SIZE), None
        if asyncio.get_running_loop().time() >= deadline:
            outcome = self._guard.out_of_time(hook) if hook.fail else self._guard.skip(hook, Reason.BUDGET)
            return result, outcome, None
        return await self._guard.run(hook, query, event, result, deadline)

    def _tell_started(self) -> None:
        try:
            self._observer.chain_started()
        except Exception:  # who watches must not disturb
            log.exception("observer.broke")

    def _tell(self, query: Query, outcome: Outcome) -> None:
        try:
            self._observer.outcome(query, outcome)
        except Exception:  # who watches must not disturb
            log.exception("observer.broke")

    def _tell_finished(self, seconds: float) -> None:
        try:
            self._observer.chain_finished(seconds)
        except Exception:  # who watches must not disturb
            log.exception("observer.broke")
