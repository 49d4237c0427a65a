"""Calling a hook for real and applying nothing: what its owner tries it out with."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from gateway.model import Mode
from gateway.pipeline.exchange import changes
from gateway.pipeline.guard import HookGuard
from gateway.pipeline.protection import Protections, ProtectionSettings
from gateway.pipeline.trace import TRACE, Trace
from gateway.pipeline.turn import HookTurn
from gateway.registry.learned import Learned
from gateway.resilience.breaker import BreakerSettings
from gateway.wire.cloudevents import QueryEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.model import Outcome, Query, Result
    from gateway.pipeline.call import Exchanged, HookCaller
    from gateway.pipeline.chain import ChainSettings
    from gateway.pipeline.exchange import Diff
    from gateway.pipeline.trace import TracedCall
    from gateway.registry.snapshot import BoundHook, Snapshot
    from gateway.wire.redaction import Redaction

MAX_SHOWN_BYTES: Final = 256 * 1024
_AT_ONCE: Final = 16
_OF_ONE_HOOK: Final = 4


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a call that was made to try a hook out.

    `problem` is the problem document of a hook that rejected the query. `diff` is about the whole result; `calls` are
    the exchanges that it took, of which there are several only where a result is sent in batches.
    """

    outcome: Outcome
    calls: list[TracedCall]
    diff: Diff
    problem: dict[str, Any] | None


def apart(settings: ChainSettings, snapshot: Callable[[], Snapshot]) -> Protections:
    """Protections for calls that no query makes: no breaker, and places of their own."""
    return Protections(
        ProtectionSettings(
            max_concurrency_total=_AT_ONCE,
            max_waiting=0,
            budget=settings.budget,
            breaker=BreakerSettings(enabled=False, max_open_seconds=0.0),
        ),
        snapshot=snapshot,
    )


def to_try(hook: BoundHook) -> BoundHook:
    """`hook` as it is called without a query: as if it were active, a few calls at once, never out of the cache."""
    return replace(
        hook,
        max_concurrency=min(hook.max_concurrency, _OF_ONE_HOOK),
        waits=False,
        cache_seconds=0.0,
        learned=Learned(reusable=False),
        plan=None if hook.plan is None else replace(hook.plan, mode=Mode.ACTIVE, coalesce=False),
    )


class _Watcher:
    """Shows calls to the trace of the trial that makes them."""

    def watching(self) -> bool:
        """Always."""
        return True

    def called(self, hook: BoundHook, sent: Result, after: Result, outcome: Outcome, seen: Exchanged) -> None:
        """Keep the call."""
        trace = TRACE.get()
        if trace is not None:
            trace.called(hook, sent, after, outcome, seen)


class HookTrials:
    """Tries hooks out.

    With breakers and bulkheads of its own: a trial neither opens nor closes the breaker that stands before queries, and
    takes no place from them. Whatever its mode, a hook is called as if it were active, and never out of the cache.
    `snapshot` gives the present one, `now` seconds since 1970; `turn` makes the turns of hooks with a plan.
    """

    def __init__(
        self,
        caller: HookCaller,
        settings: ChainSettings,
        redaction: Redaction,
        snapshot: Callable[[], Snapshot],
        now: Callable[[], float] = time.time,
        *,
        turn: Callable[[HookGuard], HookTurn] = HookTurn,
    ) -> None:
        self._guard = HookGuard(caller, apart(settings, snapshot), watcher=_Watcher())
        self._turn = turn(self._guard)
        self._settings = settings
        self._redaction = redaction
        self._now = now

    async def run(self, hook: BoundHook, query: Query, result: Result) -> Trial:
        """Call `hook` with `result`."""
        settings = self._settings
        hook = to_try(hook)
        deadline = asyncio.get_running_loop().time() + settings.budget
        trace = Trace("", self._now())
        token = TRACE.set(trace)
        try:
            event = QueryEvent(query, settings.source)
            after, outcome, problem = await self._turn.run(hook, hook.plan, query, event, result, deadline)
        finally:
            TRACE.reset(token)
        calls, diff = await asyncio.to_thread(self._told, trace, result, after)
        return Trial(outcome, calls, diff, problem)

    def _told(self, trace: Trace, before: Result, after: Result) -> tuple[list[TracedCall], Diff]:
        calls = trace.calls(self._redaction, MAX_SHOWN_BYTES)
        return calls, changes(before, after, self._redaction, MAX_SHOWN_BYTES)
