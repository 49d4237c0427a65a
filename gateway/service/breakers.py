"""What the breakers of the data path mean for the control API: states, times and words."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.resilience.breaker import BreakerState
from gateway.service.models.base import rfc3339
from gateway.service.models.breakers import BreakerStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.model import Hook
    from gateway.pipeline import Protections

__all__ = ["Breakers"]


class Breakers:
    """The breakers of a gateway by hook id. `now` gives seconds since 1970."""

    def __init__(self, protections: Protections, now: Callable[[], float] = time.time) -> None:
        self._protections = protections
        self._now = now

    def shown(self, hook: Hook) -> Hook:
        """`hook` as it is to be shown: suspended while its breaker is open."""
        found = self._protections.present(hook.id)
        if found is None or not hook.enabled or hook.suspended is not None:
            return hook
        view = found.breaker.view()
        if view.state is not BreakerState.OPEN:
            return hook
        return replace(hook, suspended=f"its breaker is open until {self._time(view.next_probe_at)}: {view.why}")

    def status(self, hook_id: str) -> BreakerStatus:
        """The breaker of a hook. That of one that is not enabled, or was not called yet, is closed."""
        found = self._protections.present(hook_id)
        if found is None:
            return BreakerStatus(
                state="closed",
                since=None,
                reason=None,
                calls=0,
                failure_rate=0.0,
                slow_rate=0.0,
                next_probe_at=None,
                in_use=0,
                waiting=0,
            )
        view = found.breaker.view()
        return BreakerStatus(
            state=view.state.value,
            since=self._time(view.since),
            reason=view.why,
            calls=view.calls,
            failure_rate=view.failure_rate,
            slow_rate=view.slow_rate,
            next_probe_at=self._time(view.next_probe_at),
            in_use=found.bulkhead.in_use,
            waiting=found.bulkhead.waiting,
        )

    def reset(self, hook_id: str) -> None:
        """Close the breaker of a hook and forget what it has seen."""
        found = self._protections.present(hook_id)
        if found is not None:
            found.breaker.reset()

    def _time(self, at: float | None) -> str | None:
        return None if at is None else rfc3339(self._now() + at - self._protections.now())
