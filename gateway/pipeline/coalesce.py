"""Hooks with `coalesce`: the results of concurrent queries share a call, and each has its own answer.

The first result waits a few milliseconds for others to the same hook. What makes a difference to one of them alone
stays with it: its deadline, its cancellation, a bad answer to it. What fails the call fails each of them. A hook with
`coalesce` must still understand plain calls: a result that is alone is sent alone.
"""

from __future__ import annotations

import asyncio
from contextvars import Context, copy_context
from dataclasses import dataclass
from operator import attrgetter
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from gateway.model import Reason, Status
from gateway.pipeline.outcomes import outcome_of
from gateway.pipeline.shared_call import Member, SharedCall

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.model import Outcome, Query, Result
    from gateway.pipeline.call import Exchanged, HookCaller
    from gateway.pipeline.guard import HookGuard
    from gateway.registry.snapshot import BoundHook
    from gateway.wire.cloudevents import QueryEvent

    Turned = tuple[Result, Outcome, dict[str, Any] | None]
    Later = Callable[[float, Callable[[], None]], asyncio.TimerHandle]

_AROUND: Final = 512  # bytes that an event has around its query and its result, about
_WORTH_WAITING: Final = 4  # windows; who has less time than that does not spend a window on company


@dataclass(frozen=True, slots=True)
class CoalesceSettings:
    """What holds for every shared call.

    `window` in seconds is how long the first result waits for others (0: no sharing). A call has at most
    `max_results` and about `max_bytes`, and a result that takes more than a quarter of that is sent alone.
    """

    window: float = 0.002
    max_results: int = 64
    max_bytes: int = 256 * 1024


class _Group:
    """The members of one shared call: first those that came so far, then those who wait for it, who are `waiting`."""

    __slots__ = ("bytes", "members", "task", "timer", "waiting")

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.bytes = 0
        self.waiting = 0
        self.timer: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None


class Coalescer:
    """Gathers results for shared calls, for one event loop.

    `guard` lets calls through to `caller`. `later(seconds, do)` does something later, by default with the loop's
    timers. `calls` counts the calls that were shared, `results` what was sent in them.
    """

    def __init__(
        self,
        guard: HookGuard,
        caller: HookCaller,
        settings: CoalesceSettings | None = None,
        *,
        later: Later | None = None,
    ) -> None:
        self._guard = guard
        self._caller = caller
        self._settings = settings or CoalesceSettings()
        self._later = later
        self._gathering: dict[BoundHook, _Group] = {}
        self.calls = 0
        self.results = 0

    async def run(
        self, hook: BoundHook, query: Query, event: QueryEvent, sent: Result, chain_deadline: float, seen: Exchanged
    ) -> Turned:
        """What the hook makes of `sent`, perhaps in a call with others; means the same as `HookGuard.run`."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        deadline = min(now + hook.timeout, chain_deadline)
        settings = self._settings
        size = self._size(event, sent)
        if (
            hook.binary  # there is no batch of binary events
            or settings.window <= 0
            or size * 4 > settings.max_bytes
            or deadline - now < settings.window * _WORTH_WAITING
        ):
            return await self._guard.run(hook, query, event, sent, deadline, seen)
        member = Member(query, event, sent, deadline, seen, loop.create_future(), perf_counter(), copy_context())
        group = self._join(hook, member, size)
        group.waiting += 1
        try:
            return await member.answer
        finally:
            group.waiting -= 1
            if not group.waiting:
                await self._desert(hook, group)

    def _size(self, event: QueryEvent, sent: Result) -> int:
        try:
            return len(event.question()) + len(sent.body) + _AROUND
        except TypeError:  # it cannot be written as JSON: a call of its own says so
            return self._settings.max_bytes

    def _join(self, hook: BoundHook, member: Member, size: int) -> _Group:
        settings = self._settings
        group = self._gathering.get(hook)
        if group is not None and group.bytes + size > settings.max_bytes:
            self._close(hook, group)
            group = None
        if group is None:
            group = self._gathering[hook] = _Group()
            later = self._later or asyncio.get_running_loop().call_later
            gathered = group
            group.timer = later(settings.window, lambda: self._close(hook, gathered))
        group.members.append(member)
        group.bytes += size
        if len(group.members) >= settings.max_results:
            self._close(hook, group)
        return group

    def _close(self, hook: BoundHook, group: _Group) -> None:
        """Gather no more; make the call."""
        if self._gathering.get(hook) is group:
            del self._gathering[hook]
        if group.timer is not None:
            group.timer.cancel()
            group.timer = None
            group.members = [member for member in group.members if not member.answer.done()]
            if group.members:
                # What belongs to one query alone, like its trace, must not see what others send.
                alone = len(group.members) == 1
                context = group.members[0].context if alone else Context()
                call = self._call(hook, group.members)
                group.task = asyncio.get_running_loop().create_task(call, context=context)

    async def _desert(self, hook: BoundHook, group: _Group) -> None:
        """Nobody waits any more: make no call, or end the one under way."""
        self._close(hook, group)
        if group.task is not None and not group.task.done():
            group.task.cancel()
            await asyncio.wait((group.task,))

    async def _call(self, hook: BoundHook, members: list[Member]) -> None:
        try:
            if len(members) == 1:
                await self._alone(hook, members[0])
            else:
                await self._together(hook, members)
        except Exception as e:  # noqa: BLE001  it is raised where it can be dealt with: in each query
            for member in members:
                if not member.answer.done():
                    member.answer.set_exception(e)
        finally:
            for member in members:
                member.answer.cancel()  # if it has none yet, the loop is being torn down

    async def _alone(self, hook: BoundHook, member: Member) -> None:
        turned = await self._guard.run(hook, member.query, member.event, member.sent, member.deadline, member.seen)
        if not member.answer.done():
            member.answer.set_result(turned)

    async def _together(self, hook: BoundHook, members: list[Member]) -> None:
        self.calls += 1
        self.results += len(members)
        loop = asyncio.get_running_loop()
        latest = max(member.deadline for member in members)
        deadlines = _Deadlines(loop, hook, [member for member in members if member.deadline < latest])
        try:
            first = members[0]
            guard = self._guard.calling(SharedCall(self._caller, members))
            _, whole, _ = await guard.run(hook, first.query, first.event, first.sent, latest)
        finally:
            deadlines.close()
        for member in members:
            if not member.answer.done():
                member.answer.set_result(_answer(hook, member, whole))


class _Deadlines:
    """Ends the wait of each of `members` at its own deadline. There is one timer, for the earliest."""

    __slots__ = ("_hook", "_left", "_loop", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, hook: BoundHook, members: list[Member]) -> None:
        self._loop = loop
        self._hook = hook
        self._left = sorted(members, key=attrgetter("deadline"), reverse=True)
        self._timer: asyncio.TimerHandle | None = None
        self._wait()

    def _wait(self) -> None:
        self._timer = self._loop.call_at(self._left[-1].deadline, self._passed) if self._left else None

    def _passed(self) -> None:
        _late(self._hook, self._left.pop())
        self._wait()

    def close(self) -> None:
        """Nobody is late any more."""
        if self._timer is not None:
            self._timer.cancel()


def _answer(hook: BoundHook, member: Member, whole: Outcome) -> Turned:
    """What became of one member of a call of which became `whole`."""
    begun = member.begun
    seen = member.seen
    told = member.told
    if told is None or (whole.status is Status.FAILED and told.reason is None):
        detail = f"the call that it shared with other queries failed: {whole.detail}"
        outcome = outcome_of(
            hook,
            Status.FAILED,
            whole.reason,
            begun=begun,
            detail=detail,
            bytes_out=seen.sent,
            call_id=whole.call_id,
        )
        return member.sent, outcome, None
    outcome = outcome_of(
        hook,
        told.status,
        told.reason,
        begun=begun,
        detail=told.detail,
        changed=told.after is not member.sent,
        bytes_out=seen.sent,
        bytes_in=seen.received,
        call_id=whole.call_id,
    )
    return told.after, outcome, told.problem


def _late(hook: BoundHook, member: Member) -> None:
    """The deadline of one member passed before the call that it shares was complete."""
    if not member.answer.done():
        detail = "the deadline passed before the call that it shared with other queries was complete"
        outcome = outcome_of(
            hook, Status.FAILED, Reason.TIMEOUT, begun=member.begun, detail=detail, bytes_out=member.seen.sent
        )
        member.answer.set_result((member.sent, outcome, None))
