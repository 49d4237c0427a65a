"""The gateway's own events about how hooks do: breakers that open, hooks that fail and work again.

The data path tells of them. It is never held up: what it tells goes into a bounded queue, and is published from
there. What does not fit is dropped and counted; what is in the queue when the process ends is lost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from gateway.model import Reason, Status
from gateway.relay.catalogue import RESERVED_PREFIX
from gateway.relay.patience import Patience

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.model import Outcome, Query
    from gateway.model.event import Event
    from gateway.relay.publisher import Publisher

__all__ = ["DropObserver", "Transients"]

_CAPACITY: Final = 1_000
_AT_ONCE: Final = 100
_QUIET: Final = 60.0
_MOST_HOOKS: Final = 10_000
_FAILED: Final = Status.FAILED  # to find a member through its class takes as long as the rest of a look at it
_WORKED: Final = frozenset({Status.APPLIED, Status.UNCHANGED, Status.REJECTED})
_NOT_CALLED: Final = frozenset({Reason.BREAKER_OPEN, Reason.OVERLOAD, Reason.BUDGET})


class DropObserver(Protocol):
    """Is told of what was not published."""

    def own_event_dropped(self) -> None:
        """One event did not fit into the queue."""
        ...

    def store_answered(self, well: bool) -> None:  # noqa: FBT001  the signature of what is observed
        """The store did what it was asked, or did not."""
        ...


@dataclass(slots=True)
class _Hook:
    """What was told of a hook at last, and when (monotonic)."""

    failing: bool
    told_at: float


class Transients:
    """An observer of the data path that publishes what it sees. For one event loop.

    Of each hook it is told at most once in `quiet` seconds that it begins to fail or works again. `integration_of`
    gives the id of a hook's integration, `None` for a hook that is gone. `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        publisher: Publisher,
        integration_of: Callable[[str], str | None],
        observer: DropObserver,
        *,
        clock: Callable[[], float],
        quiet: float = _QUIET,
        capacity: int = _CAPACITY,
    ) -> None:
        self._publisher = publisher
        self._integration_of = integration_of
        self._observer = observer
        self._clock = clock
        self._quiet = quiet
        self._capacity = capacity
        self._queue: deque[Event] = deque()
        self._hooks: dict[str, _Hook] = {}
        self._filled = asyncio.Event()
        self._patience = Patience(observer.store_answered, what="own events")

    # ------------------------------------------------------------ the data path tells

    def outcome(self, query: Query, outcome: Outcome) -> None:  # noqa: ARG002  the seam's signature
        """This became of one hook."""
        status = outcome.status
        known = self._hooks.get(outcome.hook_id)
        if status is _FAILED:
            if outcome.reason in _NOT_CALLED or (known is not None and known.failing):
                return
        elif known is None or not known.failing or status not in _WORKED:
            return
        failing = status is _FAILED
        now = self._clock()
        if known is None:
            if len(self._hooks) >= _MOST_HOOKS:
                self._hooks.pop(next(iter(self._hooks)))
            self._hooks[outcome.hook_id] = _Hook(failing, now)
        elif now - known.told_at < self._quiet:
            return  # it goes back and forth; the next outcome after a while tells where it stands
        else:
            known.failing, known.told_at = failing, now
        names = (outcome.integration_id, outcome.integration, outcome.hook_id, outcome.hook)
        if failing:
            reason = "" if outcome.reason is None else outcome.reason.value
            self._put("hook.failing", names, {"reason": reason, "detail": outcome.detail})
        else:
            self._put("hook.works_again", names, {})

    def breaker_changed(self, integration: str, hook: str, hook_id: str, state: str, why: str) -> None:
        """The breaker of a hook came to `state`."""
        name = {"open": "breaker.opened", "closed": "breaker.closed"}.get(state)
        integration_id = self._integration_of(hook_id)
        if name is not None and integration_id is not None:
            self._put(name, (integration_id, integration, hook_id, hook), {"why": why})

    def _put(self, name: str, names: tuple[str, str, str, str], more: dict[str, Any]) -> None:
        if len(self._queue) >= self._capacity:
            self._observer.own_event_dropped()
            return
        integration_id, integration, hook_id, hook = names
        data = {"integration": {"id": integration_id, "name": integration}, "hook": {"id": hook_id, "name": hook}}
        event = self._publisher.own_event(
            RESERVED_PREFIX + name, data | more, integration_id=integration_id, key=hook_id
        )
        self._queue.append(event)
        self._filled.set()

    # ------------------------------------------------------------ off the data path

    async def step(self) -> int:
        """Publish what is in the queue; how many events that were. Raises `StoreError`; they stay in the queue then."""
        events = [event for event, _ in zip(self._queue, range(_AT_ONCE), strict=False)]
        if events:
            await self._publisher.store(events)
            for _ in events:
                self._queue.popleft()
        return len(events)

    async def run(self) -> None:
        """Publish, until cancelled."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._queue:
                await self._patience.until_done(self._published)

    async def _published(self) -> None:
        await self.step()

    @asynccontextmanager
    async def publishing(self) -> AsyncIterator[Self]:
        """Publish in a task of its own until the context ends."""
        task = asyncio.get_running_loop().create_task(self.run(), name="relay-transients")
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])
