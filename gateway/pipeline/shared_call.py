"""One call for the results of several queries: made once, understood for each."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.errors import CallError, ReplyUnusable
from gateway.model import Reason, Status
from gateway.wire import batch, freshness, reply
from gateway.wire.reply import UNCHANGED, Reject, Unchanged

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextvars import Context

    from gateway.model import Outcome, Query, Result
    from gateway.pipeline.call import Exchanged, HookCaller
    from gateway.registry.snapshot import BoundHook
    from gateway.transport.protocol import Response
    from gateway.wire.batch import Element
    from gateway.wire.cloudevents import QueryEvent
    from gateway.wire.reply import Reply

_TAKE_APART_IN_THREAD: Final = 32 * 1024  # bytes; what it holds may be patches with a thousand operations


class Told(NamedTuple):
    """What a shared call said for one member: the result after it, or the reason of its own failure."""

    after: Result
    status: Status
    reason: Reason | None = None
    detail: str | None = None
    problem: dict[str, Any] | None = None


@dataclass(slots=True, eq=False)
class Member:
    """One query in a shared call: what is sent for it, until when it waits (loop time), and what it is told.

    `seen.ident` is the id of its event. `answer` is what it waits for; `begun` is when its turn began (`perf_counter`),
    `context` what it runs in.
    """

    query: Query
    event: QueryEvent
    sent: Result
    deadline: float
    seen: Exchanged
    answer: asyncio.Future[tuple[Result, Outcome, dict[str, Any] | None]]
    begun: float
    context: Context
    told: Told | None = None


class SharedCall:
    """A `Caller` for a guard: makes one call for all `members`, and leaves with each what it is told.

    To the guard it is one call, which fails if it failed for each of them.
    """

    def __init__(self, caller: HookCaller, members: Sequence[Member]) -> None:
        self._caller = caller
        self._members = members

    async def call(
        self, hook: BoundHook, _query: Query, _event: QueryEvent, _result: Result, deadline: float, seen: Exchanged
    ) -> Reply:
        """Call `hook` with what all members send. Raises `CallError`."""
        deepest = max(self._members, key=lambda member: member.query.depth)
        at = seen.at = self._caller.now() if seen.at is None else seen.at
        events = [
            member.event.structured(member.seen.ident, hook.hook_id, at, member.sent, traced=True)
            for member in self._members
        ]
        for member, each in zip(self._members, events, strict=True):
            member.seen.began = True
            member.seen.sent = len(each)
        response = await self._caller.exchange(
            hook,
            deepest.query,
            deepest.event,
            [("content-type", batch.CONTENT_TYPE)],
            batch.encode(events),
            deadline,
            seen,
            useful_until=min(member.deadline for member in self._members),
        )
        if response.status == 204:
            fresh = freshness.seconds(response.header)
            for member in self._members:
                self._tell(hook, member, UNCHANGED, fresh)
        elif len(response.body) < _TAKE_APART_IN_THREAD:
            self._take_apart(hook, response)
        else:
            await asyncio.to_thread(self._take_apart, hook, response)
        errors = [member.told for member in self._members if member.told is not None and member.told.reason]
        if len(errors) == len(self._members):
            first = errors[0]
            assert first.reason is not None
            raise ReplyUnusable(first.reason, first.detail or "")
        return UNCHANGED

    def apply(self, _answer: Reply, result: Result) -> Result:
        """Nothing: each member has its own."""
        return result

    def _take_apart(self, hook: BoundHook, response: Response) -> None:
        media = (response.header("content-type") or "").partition(";")[0].strip().lower()
        if response.status == 200 and media not in (reply.JSON, batch.CONTENT_TYPE):
            detail = f"content-type of the reply to a shared call is not {reply.JSON}"
            raise ReplyUnusable(Reason.CONTENT_TYPE, detail)
        if response.status == 410:
            raise ReplyUnusable(Reason.GONE, "the hook answered 410: it is gone")
        if response.status != 200:
            raise ReplyUnusable(Reason.STATUS, f"the hook answered a shared call with status {response.status}")
        answers = batch.decode(response.body)
        for member in self._members:
            answer = answers.get(member.seen.ident)
            try:
                if answer is None:
                    raise ReplyUnusable(Reason.PROTOCOL, "the reply to a shared call has no usable answer to its event")
                if isinstance(answer, ReplyUnusable):
                    raise answer
                member.seen.status = answer.status
                member.seen.received = len(memoryview(answer.data))
                self._tell(hook, member, self._understood(hook, member, answer), _freshness(answer, response))
            except CallError as e:
                member.told = Told(member.sent, Status.FAILED, Reason(e.reason), e.detail)

    def _understood(self, hook: BoundHook, member: Member, answer: Element) -> Reply:
        if answer.status == 410:  # a hook is gone for all or for none
            raise ReplyUnusable(Reason.STATUS, "the answer to its event has status 410")
        return reply.decode(
            answer.status,
            answer.contenttype,
            bytes(answer.data),
            result_type=member.sent.content_type,
            may_reject=hook.may_reject,
            max_depth=self._caller.max_depth,
        )

    def _tell(self, hook: BoundHook, member: Member, said: Reply, fresh: float) -> None:
        """Note what a member is told. Raises `ReplyUnusable` if that does not fit its result."""
        if hook.cache_seconds:
            member.seen.fresh = min(fresh, hook.cache_seconds)
            hook.learned.replied(reusable=fresh > 0)
        if isinstance(said, Reject):
            member.told = Told(member.sent, Status.REJECTED, problem=said.problem)
            return
        after = self._caller.apply(said, member.sent)
        member.told = Told(after, Status.UNCHANGED if isinstance(said, Unchanged) else Status.APPLIED)


def _freshness(answer: Element, response: Response) -> float:
    """For how long one answer may be used again: as it says, or else as the whole reply says."""
    if answer.cachecontrol is None:
        return freshness.seconds(response.header)

    def header(name: str) -> str | None:
        return answer.cachecontrol if name == "cache-control" else response.header(name)

    return freshness.seconds(header)
