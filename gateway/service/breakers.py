"""What the breakers of the data path mean for the control API: states, times and words.

Every process that answers queries has breakers of its own. Told is the worst of them: whoever reads it wants to know
whether a hook is in trouble, and since when.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gateway.resilience.breaker import BreakerState, BreakerView
from gateway.service.models.base import rfc3339
from gateway.service.models.breakers import BreakerStatus
from gateway.service.processes import NoProcesses

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.model import Hook
    from gateway.pipeline import Protections
    from gateway.service.processes import Processes

__all__ = ["Breakers"]

_SEVERITY: Final = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}
_NEVER_CALLED: Final = BreakerView(BreakerState.CLOSED, None, None, 0, 0.0, 0.0, None)


class Breakers:
    """The breakers of a gateway by hook id. `now` gives seconds since 1970."""

    def __init__(
        self, protections: Protections, processes: Processes | None = None, now: Callable[[], float] = time.time
    ) -> None:
        self._protections = protections
        self._processes = processes or NoProcesses()
        self._now = now

    def shown(self, hook: Hook) -> Hook:
        """`hook` as it is to be shown: suspended while its breaker is open."""
        if not hook.enabled or hook.suspended is not None:
            return hook
        found = self._protections.present(hook.id)
        views = [*self._processes.open_breakers(hook.id), *([] if found is None else [found.breaker.view()])]
        view = self._worst(views)
        if view.state is not BreakerState.OPEN:
            return hook
        of = self._share(views)
        return replace(hook, suspended=f"its breaker is open{of} until {self._time(view.next_probe_at)}: {view.why}")

    async def status(self, hook_id: str) -> BreakerStatus:
        """The breaker of a hook. That of one that is not enabled, or was not called yet, is closed."""
        found = self._protections.present(hook_id)
        elsewhere = await self._processes.breakers(hook_id)
        views = [each.view for each in elsewhere]
        in_use, waiting = sum(each.in_use for each in elsewhere), sum(each.waiting for each in elsewhere)
        if found is not None:
            views.append(found.breaker.view())
            in_use, waiting = in_use + found.bulkhead.in_use, waiting + found.bulkhead.waiting
        view = self._worst(views)
        reason = view.why
        if reason is not None and view.state is BreakerState.OPEN:
            reason += self._share(views)
        calls = sum(each.calls for each in views)
        return BreakerStatus(
            state=view.state.value,
            since=self._time(view.since),
            reason=reason,
            calls=calls,
            failure_rate=sum(each.failure_rate * each.calls for each in views) / calls if calls else 0.0,
            slow_rate=sum(each.slow_rate * each.calls for each in views) / calls if calls else 0.0,
            next_probe_at=self._time(view.next_probe_at),
            in_use=in_use,
            waiting=waiting,
        )

    async def reset(self, hook_id: str) -> None:
        """Close the breaker of a hook and forget what it has seen, in all processes."""
        found = self._protections.present(hook_id)
        if found is not None:
            found.breaker.reset()
        await self._processes.reset_breaker(hook_id)

    def _worst(self, views: Sequence[BreakerView]) -> BreakerView:
        """The one in the gravest state; of several, that which is in it for longest."""
        present = [self._as_of_now(each) for each in views]
        worst = max((_SEVERITY[each.state] for each in present), default=0)
        return min(
            (each for each in present if _SEVERITY[each.state] == worst),
            key=lambda each: each.since if each.since is not None else float("inf"),
            default=_NEVER_CALLED,
        )

    def _as_of_now(self, view: BreakerView) -> BreakerView:
        """An open breaker is half-open once its time has passed; what was heard of it may be older than that."""
        until = view.next_probe_at
        if view.state is not BreakerState.OPEN or until is None or self._protections.now() < until:
            return view
        return replace(view, state=BreakerState.HALF_OPEN, since=until, next_probe_at=None)

    def _share(self, views: Sequence[BreakerView]) -> str:
        """In how many of the workers it is open, where it is not in all."""
        count = sum(self._as_of_now(each).state is BreakerState.OPEN for each in views)
        return f" in {count} of {self._processes.count} workers" if count < self._processes.count else ""

    def _time(self, at: float | None) -> str | None:
        return None if at is None else rfc3339(self._now() + at - self._protections.now())
