"""What is sent becomes calls: none if the answer is known or under way, several for rows, one shared with others."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from gateway.observe.reuse_series import ReuseFigures
from gateway.pipeline.call import Exchanged

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from gateway.model import Outcome, Query, Result
    from gateway.pipeline.coalesce import Coalescer
    from gateway.pipeline.guard import HookGuard
    from gateway.pipeline.reuse import Reuse
    from gateway.pipeline.rows import RowBatches
    from gateway.registry.plan import HookPlan
    from gateway.registry.snapshot import BoundHook
    from gateway.wire.cloudevents import QueryEvent

    Turned = tuple[Result, Outcome, dict[str, Any] | None]


class Sending:
    """Steps 4 to 6 of a turn: `rows` splits, each part goes through `reuse`, then `coalescer` or `guard` calls.

    A batch of rows is thus reused by itself: of a table that changed in one place, the other batches are known.
    """

    def __init__(self, guard: HookGuard, reuse: Reuse, rows: RowBatches, coalescer: Coalescer) -> None:
        self.reuse: Final = reuse
        self._guard = guard
        self._rows = rows
        self._coalescer = coalescer

    def run(
        self, hook: BoundHook, plan: HookPlan | None, query: Query, event: QueryEvent, sent: Result, deadline: float
    ) -> Awaitable[Turned]:
        """What the hook makes of `sent`; means the same as `HookGuard.run`."""
        if plan is None or plan.rows_at is None:
            return self._part(hook, plan, query, event, sent, deadline)
        return self._rows.run(hook, plan, sent, deadline, partial(self._part, hook, plan, query, event))

    def _part(
        self, hook: BoundHook, plan: HookPlan | None, query: Query, event: QueryEvent, part: Result, deadline: float
    ) -> Awaitable[Turned]:
        if hook.learned.reusable is False:
            return self._call(hook, plan, query, event, part, deadline)
        return self.reuse.run(hook, event, part, deadline, self._call, hook, plan, query, event, part)

    def _call(
        self,
        hook: BoundHook,
        plan: HookPlan | None,
        query: Query,
        event: QueryEvent,
        part: Result,
        deadline: float,
        seen: Exchanged | None = None,
    ) -> Awaitable[Turned]:
        if plan is not None and plan.coalesce:
            return self._coalescer.run(hook, query, event, part, deadline, seen or Exchanged())
        return self._guard.run(hook, query, event, part, deadline, seen)

    def figures(self) -> ReuseFigures:
        """What was reused and shared so far. May be asked on any thread."""
        counts, (entries, size) = self.reuse.counts, self.reuse.size
        return ReuseFigures(
            hits=counts.hits,
            joined=counts.joined,
            misses=counts.misses,
            evicted=counts.evicted,
            purged=counts.purged,
            entries=entries,
            bytes=size,
            shared_calls=self._coalescer.calls,
            shared_results=self._coalescer.results,
        )
