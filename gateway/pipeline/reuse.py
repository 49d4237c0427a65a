"""Using a reply again: from the cache, or from an equal call that is under way.

What counts as equal is what the hook was told: the query's type, capability, tenant, params and context, and the
bytes that were sent. Whether a reply may be used again is for the hook to say (`Cache-Control`), so calls are
shared only as far as that may be expected: while a hook has not replied yet, or if its last reply allowed it. A reply
that does not allow it is nobody's but the first one's; the others then call by themselves. (RFC 9111, section 4,
on collapsed requests.)

Nobody is worse off for having waited: who waits does so for less than half of its time, and has the rest for a
call of its own. So a failure is never shared, nor is the end of a call whose query was cancelled.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from gateway.model import Result, Status
from gateway.pipeline.call import Exchanged
from gateway.pipeline.outcomes import outcome_of
from gateway.pipeline.reply_cache import ReplyCache

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.model import Outcome
    from gateway.pipeline.reply_cache import CacheCounts, Key
    from gateway.registry.snapshot import BoundHook
    from gateway.wire.cloudevents import QueryEvent

    Turned = tuple[Result, Outcome, dict[str, Any] | None]
    Call = Callable[..., Awaitable[Turned]]

# To find a member through its class takes as long as a step of the path.
_CACHED: Final = Status.CACHED
_MAY_BE_KEPT: Final = (Status.APPLIED, Status.UNCHANGED)

_HASH_IN_THREAD: Final = 1024 * 1024  # hashing releases the GIL; below this a thread costs more than it gives
# Of its time, who waits for another's call spends this share. The rest is more than half, which is the least with which
# the time-out of a call says something about the hook (`verdict`).
_PATIENCE: Final = 0.4
# Of a hook that has not replied yet nothing is known: seconds that one waits at most, and that one must have to wait.
_PATIENCE_WITH_STRANGERS: Final = 0.5
_TIME_FOR_STRANGERS: Final = 0.1


@dataclass(frozen=True, slots=True)
class ReuseSettings:
    """What holds for all hooks together: the bounds of the cache. No `max_entries`, no cache."""

    max_bytes: int = 64 * 1024 * 1024
    max_entries: int = 10_000


class _Flight:
    """One call that others may wait for. It is a task of its own, which ends when nobody waits any more.

    `landed` is done when the task is about to end: who began it waits for that. `fresh`: its reply may be used again.
    """

    __slots__ = ("fresh", "landed", "riders", "task")

    task: asyncio.Task[Turned]

    def __init__(self, landed: asyncio.Future[None]) -> None:
        self.landed = landed
        self.riders = 0
        self.fresh = False

    async def ride(self, until: Awaitable[object]) -> asyncio.Task[Turned]:
        """The task, after `until`. Cancelling the last one who rides cancels it, too."""
        self.riders += 1
        try:
            await until
        finally:
            self.riders -= 1
            if not self.riders and not self.task.done():
                self.task.cancel()
                await asyncio.wait((self.task,))
        return self.task

    async def shared(self, seconds: float) -> Turned | None:
        """What became of the call, if that may be used again and is there within `seconds`."""
        task = await self.ride(asyncio.wait((self.task,), timeout=seconds))
        return task.result() if self.fresh and task.done() and not task.cancelled() else None


class Reuse:
    """The cache of replies and the calls under way, for one event loop. `clock` gives seconds."""

    def __init__(self, settings: ReuseSettings | None = None, *, clock: Callable[[], float]) -> None:
        settings = settings or ReuseSettings()
        self._cache = ReplyCache(settings.max_bytes, settings.max_entries, clock)
        self._flights: dict[Key, _Flight] = {}

    @property
    def counts(self) -> CacheCounts:
        """What happened to look-ups so far."""
        return self._cache.counts

    @property
    def size(self) -> tuple[int, int]:
        """How many entries there are, and how many bytes they count for. May be asked on any thread."""
        return self._cache.entries, self._cache.bytes

    def purge(self, hook_id: str) -> int:
        """Forget what was kept of a hook; how many replies that were.

        What calls under way will bring may still be kept: to be sure, let the hook have another generation first.
        """
        return self._cache.purge(hook_id)

    async def run(
        self, hook: BoundHook, event: QueryEvent, sent: Result, chain_deadline: float, call: Call, *what: object
    ) -> Turned:
        """What the hook makes of `sent`, with as few calls as may be; means the same as `HookGuard.run`.

        `call(*what, deadline, seen)` makes a call with a deadline in the loop's time, and tells in `seen` for how
        long its reply may be used again.
        """
        begun = perf_counter()
        try:
            question = event.question()
        except TypeError:  # what cannot be written as JSON cannot be sent, either: the call says so
            return await call(*what, chain_deadline, Exchanged())
        if len(sent.body) < _HASH_IN_THREAD:
            key = hook, _digest(question, sent)
        else:
            key = hook, await asyncio.to_thread(_digest, question, sent)
        cache = self._cache
        kept = cache.get(key)
        if kept is not None:
            cache.counts.hits += 1
            body, age = kept
            after = sent if body is None else Result(body, sent.content_type)
            detail = f"from the cache, {age:.1f} s old"
            return after, outcome_of(hook, _CACHED, begun=begun, detail=detail, changed=after is not sent), None
        time = asyncio.get_running_loop().time
        now = time()
        deadline = min(now + hook.timeout, chain_deadline)
        flight = self._flights.get(key)
        if flight is None:
            cache.counts.misses += 1
            return await self._lead(key, sent, deadline, partial(call, *what))
        patience = _patience(hook, deadline - now)
        if patience > 0:
            turned = await flight.shared(patience)
            if turned is not None:
                cache.counts.joined += 1
                after = Result(turned[0].body, sent.content_type) if turned[1].changed else sent
                detail = "from an equal call that was under way"
                return after, outcome_of(hook, _CACHED, begun=begun, detail=detail, changed=after is not sent), None
        cache.counts.misses += 1
        turned, _ = await self._call(key, sent, deadline, partial(call, *what))
        return _since(begun, turned)

    async def _lead(self, key: Key, sent: Result, deadline: float, call: Call) -> Turned:
        """Make the call that others may wait for."""
        loop = asyncio.get_running_loop()
        flight = self._flights[key] = _Flight(loop.create_future())
        flight.task = loop.create_task(self._fly(key, sent, deadline, call, flight))
        return (await flight.ride(flight.landed)).result()

    async def _fly(self, key: Key, sent: Result, deadline: float, call: Call, flight: _Flight) -> Turned:
        try:
            turned, flight.fresh = await self._call(key, sent, deadline, call)
            return turned
        finally:
            del self._flights[key]
            if not flight.landed.done():  # done if who began it has gone away
                flight.landed.set_result(None)

    async def _call(self, key: Key, sent: Result, deadline: float, call: Call) -> tuple[Turned, bool]:
        """Make a call, and keep what it brings for as long as the reply allows; whether it does."""
        seen = Exchanged()
        turned = await call(deadline, seen)
        after, outcome, _ = turned
        fresh = seen.fresh > 0 and outcome.status in _MAY_BE_KEPT
        if fresh:
            self._cache.put(key, after.body if after is not sent else None, seen.fresh)
        return turned, fresh


def _digest(question: bytes, sent: Result) -> bytes:
    """A digest of everything that a hook is told which has a meaning. Nobody can find two equal ones (SHA-256).

    Each part says where it ends, but for the last one: the question is a JSON object.
    """
    content_type = sent.content_type.encode()
    digest = sha256(len(content_type).to_bytes(8) + content_type + question)
    digest.update(sent.body)
    return digest.digest()


def _patience(hook: BoundHook, limit: float) -> float:
    """For how many of its `limit` seconds a query waits for the call of another."""
    learned = hook.learned
    if learned.reusable is None:
        waits = learned.trusted and limit >= _TIME_FOR_STRANGERS
        return min(limit * _PATIENCE, _PATIENCE_WITH_STRANGERS) if waits else 0.0
    return limit * _PATIENCE if learned.last else 0.0


def _since(begun: float, turned: Turned) -> Turned:
    """The same with the time since `begun`, which includes the wait before the call."""
    after, outcome, problem = turned
    return after, outcome._replace(milliseconds=(perf_counter() - begun) * 1000), problem
