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
from hashlib import blake2b
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
    Call = Callable[[float, Exchanged], Awaitable[Turned]]

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
    """One call that others may wait for. It is a task of its own, which ends when nobody waits any more."""

    __slots__ = ("fresh", "riders", "task")

    def __init__(self) -> None:
        self.riders = 0
        self.fresh = False
        self.task: asyncio.Task[Turned] | None = None

    async def ride(self, seconds: float | None) -> asyncio.Task[Turned]:
        """The task, after it ended or after `seconds`. Cancelling the last one who rides cancels it, too."""
        task = self.task
        assert task is not None
        self.riders += 1
        try:
            await asyncio.wait((task,), timeout=seconds)
        finally:
            self.riders -= 1
            if not self.riders and not task.done():
                task.cancel()
                await asyncio.wait((task,))
        return task

    async def shared(self, seconds: float) -> Turned | None:
        """What became of the call, if that may be used again and is there within `seconds`."""
        task = await self.ride(seconds)
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

    async def run(self, hook: BoundHook, event: QueryEvent, sent: Result, chain_deadline: float, call: Call) -> Turned:
        """What the hook makes of `sent`, with as few calls as may be; means the same as `HookGuard.run`.

        `call(deadline, seen)` makes a call with a deadline in the loop's time, and tells in `seen` for how
        long its reply may be used again.
        """
        begun = perf_counter()
        try:
            key = hook, await _digest(event, sent)
        except TypeError:  # what cannot be written as JSON cannot be sent, either: the call says so
            return await call(chain_deadline, Exchanged())
        kept = self._cache.get(key)
        if kept is not None:
            self.counts.hits += 1
            detail = f"from the cache, {self._cache.age(kept):.1f} s old"
            after = sent if kept.body is None else Result(kept.body, sent.content_type)
            return after, _cached(hook, begun, detail, changed=after is not sent), None
        time = asyncio.get_running_loop().time
        now = time()
        deadline = min(now + hook.timeout, chain_deadline)
        flight = self._flights.get(key)
        if flight is None:
            self.counts.misses += 1
            return await self._lead(key, sent, deadline, call)
        patience = _patience(hook, deadline - now)
        if patience > 0:
            turned = await flight.shared(patience)
            if turned is not None:
                self.counts.joined += 1
                changed = turned[1].changed
                after = Result(turned[0].body, sent.content_type) if changed else sent
                return after, _cached(hook, begun, "from an equal call that was under way", changed=changed), None
        self.counts.misses += 1
        return _since(begun, await self._call(key, sent, deadline, call, _Flight()))

    async def _lead(self, key: Key, sent: Result, deadline: float, call: Call) -> Turned:
        """Make the call that others may wait for."""
        flight = self._flights[key] = _Flight()
        flight.task = asyncio.get_running_loop().create_task(self._fly(key, sent, deadline, call, flight))
        return (await flight.ride(None)).result()

    async def _fly(self, key: Key, sent: Result, deadline: float, call: Call, flight: _Flight) -> Turned:
        try:
            return await self._call(key, sent, deadline, call, flight)
        finally:
            del self._flights[key]

    async def _call(self, key: Key, sent: Result, deadline: float, call: Call, flight: _Flight) -> Turned:
        """Make a call, and keep what it brings for as long as the reply allows."""
        seen = Exchanged()
        turned = await call(deadline, seen)
        after, outcome, _ = turned
        if seen.fresh > 0 and outcome.status in (Status.APPLIED, Status.UNCHANGED):
            flight.fresh = True
            self._cache.put(key, after.body if after is not sent else None, seen.fresh)
        return turned


async def _digest(event: QueryEvent, sent: Result) -> bytes:
    """A digest of everything that a hook is told which has a meaning. Nobody can find two equal ones (BLAKE2b)."""
    question = event.question()
    head = f"{len(question)} {len(sent.content_type)} {sent.content_type}".encode()
    if len(sent.body) < _HASH_IN_THREAD:
        return _hash(head, question, sent.body)
    return await asyncio.to_thread(_hash, head, question, sent.body)


def _hash(head: bytes, question: bytes, body: bytes) -> bytes:
    digest = blake2b(head, digest_size=24)
    digest.update(question)
    digest.update(body)
    return digest.digest()


def _patience(hook: BoundHook, limit: float) -> float:
    """For how many of its `limit` seconds a query waits for the call of another."""
    learned = hook.learned
    if learned.reusable is None:
        waits = learned.trusted and limit >= _TIME_FOR_STRANGERS
        return min(limit * _PATIENCE, _PATIENCE_WITH_STRANGERS) if waits else 0.0
    return limit * _PATIENCE if learned.last else 0.0


def _cached(hook: BoundHook, begun: float, detail: str, *, changed: bool) -> Outcome:
    return outcome_of(hook, Status.CACHED, begun=begun, detail=detail, changed=changed)


def _since(begun: float, turned: Turned) -> Turned:
    """The same with the time since `begun`, which includes the wait before the call."""
    after, outcome, problem = turned
    return after, outcome._replace(milliseconds=(perf_counter() - begun) * 1000), problem
