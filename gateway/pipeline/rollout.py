"""How a hook goes live: in shadow beside the queries, then for a share of them, then for all.

A hook in shadow is called off the query's path, and what it answers is looked at but never applied. A canary is called
for a share of the queries, always the same ones; where it leaves its bounds it steps back to shadow by itself.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Final, Protocol

from gateway.model import Mode, Reason, Status
from gateway.observe.log import get_logger
from gateway.pipeline.exchange import changes
from gateway.pipeline.lots import is_chosen
from gateway.pipeline.outcomes import outcome_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from typing import Any

    from gateway.model import Outcome, Query, Result
    from gateway.pipeline.canary import Canaries
    from gateway.pipeline.exchange import Diff
    from gateway.registry.plan import HookPlan
    from gateway.registry.snapshot import BoundHook
    from gateway.wire.cloudevents import QueryEvent
    from gateway.wire.redaction import Redaction

    Turned = tuple[Result, Outcome, dict[str, Any] | None]
    Answer = Callable[[BoundHook, HookPlan, Query, QueryEvent, Result, float], Awaitable[Turned]]

log = get_logger("pipeline")

_COMPARED_IN_THREAD: Final = 8 * 1024
_MOST_COMPARED: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ShadowSettings:
    """How many calls of hooks in shadow may be under way beside the queries: in all, and of one hook.

    The results that they hold have at most `max_bytes` together. At the end, they have `drain` seconds.
    """

    calls: int = 100
    calls_per_hook: int = 10
    max_bytes: int = 64 * 1024 * 1024
    drain: float = 1.0


class ShadowObserver(Protocol):
    """Is told what became of calls in shadow. It must not raise."""

    def shadowed(self, query: Query, outcome: Outcome, diff: Diff) -> None:
        """`outcome` is what would have become of the hook for `query`, and `diff` what it would have changed."""
        ...


class Shadows:
    """Calls hooks in shadow: in tasks of its own, of which there are only so many.

    `observers` are told of each call that ended. For one event loop.
    """

    def __init__(self, settings: ShadowSettings, redaction: Redaction, *observers: ShadowObserver) -> None:
        self._settings = settings
        self._redaction = redaction
        self._observers = observers
        self._tasks: set[asyncio.Task[None]] = set()
        self._of_hook: Counter[str] = Counter()
        self._bytes = 0

    @property
    def under_way(self) -> int:
        """How many calls are under way."""
        return len(self._tasks)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Shadows]:
        """Make calls until the context ends; those under way may end within a short while, then they are cancelled."""
        try:
            yield self
        finally:
            await self._end()

    async def _end(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._settings.drain)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def begin(
        self, hook: BoundHook, plan: HookPlan, query: Query, event: QueryEvent, result: Result, answer: Answer
    ) -> Outcome:
        """Begin a call with `result`; its outcome for the query, which does not wait for it."""
        settings, size, begun = self._settings, len(result.body), perf_counter()
        if (
            len(self._tasks) >= settings.calls
            or self._of_hook[hook.hook_id] >= settings.calls_per_hook
            or self._bytes + size > settings.max_bytes
        ):
            detail = "as many calls of hooks in shadow as may be were under way"
            return outcome_of(hook, Status.SKIPPED, Reason.OVERLOAD, begun=begun, detail=detail)
        self._of_hook[hook.hook_id] += 1
        self._bytes += size
        hook.in_flight.count += 1  # who disables it with `drain` waits for this call, too
        task = asyncio.get_running_loop().create_task(self._call(hook, plan, query, event, result, answer))
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._bytes -= size
            self._of_hook[hook.hook_id] -= 1
            if not self._of_hook[hook.hook_id]:
                del self._of_hook[hook.hook_id]
            hook.in_flight.leave()

        task.add_done_callback(ended)
        return outcome_of(hook, Status.SHADOWED, begun=begun)

    async def _call(
        self, hook: BoundHook, plan: HookPlan, query: Query, event: QueryEvent, result: Result, answer: Answer
    ) -> None:
        try:
            deadline = asyncio.get_running_loop().time() + hook.timeout
            after, outcome, _ = await answer(hook, plan, query, event, result, deadline)
            diff = await self._compared(result, after)
            for each in self._observers:
                each.shadowed(query, outcome._replace(fatal=False), diff)
        except Exception:  # nobody waits for this task, so nobody else would tell
            log.exception("hook.broke_the_gateway", hook=hook.name, id=hook.hook_id)

    async def _compared(self, before: Result, after: Result) -> Diff:
        if len(before.body) + len(after.body) < _COMPARED_IN_THREAD:
            return changes(before, after, self._redaction, _MOST_COMPARED)
        return await asyncio.to_thread(changes, before, after, self._redaction, _MOST_COMPARED)


class Rollout:
    """Takes a hook that is not simply active through its turn."""

    def __init__(self, shadows: Shadows, canaries: Canaries) -> None:
        self._shadows = shadows
        self._canaries = canaries

    def mode(self, hook: BoundHook, plan: HookPlan, query: Query) -> Mode | None:
        """How `hook` takes part in `query`: a canary only in its share of them, else `None`."""
        if plan.mode is not Mode.CANARY:
            return plan.mode
        if self._canaries.has_stepped_back(hook):
            return Mode.SHADOW
        return Mode.CANARY if is_chosen(hook.hook_id, plan.sticky_by, plan.percent, query) else None

    async def run(
        self,
        mode: Mode,
        hook: BoundHook,
        plan: HookPlan,
        query: Query,
        event: QueryEvent,
        result: Result,
        deadline: float,
        answer: Answer,
    ) -> Turned:
        """The turn of `hook` in shadow or as a canary; `answer` is what an active one does. As `HookGuard.run`."""
        if mode is Mode.SHADOW:
            return result, self._shadows.begin(hook, plan, query, event, result, answer), None
        begun = perf_counter()
        after, outcome, problem = await answer(hook, plan, query, event, result, deadline)
        self._canaries.ended(hook, plan, outcome, perf_counter() - begun)
        return after, outcome, problem
