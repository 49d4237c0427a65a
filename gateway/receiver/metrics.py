"""The receiver's own metrics, in Prometheus' text format."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["ReceiverMetrics"]

_BUCKETS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class ReceiverMetrics:
    """What became of the calls of one receiver, and how its enablement stands.

    Nothing of what callers send is a label.
    """

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._calls = Counter(
            "hook_calls", "Calls by hook and by what they were answered with.", ["hook", "answer"], registry=registry
        )
        self._refused = Counter("hook_refused", "Requests that were not let in, by why.", ["why"], registry=registry)
        self._seconds = Histogram(
            "hook_seconds", "The time of handlers, in seconds.", ["hook"], buckets=_BUCKETS, registry=registry
        )
        self._running = Gauge("hook_running", "Handlers that run now.", registry=registry)
        self._enabled = Gauge("hook_enabled", "Hooks that are enabled, as far as is known.", registry=registry)
        self._renewals = Counter(
            "hook_renewals", "Attempts to declare and enable the hooks, by how they went.", ["went"], registry=registry
        )

    def answered(self, hook: str, answer: str) -> None:
        """A call was answered.

        `unchanged`, `replaced`, `patched`, `rejected`, `later`, `repeated`, `unhandled`, `late` or `failed`.
        """
        self._calls.labels(hook, answer).inc()

    def refused(self, why: str) -> None:
        """A request was not let in: `signature`, `reused_id`, `malformed`, `too_large`, `origin`, `path`, `method`."""
        self._refused.labels(why).inc()

    def began(self) -> None:
        """A handler begins."""
        self._running.inc()

    def ended(self, hook: str, seconds: float) -> None:
        """It ended, one way or another."""
        self._running.dec()
        self._seconds.labels(hook).observe(seconds)

    def enabled(self, hooks: int) -> None:
        """So many hooks are enabled."""
        self._enabled.set(hooks)

    def renewed(self, *, well: bool) -> None:
        """The hooks were declared, enabled or renewed, or that failed."""
        self._renewals.labels("well" if well else "failed").inc()

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)
