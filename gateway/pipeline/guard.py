"""Between the chain and a call: whatever a hook does becomes an outcome, never an exception."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from gateway.errors import CallError, ReplyUnusable, TimedOut
from gateway.model import Outcome, Reason, Status
from gateway.observe.log import get_logger
from gateway.pipeline.call import Exchanged
from gateway.resilience.pauses import Pauses
from gateway.wire.reply import Reject, Unchanged

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.model import Query, Result
    from gateway.pipeline.call import HookCaller
    from gateway.registry.snapshot import BoundHook
    from gateway.wire.cloudevents import QueryEvent

log = get_logger("pipeline")


def _nothing(_hook: BoundHook) -> None:
    pass


class HookGuard:
    """Runs one hook and tells what became of it.

    `gone` is told of a hook that answered 410.
    """

    def __init__(self, caller: HookCaller, *, gone: Callable[[BoundHook], None] = _nothing) -> None:
        self._caller = caller
        self._gone = gone
        self._pauses = Pauses()
        self._failing: dict[str, str] = {}

    async def run(
        self, hook: BoundHook, query: Query, event: QueryEvent, result: Result, chain_deadline: float
    ) -> tuple[Result, Outcome, dict[str, Any] | None]:
        """The result after `hook`, its outcome, and the problem document if it rejected the query.

        Takes until the hook's own limit or `chain_deadline` (loop time), whichever comes first. The
        result is the very object given unless the hook changed it. Only cancellation gets through.
        """
        time = asyncio.get_running_loop().time
        started = time()
        wait = self._pauses.left((hook.hook_id, hook.generation), started)
        if wait:
            why = f"the hook asked not to be called for another {wait:.0f} s"
            return result, self._outcome(hook, Status.FAILED, Reason.BREAKER_OPEN, detail=why), None
        deadline = min(started + hook.timeout, chain_deadline)
        seen = Exchanged()
        status = Status.UNCHANGED
        reason: Reason | None = None
        detail: str | None = None
        problem: dict[str, Any] | None = None
        after = result
        try:
            reply = await self._caller.call(hook, query, event, result, deadline, seen)
            if isinstance(reply, Reject):
                status, problem = Status.REJECTED, reply.problem
            elif not isinstance(reply, Unchanged):
                after = self._caller.apply(reply, result)
                status = Status.APPLIED
            if time() > deadline:
                raise TimedOut
        except CallError as e:
            status, reason, detail = Status.FAILED, Reason(e.reason), e.detail
            self._react(hook, e, time())
        except Exception as e:  # the last line of defence: a bug of ours must not make an answer worse
            log.exception("hook.broke_the_gateway", hook=hook.name, id=hook.hook_id)
            status, reason, detail = Status.FAILED, Reason.PROTOCOL, f"the gateway failed: {type(e).__name__}"
        if reason is not None:
            after, problem = result, None
        milliseconds = (time() - started) * 1000
        self._log_turn(hook, reason, detail)
        outcome = Outcome(
            hook=hook.name,
            integration=hook.integration,
            status=status,
            reason=reason,
            hook_id=hook.hook_id,
            integration_id=hook.integration_id,
            generation=hook.generation,
            milliseconds=milliseconds,
            bytes_out=seen.sent,
            bytes_in=seen.received,
            changed=after is not result,
            detail=detail,
            fatal=hook.fail and status is Status.FAILED,
        )
        return after, outcome, problem

    def skip(self, hook: BoundHook, reason: Reason) -> Outcome:
        """The outcome of a hook that is not called for `reason`."""
        return self._outcome(hook, Status.SKIPPED, reason)

    def out_of_time(self, hook: BoundHook) -> Outcome:
        """The outcome of a hook that had to be called when the chain's budget was spent."""
        detail = "the budget of the chain was spent before this hook's turn"
        return self._outcome(hook, Status.FAILED, Reason.TIMEOUT, detail=detail)

    def _outcome(self, hook: BoundHook, status: Status, reason: Reason, *, detail: str | None = None) -> Outcome:
        return Outcome(
            hook=hook.name,
            integration=hook.integration,
            status=status,
            reason=reason,
            hook_id=hook.hook_id,
            integration_id=hook.integration_id,
            generation=hook.generation,
            detail=detail,
            fatal=hook.fail and status is Status.FAILED,
        )

    def _react(self, hook: BoundHook, error: CallError, now: float) -> None:
        """Do what the failure asks for beyond this query."""
        if error.reason == Reason.GONE:
            self._gone(hook)
        elif isinstance(error, ReplyUnusable) and error.retry_after:
            self._pauses.pause((hook.hook_id, hook.generation), error.retry_after, now)

    def _log_turn(self, hook: BoundHook, reason: Reason | None, detail: str | None) -> None:
        """Log when a hook begins to fail and when it works again, not each failure between."""
        if reason is None:
            if self._failing and self._failing.pop(hook.hook_id, None) is not None:
                log.info("hook.works_again", hook=hook.name, id=hook.hook_id)
        elif self._failing.get(hook.hook_id) != reason:
            self._failing[hook.hook_id] = reason
            log.warning("hook.failing", hook=hook.name, id=hook.hook_id, why=reason.value, detail=detail)
