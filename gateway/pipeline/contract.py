"""What a hook's reply must keep to: its scope and the post-conditions. Steps 3 and 7 of a turn.

Work on large documents is done on a thread, so that Python's part of it gives way to other queries every few
milliseconds. A single step in C does not, such as a parse of the whole document: what bounds that is the cap on results
(`calls.max_result_bytes`).
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakKeyDictionary

from gateway.errors import ReplyUnusable, TimedOut
from gateway.model import Reason, Status
from gateway.pipeline.outcomes import outcome_of
from gateway.pipeline.postconditions import PostCheck
from gateway.pipeline.scope import Merged, NothingToSend, Scope, Sent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.model import Outcome, Result
    from gateway.registry.plan import HookPlan
    from gateway.registry.snapshot import BoundHook

    Turned = tuple[Result, Outcome, dict[str, Any] | None]
    Exchange = Callable[[Result, float], Awaitable[Turned]]

T = TypeVar("T")

IN_THREAD: Final = 256 * 1024  # bytes; below this a thread costs more than it gives


class Contract:
    """What one hook keeps to, compiled from its plan."""

    __slots__ = ("_checks", "_scope")

    def __init__(self, plan: HookPlan) -> None:
        scoped = plan.reads is not None or plan.writes is not None
        self._scope = Scope(plan.reads, plan.writes, drops=plan.drops) if scoped else None
        self._checks = tuple(PostCheck(each) for each in plan.checks)

    def __bool__(self) -> bool:
        """Whether there is anything to keep to."""
        return self._scope is not None or bool(self._checks)

    def project(self, result: Result) -> Sent:
        """What the hook is sent of `result`. Raises `NothingToSend`."""
        return Sent(result) if self._scope is None else self._scope.project(result)

    def settle(self, result: Result, sent: Sent, after: Result) -> Merged:
        """The result when the hook made `after` of what was sent of it. Raises `ReplyUnusable` (`contract`)."""
        merged = Merged(after) if self._scope is None else self._scope.merge(result, sent, after)
        for check in self._checks:
            check.check(result, merged.result)
        return merged


class Contracts:
    """Holds hooks to their plans. `broken` is told of hooks whose reply to a call broke its contract."""

    def __init__(self, broken: Callable[[BoundHook], None]) -> None:
        self._broken = broken
        self._compiled: WeakKeyDictionary[HookPlan, Contract] = WeakKeyDictionary()

    def of(self, plan: HookPlan) -> Contract:
        """The contract of a plan, compiled when it is first asked for."""
        found = self._compiled.get(plan)
        if found is None:
            found = self._compiled[plan] = Contract(plan)
        return found

    async def run(
        self, hook: BoundHook, plan: HookPlan, result: Result, chain_deadline: float, exchange: Exchange
    ) -> Turned:
        """What the hook makes of `result`, where `exchange(sent, deadline)` gives what it makes of what is sent.

        Means the same as `HookGuard.run`. All of it is under one deadline: the hook's own limit or `chain_deadline`.
        """
        contract = self.of(plan)
        if not contract:
            return await exchange(result, chain_deadline)
        begun = perf_counter()
        deadline = min(asyncio.get_running_loop().time() + hook.timeout, chain_deadline)
        try:
            sent = await _by(deadline, len(result.body), contract.project, result)
        except NothingToSend as e:
            return result, outcome_of(hook, Status.SKIPPED, Reason.PROJECTION, begun=begun, detail=str(e)), None
        except TimedOut as e:
            return result, outcome_of(hook, Status.FAILED, Reason.TIMEOUT, begun=begun, detail=e.detail), None
        after, outcome, problem = await exchange(sent.result, deadline)
        if after is sent.result:
            return result, _since(begun, outcome, changed=False), problem
        size = len(result.body) + len(after.body)
        try:
            merged = await _by(deadline, size, contract.settle, result, sent, after)
        except ReplyUnusable as e:
            if outcome.status is Status.APPLIED:  # not from the cache
                self._broken(hook)
            return result, _failure(hook, begun, outcome, Reason.CONTRACT, e.detail), None
        except TimedOut as e:
            return result, _failure(hook, begun, outcome, Reason.TIMEOUT, e.detail), None
        outcome = _since(begun, outcome, changed=merged.result is not result)
        if merged.left_out is not None:
            said = (outcome.detail, merged.left_out)
            outcome = outcome._replace(detail="; ".join(each for each in said if each))
        return merged.result, outcome, problem


async def _by(deadline: float, size: int, work: Callable[..., T], *what: Any) -> T:
    """What `work` returns, by the deadline: on a thread if it is about many bytes. Raises `TimedOut`."""
    if size < IN_THREAD:
        done = work(*what)
    else:
        try:
            async with asyncio.timeout_at(deadline):
                done = await asyncio.to_thread(work, *what)
        except TimeoutError:
            raise TimedOut from None
    if asyncio.get_running_loop().time() > deadline:
        raise TimedOut
    return done


def _since(begun: float, outcome: Outcome, *, changed: bool) -> Outcome:
    """The outcome of a call as that of the turn around it."""
    return outcome._replace(milliseconds=(perf_counter() - begun) * 1000, changed=changed)


def _failure(hook: BoundHook, begun: float, outcome: Outcome, reason: Reason, detail: str) -> Outcome:
    failed = outcome._replace(status=Status.FAILED, reason=reason, detail=detail, fatal=hook.fail)
    return _since(begun, failed, changed=False)
