"""The turn of a hook that asks for more than a plain call: each step in its own file, this is their order.

1. `select`: is it called at all (condition, sampling)?
2. `rollout`: in whose path (shadow, canary)?
3. `scope`: what of the result is sent?
4. `reuse`: is the answer known, or under way?
5. `rows`, `coalesce`: in how many calls, or in which shared one?
6. `guard`: the call itself.
7. `scope`, `postconditions`: what of the answer becomes part of the result?
8. `journal`: what is remembered of it?
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

from gateway.model import Reason, Status
from gateway.observe.log import get_logger
from gateway.pipeline.outcomes import outcome_of
from gateway.pipeline.select import Selection

if TYPE_CHECKING:
    from gateway.model import Outcome, Query, Result
    from gateway.pipeline.guard import HookGuard
    from gateway.pipeline.sending import Sending
    from gateway.registry.plan import HookPlan
    from gateway.registry.snapshot import BoundHook
    from gateway.wire.cloudevents import QueryEvent

    Turned = tuple[Result, Outcome, dict[str, Any] | None]

log = get_logger("pipeline")


class HookTurn:
    """Runs one hook by its plan and tells what became of it.

    Each method takes the hook a part of the way and leaves the rest to the next one; all of them have the
    meaning of `HookGuard.run`: the result after the hook (the very object given unless it changed), the outcome, and
    the problem document if it rejected the query. Only cancellation gets through. Without `sending`, every call
    is made as it comes.
    """

    def __init__(self, guard: HookGuard, selection: Selection | None = None, sending: Sending | None = None) -> None:
        self._guard = guard
        self._selection = selection or Selection()
        self._sending = sending

    async def run(
        self, hook: BoundHook, plan: HookPlan | None, query: Query, event: QueryEvent, result: Result, deadline: float
    ) -> Turned:
        """The turn, whatever happens in it. `deadline` is the chain's, in the loop's time.

        A hook without a plan is a plain one whose replies may perhaps be used again.
        """
        begun = perf_counter()
        try:
            if plan is None:
                return await self.exchange(hook, None, query, event, result, deadline)
            return await self.planned(hook, plan, query, event, result, deadline)
        except Exception as e:  # the last line of defence: a bug of ours must not make an answer worse
            log.exception("hook.broke_the_gateway", hook=hook.name, id=hook.hook_id)
            detail = f"the gateway failed: {type(e).__name__}"
            return result, outcome_of(hook, Status.FAILED, Reason.PROTOCOL, begun=begun, detail=detail), None

    async def planned(
        self, hook: BoundHook, plan: HookPlan, query: Query, event: QueryEvent, result: Result, deadline: float
    ) -> Turned:
        """The whole turn: steps 1, 2 and 8 around `answer`."""
        begun = perf_counter()
        refusal = self._selection.refusal(hook, plan, query, event, result)
        if refusal is not None:
            status, reason, detail = refusal
            return result, outcome_of(hook, status, reason, begun=begun, detail=detail), None
        return await self.answer(hook, plan, query, event, result, deadline)

    async def answer(
        self, hook: BoundHook, plan: HookPlan, query: Query, event: QueryEvent, result: Result, deadline: float
    ) -> Turned:
        """What the hook makes of the whole `result`: steps 3 and 7 around `exchange`."""
        return await self.exchange(hook, plan, query, event, result, deadline)

    async def exchange(
        self, hook: BoundHook, plan: HookPlan | None, query: Query, event: QueryEvent, sent: Result, deadline: float
    ) -> Turned:
        """What the hook makes of what is `sent` to it: steps 4, 5 and 6."""
        if self._sending is None:
            return await self._guard.run(hook, query, event, sent, deadline)
        return await self._sending.run(hook, plan, query, event, sent, deadline)
