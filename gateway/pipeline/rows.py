"""Row-wise hooks: a large result in batches of its rows, called side by side and put together in their order.

Each batch is the same document with only its rows in it, so a hook need not know. A batch whose call fails keeps its
rows as they were, and the outcome says so.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.model import Reason, Result, RowCount, Status
from gateway.pipeline.outcomes import outcome_of
from gateway.wire.rows import NoRows, rows_of, tokens_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from msgspec import Raw

    from gateway.model import Outcome
    from gateway.registry.plan import HookPlan
    from gateway.registry.snapshot import BoundHook
    from gateway.wire.rows import Rows

    Turned = tuple[Result, Outcome, dict[str, Any] | None]
    Batch = Sequence[Raw | bytes]
    Call = Callable[[Result, float], Awaitable[Turned]]

_TOO_LATE: Final = 0.001  # seconds; a call that begins with less than that left would be made for nothing


@dataclass(frozen=True, slots=True)
class RowsSettings:
    """What holds for every row-wise hook.

    `batch_rows` where a hook names no number; at most `parallel` batches of one result are called at once;
    `max_bytes` of all replies to the batches of one result together.
    """

    batch_rows: int = 1_000
    parallel: int = 8
    max_bytes: int = 8 * 1024 * 1024


class _Done(NamedTuple):
    """What became of one batch: its rows if they were changed, and its outcome."""

    rows: Batch | None
    outcome: Outcome
    problem: dict[str, Any] | None = None


class RowBatches:
    """Calls row-wise hooks."""

    def __init__(self, settings: RowsSettings | None = None) -> None:
        self._settings = settings or RowsSettings()

    async def run(self, hook: BoundHook, plan: HookPlan, sent: Result, chain_deadline: float, call: Call) -> Turned:
        """What the hook makes of `sent`, batch by batch; means the same as `HookGuard.run`.

        `call(part, deadline)` makes the call for one batch. A result without an array at `plan.rows_at` is
        not sent. If the hook's failure must not be ignored, one failed batch fails all of it.
        """
        begun = perf_counter()
        tokens = tokens_of(plan.rows_at or "")
        try:
            rows = rows_of(sent.body, tokens)
        except NoRows:
            detail = f"there is no array at rows_at {plan.rows_at!r} of the result"
            return sent, outcome_of(hook, Status.SKIPPED, Reason.PROJECTION, begun=begun, detail=detail), None
        deadline = min(asyncio.get_running_loop().time() + hook.timeout, chain_deadline)
        batches = rows.batches(plan.batch_rows or self._settings.batch_rows)
        work = _Work(hook, plan, sent, rows, tokens, batches, deadline, call, self._settings.max_bytes)
        await work.all(min(self._settings.parallel, hook.max_concurrency, len(batches)))
        return work.told(begun)


class _Work:
    """The batches of one result, and what became of them so far."""

    def __init__(
        self,
        hook: BoundHook,
        plan: HookPlan,
        sent: Result,
        rows: Rows,
        tokens: tuple[str, ...],
        batches: list[Batch],
        deadline: float,
        call: Call,
        max_bytes: int,
    ) -> None:
        self._hook = hook
        self._counts = {check.row_count for check in plan.checks if (check.rows_at or "") == (plan.rows_at or "")}
        self._sent = sent
        self._rows = rows
        self._tokens = tokens
        self._batches = batches
        self._deadline = deadline
        self._call = call
        self._room = max_bytes
        self._done: list[_Done | None] = [None] * len(batches)
        self._last: _Done | None = None  # after it, no other batch is of any use
        self._whole: Result | None = None  # the result after the one batch that there is

    async def all(self, parallel: int) -> None:
        """Call for all batches, so many at once."""
        if parallel == 1:
            await self._some(iter(range(len(self._batches))))
            return
        numbers = iter(range(len(self._batches)))
        workers = [asyncio.create_task(self._some(numbers)) for _ in range(parallel)]
        working = set(workers)
        try:
            while working and self._last is None:
                ended, working = await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
                for worker in ended:
                    worker.result()  # raises what went wrong in it
        finally:
            for worker in working:
                worker.cancel()
            await asyncio.wait(workers)

    async def _some(self, numbers: Iterator[int]) -> None:
        """Call for the batches whose numbers are left, until none is or no other is of any use."""
        for number in numbers:
            done = self._done[number] = await self._one(self._batches[number])
            if done.problem is not None or done.outcome.fatal or done.outcome.reason is Reason.GONE:
                self._last = done
            if self._last is not None:
                return

    async def _one(self, batch: Batch) -> _Done:
        begun = perf_counter()
        if asyncio.get_running_loop().time() > self._deadline - _TOO_LATE:
            return self._failed(begun, Reason.TIMEOUT, "the deadline passed before the turn of this batch")
        whole = len(self._batches) == 1
        part = self._sent if whole else Result(self._rows.document(batch), self._sent.content_type)
        after, outcome, problem = await self._call(part, self._deadline)
        if after is part:
            return _Done(None, outcome, problem)
        self._room -= len(after.body)
        if self._room < 0:
            detail = "the replies to the batches of one result are larger together than a reply may be"
            return self._failed(begun, Reason.TOO_LARGE, detail, outcome)
        rows = self._rows.of(after.body, self._tokens)
        if rows is None:
            detail = "the reply to a batch of rows changed something outside its rows"
            return self._failed(begun, Reason.CONTRACT, detail, outcome)
        if (why := self._miscounted(len(batch), len(rows))) is not None:
            return self._failed(begun, Reason.CONTRACT, why, outcome)
        if whole:
            self._whole = after
        return _Done(rows, outcome)

    def _miscounted(self, before: int, after: int) -> str | None:
        """Why a batch may not have `after` rows that had `before`."""
        if after > before and not self._counts.isdisjoint({RowCount.SAME, RowCount.MAY_SHRINK}):
            return f"a batch of {before} rows has {after} after the reply, and their number may not grow"
        if after < before and not self._counts.isdisjoint({RowCount.SAME, RowCount.MAY_GROW}):
            return f"a batch of {before} rows has {after} after the reply, and their number may not shrink"
        return None

    def _failed(self, begun: float, reason: Reason, detail: str, call: Outcome | None = None) -> _Done:
        out, back = (0, 0) if call is None else (call.bytes_out, call.bytes_in)
        return _Done(
            None,
            outcome_of(
                self._hook, Status.FAILED, reason, begun=begun, detail=detail, bytes_out=out, bytes_in=back
            ),
        )  # fmt: skip

    def told(self, begun: float) -> Turned:
        """The result after all batches, and one outcome for them."""
        done = [each for each in self._done if each is not None]
        count = len(self._batches)
        failed = [each.outcome for each in done if each.outcome.status is Status.FAILED]
        well = [each.outcome for each in done if each.outcome.status is not Status.FAILED]
        outcome = outcome_of(
            self._hook,
            Status.UNCHANGED,
            begun=begun,
            bytes_out=sum(each.outcome.bytes_out for each in done),
            bytes_in=sum(each.outcome.bytes_in for each in done),
        )._replace(
            batches=count,
            batches_failed=count - len(well),
            call_id=next((each.outcome.call_id for each in done if each.outcome.call_id is not None), None),
        )
        last = self._last
        if last is not None and last.problem is not None:
            return self._sent, outcome._replace(status=Status.REJECTED), last.problem
        if failed and (self._hook.fail or not well):
            first = last.outcome if last is not None else failed[0]
            detail = first.detail if count == 1 else f"{_shares(failed, count - len(well), count)}; {first.detail}"
            failure = outcome._replace(status=Status.FAILED, reason=first.reason, detail=detail, fatal=self._hook.fail)
            return self._sent, failure, None
        detail = _shares(failed, count - len(well), count) if failed else well[0].detail if count == 1 else None
        outcome = outcome._replace(status=_status(well), detail=detail)
        if all(each.rows is None for each in done):
            return self._sent, outcome, None
        if self._whole is not None:
            return self._whole, outcome._replace(changed=True), None
        rows = [
            row
            for each, before in zip(self._done, self._batches, strict=True)
            for row in (before if each is None or each.rows is None else each.rows)
        ]
        after = Result(self._rows.document(rows), self._sent.content_type)
        return after, outcome._replace(changed=True), None


def _shares(failed: list[Outcome], of_them: int, count: int) -> str:
    """Like "3 of 10 batches failed: timeout, connect"."""
    reasons = dict.fromkeys(each.reason.value for each in failed if each.reason is not None)
    return f"{of_them} of {count} batches failed: {', '.join(reasons)}"


def _status(well: list[Outcome]) -> Status:
    """The status of a result whose batches ended so."""
    found = {outcome.status for outcome in well}
    if len(found) == 1:
        return found.pop()
    return Status.APPLIED if Status.APPLIED in found or any(o.changed for o in well) else Status.UNCHANGED
