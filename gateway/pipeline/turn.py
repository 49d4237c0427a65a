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

from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from gateway.model import Mode, Reason, Status
from gateway.observe.log import get_logger
from gateway.pipeline.contract import Contracts
from gateway.pipeline.outcomes import outcome_of
from gateway.pipeline.select import Selection

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from gateway.model import Outcome, Query, Result
    from gateway.pipeline.guard import HookGuard
    from gateway.pipeline.rollout import Rollout
    from gateway.pipeline.sending import Sending
    from gateway.registry.plan import HookPlan
    from gateway.registry.snapshot import BoundHook
    from gateway.wire.cloudevents import QueryEvent

    Turned = tuple[Result, Outcome, dict[str, Any] | None]

log = get_logger("pipeline")

_ACTIVE: Final = Mode.ACTIVE


class HookTurn:
    """Runs one hook by its plan and tells what became of it.

    Each method takes the hook a part of the way and leaves the rest to the next one; all of them have the
    meaning of `HookGuard.run`: the result after the hook (the very object given unless it changed), the outcome, and
    the problem document if it rejected the query. Only cancellation gets through. Without `sending`, every call
    is made as it comes; without `rollout`, every hook is active.
    """

    def __init__(
        self,
        guard: HookGuard,
        selection: Selection | None = None,
        sending: Sending | None = None,
        rollout: Rollout | None = None,
    ) -> None:
        self._guard = guard
        self._contracts = Contracts(guard.broke_contract)
        self._selection = selection or Selection()
        self._sending = sending
        self._rollout = rollout

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
            outcome = outcome_of(hook, Status.FAILED, Reason.PROTOCOL, begun=begun, detail=detail)
            in_shadow = plan is not None and plan.mode is Mode.SHADOW
            return result, outcome._replace(fatal=False) if in_shadow else outcome, None

    def without(
        self, hook: BoundHook, plan: HookPlan | None, query: Query, event: QueryEvent, result: Result, reason: Reason
    ) -> Outcome:
        """The outcome of a hook that nobody can call for `reason`, such as the size of the result.

        It is skipped. But where it is meant for the query, and its failure policy says that the query must not go on
        without it, that is a failure: what it is there to hide must not be had by asking for more.
        """
        begun = perf_counter()
        if hook.fail and self._is_meant(hook, plan, query, event, result):
            detail = "it could not be called, and the query must not go on without it"
            return outcome_of(hook, Status.FAILED, reason, begun=begun, detail=detail)
        return self._guard.skip(hook, reason)

    def _is_meant(
        self, hook: BoundHook, plan: HookPlan | None, query: Query, event: QueryEvent, result: Result
    ) -> bool:
        """Whether the hook would be called in the way of the query: not in shadow, in its share, its condition true."""
        if plan is None:
            return True
        mode = _ACTIVE if self._rollout is None else self._rollout.mode(hook, plan, query)
        if mode is None or mode is Mode.SHADOW:
            return False
        refusal = self._selection.refusal(hook, plan, query, event, result)
        return refusal is None or refusal.status is Status.FAILED

    async def planned(
        self, hook: BoundHook, plan: HookPlan, query: Query, event: QueryEvent, result: Result, deadline: float
    ) -> Turned:
        """The whole turn: steps 1, 2 and 8 around `answer`."""
        begun, rollout = perf_counter(), self._rollout
        mode = _ACTIVE if rollout is None else rollout.mode(hook, plan, query)
        if mode is None:
            detail = f"it is a canary for {plan.percent:g} % of the queries, and this is none of them"
            return result, outcome_of(hook, Status.SKIPPED, Reason.SAMPLING, begun=begun, detail=detail), None
        refusal = self._selection.refusal(hook, plan, query, event, result)
        if refusal is not None:
            status, reason, why = refusal
            outcome = outcome_of(hook, status, reason, begun=begun, detail=why)
            return result, outcome._replace(fatal=False) if mode is Mode.SHADOW else outcome, None
        if rollout is None or mode is _ACTIVE:
            return await self.answer(hook, plan, query, event, result, deadline)
        return await rollout.run(mode, hook, plan, query, event, result, deadline, self.answer)

    async def answer(
        self, hook: BoundHook, plan: HookPlan, query: Query, event: QueryEvent, result: Result, deadline: float
    ) -> Turned:
        """What the hook makes of the whole `result`: steps 3 and 7 around `exchange`."""
        return await self._contracts.run(hook, plan, result, deadline, partial(self.exchange, hook, plan, query, event))

    def exchange(
        self, hook: BoundHook, plan: HookPlan | None, query: Query, event: QueryEvent, sent: Result, deadline: float
    ) -> Awaitable[Turned]:
        """What the hook makes of what is `sent` to it: steps 4, 5 and 6."""
        if self._sending is None:
            return self._guard.run(hook, query, event, sent, deadline)
        return self._sending.run(hook, plan, query, event, sent, deadline)
