"""Between the chain and a call: whatever a hook does becomes an outcome, never an exception.

A call passes its hook's breaker, then takes a place in the bulkheads, then is made: all under one deadline.
"""

from __future__ import annotations

import asyncio
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.errors import CallError, ConnectFailed, ReplyUnusable, TimedOut
from gateway.model import Outcome, Reason, Status
from gateway.observe.log import get_logger
from gateway.pipeline.call import Exchanged
from gateway.pipeline.protection import Protections
from gateway.pipeline.verdict import Verdict, verdict
from gateway.wire.reply import Reject, Replace, Unchanged, is_slow

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.model import Query, Result
    from gateway.pipeline.protection import Protection
    from gateway.registry.snapshot import BoundHook
    from gateway.resilience.breaker import Breaker
    from gateway.resilience.bulkhead import Places
    from gateway.wire.cloudevents import QueryEvent
    from gateway.wire.reply import Reply

log = get_logger("pipeline")

# To find a member through its class takes as long as a step of the path.
_UNCHANGED: Final = Status.UNCHANGED
_APPLIED: Final = Status.APPLIED
_FAILED: Final = Status.FAILED

_TOO_LATE: Final = 0.001  # seconds; a call that begins with less than that left would be made for nothing


def _nothing(_hook: BoundHook) -> None:
    pass


class Caller(Protocol):
    """Makes the calls that a guard lets through. (`HookCaller`; `SharedCall` for several queries at once.)"""

    async def call(
        self, hook: BoundHook, query: Query, event: QueryEvent, result: Result, deadline: float, seen: Exchanged
    ) -> Reply:
        """Call `hook` with `result`; return what its reply means. Raises `CallError`."""
        ...

    def apply(self, answer: Reply, result: Result) -> Result:
        """The result after `answer`; the very same object if nothing changed. Raises `ReplyUnusable`."""
        ...


class CallWatcher(Protocol):
    """Is shown whole calls, on the path of the query: it must be quick. What it raises is logged."""

    def watching(self) -> bool:
        """Whether it wants to be shown the next call."""
        ...

    def called(self, hook: BoundHook, sent: Result, after: Result, outcome: Outcome, seen: Exchanged) -> None:
        """`sent` was sent to `hook`, and `after` is what its reply made of it."""
        ...


class HookGuard:
    """Runs one hook and tells what became of it.

    `gone` is told of a hook that answered 410. `watcher`, where there is one, is shown the calls that it wants to see.
    """

    def __init__(
        self,
        caller: Caller,
        protections: Protections | None = None,
        *,
        gone: Callable[[BoundHook], None] = _nothing,
        watcher: CallWatcher | None = None,
    ) -> None:
        self._caller = caller
        self._protections = protections or Protections()
        self._gone = gone
        self._watcher = watcher

    def calling(self, caller: Caller) -> HookGuard:
        """A guard of the same hooks that lets calls through to `caller`."""
        return HookGuard(caller, self._protections, gone=self._gone, watcher=self._watcher)

    async def run(
        self,
        hook: BoundHook,
        query: Query,
        event: QueryEvent,
        result: Result,
        chain_deadline: float,
        seen: Exchanged | None = None,
    ) -> tuple[Result, Outcome, dict[str, Any] | None]:
        """The result after `hook`, its outcome, and the problem document if it rejected the query.

        Takes until the hook's own limit or `chain_deadline` (loop time), whichever comes first. The
        result is the very object given unless the hook changed it. `seen` is filled in, where it is given. Only
        cancellation gets through.
        """
        time = self._time
        begun = perf_counter()  # the loop's clock may tick in whole milliseconds
        protection = self._protections.of(hook)
        breaker, places = protection.breaker, protection.places
        ticket = breaker.enter()
        if ticket is None:
            return result, self._not_called(hook, breaker), None
        began = time()
        deadline = began + hook.timeout
        if deadline > chain_deadline:  # noqa: PLR1730  `min` takes several times as long
            deadline = chain_deadline
        if not places.try_enter():
            refusal = await self._wait(hook, places, breaker, ticket, deadline)
            if refusal is not None:
                return result, self._outcome(hook, Status.FAILED, refusal, waited=perf_counter() - begun), None
            began = time()
        watcher = self._watcher
        if seen is None:
            seen = Exchanged()
        status = _UNCHANGED
        reason: Reason | None = None
        detail: str | None = None
        problem: dict[str, Any] | None = None
        after = result
        try:
            if watcher is not None:
                seen.whole = watcher.watching()
            call = self._call_again if hook.retry else self._caller.call
            reply = await call(hook, query, event, result, deadline, seen)
            if isinstance(reply, Reject):
                status, problem = Status.REJECTED, reply.problem
            elif not isinstance(reply, Unchanged):
                if isinstance(reply, Replace) or not is_slow(reply, result):
                    after = self._caller.apply(reply, result)
                else:
                    after = await self._applied_on_a_thread(reply, result, deadline)
                status = _APPLIED
            ended = time()
            if ended > deadline:
                raise TimedOut
            breaker.leave(ticket, False, ended - began > protection.slow_after)
        except CallError as e:
            status, after, problem = _FAILED, result, None
            reason, detail = Reason(e.reason), e.detail
            self._failed(hook, e, protection, breaker, ticket, seen, granted=deadline - began, took=time() - began)
        except Exception as e:  # the last line of defence: a bug of ours must not make an answer worse
            log.exception("hook.broke_the_gateway", hook=hook.name, id=hook.hook_id)
            status, after, problem = _FAILED, result, None
            reason, detail = Reason.PROTOCOL, f"the gateway failed: {type(e).__name__}"
            breaker.withdraw(ticket)
        except BaseException:
            breaker.withdraw(ticket)
            raise
        finally:
            places.leave()
        if reason is not protection.failing:
            self._log_turn(hook, protection, reason, detail)
        outcome = Outcome(  # by position: that takes half the time
            hook.name,
            hook.integration,
            status,
            reason,
            hook.hook_id,
            hook.integration_id,
            hook.generation,
            (perf_counter() - begun) * 1000,  # milliseconds
            seen.sent,
            seen.received,
            after is not result,
            detail,
            hook.fail and status is _FAILED,
            seen.ident,
        )
        if seen.whole and watcher is not None:
            try:
                watcher.called(hook, result, after, outcome, seen)
            except Exception:  # who watches must not disturb
                log.exception("observer.broke")
        return after, outcome, problem

    async def _wait(
        self, hook: BoundHook, places: Places, breaker: Breaker, ticket: int, deadline: float
    ) -> Reason | None:
        """Take a place that is not free at once; why not, if there was none."""
        entered = False
        try:
            entered = hook.waits and await places.enter(deadline)
            if entered and self._time() > deadline - _TOO_LATE:
                places.leave()
                entered = False
        finally:
            if not entered:
                breaker.withdraw(ticket)
        if breaker.admits(ticket):
            return None if entered else Reason.OVERLOAD
        if entered:
            places.leave()
        return Reason.BREAKER_OPEN

    def _failed(
        self,
        hook: BoundHook,
        error: CallError,
        protection: Protection,
        breaker: Breaker,
        ticket: int,
        seen: Exchanged,
        *,
        granted: float,
        took: float,
    ) -> None:
        """Tell those whom it concerns of a call that failed: it had `granted` seconds and `took` seconds."""
        if isinstance(error, ReplyUnusable) and error.retry_after:
            breaker.pause(ticket, error.retry_after)
        elif (says := verdict(error, seen, granted=granted, limit=protection.limit)) is Verdict.NOTHING:
            breaker.withdraw(ticket)
        else:
            slow = error.reason == Reason.TIMEOUT or took > protection.slow_after
            breaker.leave(ticket, says is Verdict.FAILED, slow)
        if error.reason == Reason.GONE:
            self._gone(hook)

    async def _call_again(
        self, hook: BoundHook, query: Query, event: QueryEvent, result: Result, deadline: float, seen: Exchanged
    ) -> Reply:
        """The hook's reply. A call that met no connection is made once more."""
        try:
            return await self._caller.call(hook, query, event, result, deadline, seen)
        except ConnectFailed:
            if self._time() >= deadline:
                raise
        return await self._caller.call(hook, query, event, result, deadline, seen)

    async def _applied_on_a_thread(self, reply: Reply, result: Result, deadline: float) -> Result:
        """The result after `reply`, which asks for much: waited for in time only."""
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.to_thread(self._caller.apply, reply, result)
        except TimeoutError:
            raise TimedOut from None

    @cached_property
    def _time(self) -> Callable[[], float]:
        return asyncio.get_running_loop().time

    def skip(self, hook: BoundHook, reason: Reason) -> Outcome:
        """The outcome of a hook that is not called for `reason`."""
        return self._outcome(hook, Status.SKIPPED, reason)

    def broke_contract(self, hook: BoundHook) -> None:
        """The reply to a call that went well turned out to break the hook's contract: that is a failure of the hook."""
        self._protections.of(hook).breaker.recant()

    def out_of_time(self, hook: BoundHook) -> Outcome:
        """The outcome of a hook that had to be called when the chain's budget was spent."""
        detail = "the budget of the chain was spent before this hook's turn"
        return self._outcome(hook, Status.FAILED, Reason.TIMEOUT, detail=detail)

    def _not_called(self, hook: BoundHook, breaker: Breaker) -> Outcome:
        view = breaker.view()
        detail = "its breaker is half-open, and a probe is under way"
        if view.next_probe_at is not None:
            left = view.next_probe_at - self._protections.now()
            detail = f"its breaker is open for another {left:.1f} s: {view.why}"
        return self._outcome(hook, Status.FAILED, Reason.BREAKER_OPEN, detail=detail)

    def _outcome(
        self, hook: BoundHook, status: Status, reason: Reason, *, detail: str | None = None, waited: float = 0.0
    ) -> Outcome:
        return Outcome(
            hook=hook.name,
            integration=hook.integration,
            status=status,
            reason=reason,
            hook_id=hook.hook_id,
            integration_id=hook.integration_id,
            generation=hook.generation,
            milliseconds=waited * 1000,
            detail=detail or _WHY_NOT.get(reason),
            fatal=hook.fail and status is Status.FAILED,
        )

    def _log_turn(self, hook: BoundHook, protection: Protection, reason: Reason | None, detail: str | None) -> None:
        """Log that a hook begins to fail, fails in another way, or works again; not each failure between."""
        protection.failing = reason
        if reason is None:
            log.info("hook.works_again", hook=hook.name, id=hook.hook_id)
        else:
            log.warning("hook.failing", hook=hook.name, id=hook.hook_id, why=reason.value, detail=detail)


_WHY_NOT = {
    Reason.OVERLOAD: "as many calls as may be were under way, and no place became free in time",
    Reason.BREAKER_OPEN: "its breaker opened while this call waited for a place",
}
