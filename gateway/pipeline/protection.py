"""What stands between queries and a hook that is in trouble: its breaker, its bulkhead and the common bulkhead."""

from __future__ import annotations

import asyncio
import random as _random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

from gateway.observe.log import get_logger
from gateway.resilience.breaker import Breaker, BreakerSettings, BreakerState
from gateway.resilience.bulkhead import Bulkhead, Places

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.model import Reason
    from gateway.registry.snapshot import BoundHook, Snapshot

log = get_logger("pipeline")

_TIDY_FROM: Final = 256


@dataclass(frozen=True, slots=True)
class ProtectionSettings:
    """What holds for the protection of every hook.

    At most `max_concurrency_total` calls are under way for all hooks together. Up to `max_waiting` calls wait for
    one hook and `max_waiting_total` for a place among all. A call that takes more than `slow_share` of its
    hook's time limit is slow. `budget` is that of the chain, in seconds: no call has more time than that.
    """

    max_concurrency_total: int = 1_000
    max_waiting: int = 100
    max_waiting_total: int = 1_000
    slow_share: float = 0.8
    budget: float = 2.0
    breaker: BreakerSettings = field(default_factory=BreakerSettings)


class BreakerObserver(Protocol):
    """Is told of every change of a hook's breaker, on the path of the query: it must be quick and not raise."""

    def breaker_changed(self, integration: str, hook: str, hook_id: str, state: str, why: str) -> None:
        """The breaker of this hook is in `state` now (`closed`, `half_open`, `open`), because of `why`."""
        ...


class BreakerObservers:
    """Tells several, in their order."""

    def __init__(self, *observers: BreakerObserver) -> None:
        self._observers = observers

    def breaker_changed(self, integration: str, hook: str, hook_id: str, state: str, why: str) -> None:
        """Tell them of a change."""
        for each in self._observers:
            each.breaker_changed(integration, hook, hook_id, state, why)


class Protection:
    """What is remembered of one hook between its calls.

    `places` are those of a call: in the hook's bulkhead, and among all. `failing` is the reason of its last failure
    while it fails. `limit` is the longest that a call of it may take in practice, `slow_after` what makes one slow;
    both in seconds.
    """

    __slots__ = ("breaker", "bulkhead", "failing", "hook", "limit", "places", "slow_after")

    def __init__(self, hook: BoundHook, breaker: Breaker, bulkhead: Bulkhead, total: Bulkhead) -> None:
        self.hook = hook
        self.breaker = breaker
        self.bulkhead = bulkhead
        self.places: Final = Places(bulkhead, total)
        self.failing: Reason | None = None
        self.limit = self.slow_after = 0.0


class Protections:
    """The protection of every hook that was called, for one event loop.

    A hook keeps its protection when the registry changes around it, also when its integration does or its lease is
    renewed. Its breaker starts anew when the hook is changed, goes to another address, or is enabled after
    having been disabled; its bulkhead goes on, with another limit, because calls are still under way.

    `snapshot` gives the present snapshot: what belongs to hooks that are not in it is forgotten from time to
    time. `clock` gives seconds and is the loop's by default; `random` gives numbers from 0 to 1.
    """

    def __init__(
        self,
        settings: ProtectionSettings | None = None,
        *,
        snapshot: Callable[[], Snapshot] | None = None,
        observer: BreakerObserver | None = None,
        clock: Callable[[], float] | None = None,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._settings = settings or ProtectionSettings()
        self._snapshot = snapshot
        self._observer = observer
        self._clock = clock
        self._random = random
        self._all: dict[str, Protection] = {}
        self._tidy_at = _TIDY_FROM
        self.total: Final = Bulkhead(self._settings.max_concurrency_total, self._settings.max_waiting_total)

    def of(self, hook: BoundHook) -> Protection:
        """The protection of `hook`."""
        found = self._all.get(hook.hook_id)
        if found is not None and found.hook is hook:
            return found
        return self._renewed(hook, found)

    def change_budget(self, budget: float) -> None:
        """From now on, no call has more time than that."""
        self._settings = replace(self._settings, budget=budget)
        for found in self._all.values():
            self._limit(found)

    def present(self, hook_id: str) -> Protection | None:
        """The protection of the hook with this id as it is enabled now, if it was called."""
        hook = None if self._snapshot is None else self._snapshot().get(hook_id)
        return None if hook is None or hook_id not in self._all else self.of(hook)

    def now(self) -> float:
        """The time of the breakers' clock."""
        return self._time()()

    def load_of(self, hook_id: str) -> tuple[BreakerState, int, int]:
        """The state of a hook's breaker, and how many of its calls are under way and wait. May run on any thread."""
        found = self._all.get(hook_id)
        if found is None:
            return BreakerState.CLOSED, 0, 0
        return found.breaker.state, found.bulkhead.in_use, found.bulkhead.waiting

    def _time(self) -> Callable[[], float]:
        if self._clock is None:
            self._clock = asyncio.get_running_loop().time
        return self._clock

    def _renewed(self, hook: BoundHook, found: Protection | None) -> Protection:
        if found is None:
            if self._snapshot is not None and len(self._all) >= self._tidy_at:
                self._tidy(self._snapshot())
            found = Protection(
                hook, self._new_breaker(hook), Bulkhead(hook.max_concurrency, self._settings.max_waiting), self.total
            )
            self._all[hook.hook_id] = found
        elif hook.generation < found.hook.generation:
            return found  # a query that began before the last change
        else:
            if hook.fresh_since != found.hook.fresh_since or hook.endpoint != found.hook.endpoint:
                found.breaker = self._new_breaker(hook)
                found.failing = None
            found.hook = hook
            found.bulkhead.resize(hook.max_concurrency)
        self._limit(found)
        return found

    def _limit(self, found: Protection) -> None:
        found.limit = min(found.hook.timeout, self._settings.budget)
        found.slow_after = found.limit * self._settings.slow_share

    def _new_breaker(self, hook: BoundHook) -> Breaker:
        def changed(_old: BreakerState, new: BreakerState, why: str) -> None:
            found = self._all.get(hook.hook_id)
            if found is not None and found.breaker is breaker:  # else it was replaced, and late calls report to it
                self._changed(found, new, why)

        breaker = Breaker(self._settings.breaker, clock=self._time(), random=self._random, on_change=changed)
        return breaker

    def _changed(self, found: Protection, state: BreakerState, why: str) -> None:
        hook = found.hook
        if state is BreakerState.OPEN:
            log.warning("breaker.opened", hook=hook.name, id=hook.hook_id, why=why)
            found.bulkhead.dismiss()  # what they wait for is not worth their time
        elif state is BreakerState.HALF_OPEN:
            log.info("breaker.half_open", hook=hook.name, id=hook.hook_id, why=why)
        else:
            log.info("breaker.closed", hook=hook.name, id=hook.hook_id, why=why)
        if self._observer is not None:
            self._observer.breaker_changed(hook.integration, hook.name, hook.hook_id, state.value, why)

    def _tidy(self, snapshot: Snapshot) -> None:
        for hook_id, each in list(self._all.items()):
            if not each.bulkhead.in_use and not each.bulkhead.waiting and hook_id not in snapshot.ids:
                del self._all[hook_id]
        self._tidy_at = max(_TIDY_FROM, 2 * len(self._all))
