"""What is counted of hooks in shadow and of canaries."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from prometheus_client import Counter, Gauge, Histogram

from gateway.observe.series import BOUNDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

    from gateway.model import Outcome

_HOOK: Final = ("integration", "hook")


class RolloutSeries:
    """The metrics of roll-outs, in `registry`. They are counted off the path of queries."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._became: dict[tuple[str, str], set[tuple[str, str]]] = {}
        self._calls = Counter(
            "gateway_shadow_calls",
            "Calls of hooks in shadow, by the outcome and reason that they would have had.",
            (*_HOOK, "outcome", "reason"),
            registry=registry,
        )
        self._changes = Counter(
            "gateway_shadow_changes",
            "Calls of hooks in shadow that would have changed the result.",
            _HOOK,
            registry=registry,
        )
        self._seconds = Histogram(
            "gateway_shadow_call_seconds",
            "Seconds that calls to a hook in shadow took, failed ones too.",
            _HOOK,
            buckets=BOUNDS,
            registry=registry,
        )
        self._step_backs = Counter(
            "gateway_canary_step_backs",
            "How often a canary left its bounds and stepped back to shadow.",
            _HOOK,
            registry=registry,
        )
        self._under_way = Gauge(
            "gateway_shadow_calls_in_flight", "Calls of hooks in shadow that are under way.", registry=registry
        )

    def watch(self, under_way: Callable[[], int]) -> None:
        """Ask `under_way` how many calls of hooks in shadow there are; perhaps on another thread."""
        self._under_way.set_function(under_way)

    def shadowed(self, outcome: Outcome) -> None:
        """This would have become of a hook in shadow."""
        names = (outcome.integration, outcome.hook)
        reason = "" if outcome.reason is None else outcome.reason.value
        became = (outcome.status.value, reason)
        self._became.setdefault(names, set()).add(became)
        self._calls.labels(*names, *became).inc()
        self._seconds.labels(*names).observe(outcome.milliseconds / 1000)
        self._changes.labels(*names).inc(outcome.changed)

    def stepped_back(self, integration: str, hook: str) -> None:
        """A canary stepped back."""
        self._step_backs.labels(integration, hook).inc()

    def forget(self, integration: str, hook: str) -> None:
        """End the series of a hook."""
        for became in self._became.pop((integration, hook), ()):
            self._calls.remove(integration, hook, *became)
        for metric in (self._changes, self._seconds, self._step_backs):
            with suppress(KeyError):  # it may never have been in shadow, or never have stepped back
                metric.remove(integration, hook)
