"""Watching over canaries: where one leaves its bounds, it steps back to shadow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.model import Reason, Status
from gateway.observe.log import get_logger
from gateway.resilience.window import SlidingWindow

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.model import CanaryBounds, Outcome
    from gateway.registry.plan import HookPlan
    from gateway.registry.snapshot import BoundHook, Snapshot

    StepBack = Callable[[BoundHook, str], None]

log = get_logger("pipeline")

_SLOW_SHARE: Final = 0.05  # what a 95th percentile leaves out
_SAYS_NOTHING: Final = frozenset({Status.SKIPPED, Status.CACHED})
_AGAIN_SECONDS: Final = 1.0
_TIDY_FROM: Final = 256


class _Watch:
    """What was seen of one canary since it last became one. `why` it stepped back, and when that was last reported."""

    __slots__ = ("calls", "changes", "fresh_since", "refused", "reported", "why")

    def __init__(self, fresh_since: int, window: float) -> None:
        self.fresh_since = fresh_since
        self.calls = SlidingWindow(window)  # and how many of them failed, and were slow
        self.changes = SlidingWindow(window)  # how many of the same changed the result (as "failed")
        self.refused = SlidingWindow(window)  # turns in which its breaker let no call through
        self.why: str | None = None
        self.reported = 0.0


class Canaries:
    """Counts the calls of canaries within the last `window` seconds and compares them with their bounds.

    The first time that a canary is outside of them, it counts as in shadow at once, in this process; `report` makes
    that last, and is told again from time to time while queries still come to the canary. Whoever else wants to know
    is added with `tell`. `bounds` are those of canaries that name none. `snapshot` gives the present one; `clock` gives
    seconds and never goes back. For one thread.
    """

    def __init__(
        self,
        report: StepBack,
        snapshot: Callable[[], Snapshot],
        clock: Callable[[], float],
        *,
        window: float = 300.0,
        bounds: CanaryBounds | None = None,
    ) -> None:
        self._bounds = bounds
        self._report = report
        self._snapshot = snapshot
        self._clock = clock
        self._window = window
        self._watches: dict[str, _Watch] = {}
        self._tidy_at = _TIDY_FROM
        self._told: list[StepBack] = []

    def tell(self, told: StepBack) -> None:
        """Call `told` with the hook and the reason whenever one steps back. It must be quick and not raise."""
        self._told.append(told)

    def has_stepped_back(self, hook: BoundHook) -> bool:
        """Whether this canary is in shadow, although the registry may not know it yet."""
        watch = self._watches.get(hook.hook_id)
        if watch is None or watch.why is None or watch.fresh_since != hook.fresh_since:
            return False
        if self._clock() - watch.reported >= _AGAIN_SECONDS:
            self._reported(hook, watch, watch.why)
        return True

    def ended(self, hook: BoundHook, plan: HookPlan, outcome: Outcome, seconds: float) -> None:
        """A turn of the canary ended after `seconds`."""
        bounds = plan.bounds or self._bounds
        if bounds is None or outcome.status in _SAYS_NOTHING or outcome.reason is Reason.OVERLOAD:
            return
        watch = self._of(hook)
        if watch is None:
            return
        now = self._clock()
        if outcome.reason is Reason.BREAKER_OPEN:
            watch.refused.add(now, False, False)
            watch.calls.move_to(now)
            watch.changes.move_to(now)
        else:
            slow = bounds.p95_ms is not None and seconds * 1000 > bounds.p95_ms
            watch.calls.add(now, outcome.status is Status.FAILED, slow)
            watch.changes.add(now, outcome.changed, False)
            watch.refused.move_to(now)
        if watch.why is None and (why := _beyond(bounds, watch)) is not None:
            watch.why = f"{why} within {self._window:g} s"
            log.warning("hook.stepped_back", hook=hook.name, id=hook.hook_id, why=watch.why)
            self._reported(hook, watch, watch.why)
            for told in self._told:
                told(hook, watch.why)

    def _reported(self, hook: BoundHook, watch: _Watch, why: str) -> None:
        watch.reported = self._clock()
        self._report(hook, why)

    def _of(self, hook: BoundHook) -> _Watch | None:
        """What is known of the canary; `None` for a query that began before the hook was last changed."""
        watch = self._watches.get(hook.hook_id)
        if watch is None or watch.fresh_since < hook.fresh_since:
            if len(self._watches) >= self._tidy_at:
                self._tidy()
            watch = self._watches[hook.hook_id] = _Watch(hook.fresh_since, self._window)
        return watch if watch.fresh_since == hook.fresh_since else None

    def _tidy(self) -> None:
        present = self._snapshot().ids
        self._watches = {hook_id: watch for hook_id, watch in self._watches.items() if hook_id in present}
        self._tidy_at = max(_TIDY_FROM, 2 * len(self._watches))


def _beyond(bounds: CanaryBounds, watch: _Watch) -> str | None:
    """Which bound was left, if one was.

    A canary that always fails opens its breaker long before it has made many calls. So the turns that the breaker kept
    it from count as seen, though neither as well nor as failed: else it would fail for ever, in too few calls.
    """
    calls, failed, slow = watch.calls.calls, watch.calls.failed, watch.calls.slow
    changed = watch.changes.failed
    if calls + watch.refused.calls < bounds.min_calls:
        return None
    if bounds.failure_percent is not None and failed * 100 > bounds.failure_percent * calls:
        return f"{failed} of {calls} calls failed, more than {bounds.failure_percent:g} %"
    if calls < bounds.min_calls:
        return None
    if bounds.p95_ms is not None and slow > _SLOW_SHARE * calls:
        return f"{slow} of {calls} calls took longer than {bounds.p95_ms:g} ms, more than 5 %"
    if bounds.change_percent is not None and changed * 100 > bounds.change_percent * calls:
        return f"{changed} of {calls} calls changed the result, more than {bounds.change_percent:g} %"
    return None
