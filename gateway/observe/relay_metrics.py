"""What the relay and the publisher count, for Prometheus."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from prometheus_client import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client import CollectorRegistry

    from gateway.model.subscription import Subscription

__all__ = ["RelayMetrics"]

# From an endpoint next door to the longest time limit that is sensible.
_BOUNDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0)
MAX_SUBSCRIPTIONS: Final = 1_000
OTHERS: Final = "(others)"
_OUTCOMES: Final = ("delivered", "retry", "exhausted", "gone")


class RelayMetrics:
    """Counts what it is told. The series of a subscription are labelled with its id.

    At most `max_subscriptions` of them have series of their own; all beyond are counted as `(others)`.
    """

    def __init__(self, registry: CollectorRegistry, *, max_subscriptions: int = MAX_SUBSCRIPTIONS) -> None:
        self._max = max_subscriptions
        self._known: set[str] = set()
        self._published = Counter("gateway_events_published", "Events that were stored, each once.", registry=registry)
        self._made = Counter(
            "gateway_deliveries_made", "Deliveries that were stored with them, one for each subscription.",
            registry=registry,
        )  # fmt: skip
        self._dropped = Counter(
            "gateway_own_events_dropped",
            "Events about how hooks do that were not published, because too many came at once.",
            registry=registry,
        )
        self._attempts = Counter(
            "gateway_delivery_attempts",
            "Attempts to deliver, by what came of them: delivered, retry, exhausted (none follows), gone (410).",
            ("subscription", "outcome"),
            registry=registry,
        )
        self._seconds = Histogram(
            "gateway_delivery_attempt_seconds", "Seconds that attempts to deliver took.", buckets=_BOUNDS,
            registry=registry,
        )  # fmt: skip
        self._open = Gauge(
            "gateway_delivery_backlog",
            "Deliveries that wait, are under way (claimed), or were given up (dead).",
            ("subscription", "state"),
            registry=registry,
        )
        self._oldest = Gauge(
            "gateway_delivery_oldest_seconds",
            "How long ago the oldest event was published that is still to be delivered.",
            registry=registry,
        )
        self._store_up = Gauge(
            "gateway_relay_store_up",
            "Whether the event store did what the relay asked of it last (1) or not (0).",
            registry=registry,
        )
        self._store_up.set(1)
        self._store_failures = Counter(
            "gateway_relay_store_failures", "How often the event store did not.", registry=registry
        )

    def published(self, events: int, deliveries: int) -> None:
        """So many new events were stored, with so many deliveries."""
        self._published.inc(events)
        self._made.inc(deliveries)

    def own_event_dropped(self) -> None:
        """One event about how a hook does was not published."""
        self._dropped.inc()

    def store_answered(self, well: bool) -> None:  # noqa: FBT001  the signature of what is counted
        """The store did what it was asked, or did not."""
        self._store_up.set(well)
        if not well:
            self._store_failures.inc()

    def attempted(self, subscription: Subscription, outcome: str, seconds: float | None) -> None:
        """An attempt ended."""
        self._attempts.labels(self._label(subscription.id), outcome).inc()
        if seconds is not None:
            self._seconds.observe(seconds)

    def backlog(self, found: Mapping[str, tuple[int, int, int]], oldest_seconds: float) -> None:
        """So many wait, are claimed and dead, for each subscription. The series of those that are gone end.

        `oldest_seconds` is how long ago the oldest was published that is still to be delivered.
        """
        for subscription_id in self._known - found.keys():
            self._forget(subscription_id)
        figures: dict[str, list[int]] = {}
        for subscription_id, counts in found.items():
            sums = figures.setdefault(self._label(subscription_id), [0, 0, 0])
            for place, count in enumerate(counts):
                sums[place] += count
        for label, sums in figures.items():
            for state, count in zip(("waiting", "claimed", "dead"), sums, strict=True):
                self._open.labels(label, state).set(count)
        self._oldest.set(oldest_seconds)

    def _label(self, subscription_id: str) -> str:
        if subscription_id in self._known:
            return subscription_id
        if len(self._known) >= self._max:
            return OTHERS
        self._known.add(subscription_id)
        return subscription_id

    def _forget(self, subscription_id: str) -> None:
        self._known.discard(subscription_id)
        for metric, words in ((self._attempts, _OUTCOMES), (self._open, ("waiting", "claimed", "dead"))):
            for word in words:
                with suppress(KeyError):  # it may never have come to that
                    metric.remove(subscription_id, word)
