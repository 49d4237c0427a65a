"""What is counted of calls that were not made because their answers were known, or that several queries shared."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client.core import Metric


class ReuseFigures(NamedTuple):
    """How things stand: look-ups in the cache by answer, entries removed by cause, its size, and shared calls."""

    hits: int = 0
    joined: int = 0
    misses: int = 0
    evicted: int = 0
    purged: int = 0
    entries: int = 0
    bytes: int = 0
    shared_calls: int = 0
    shared_results: int = 0


class ReuseCollector:
    """Tells Prometheus of `figures`; asks for them perhaps on another thread."""

    def __init__(self) -> None:
        self.figures: Callable[[], ReuseFigures] = ReuseFigures

    def describe(self) -> Iterable[Metric]:
        """The metrics, for the registry's check of names."""
        return self.collect()

    def collect(self) -> Iterable[Metric]:
        """The metrics."""
        found = self.figures()
        lookups = CounterMetricFamily(
            "gateway_cache_lookups",
            "Look-ups of a reply: found (hit), found in an equal call under way (joined), or not (miss).",
            labels=("answer",),
        )
        for answer, count in (("hit", found.hits), ("joined", found.joined), ("miss", found.misses)):
            lookups.add_metric((answer,), count)
        removals = CounterMetricFamily(
            "gateway_cache_removals",
            "Replies removed from the cache while they could be used: to make room (evicted), or by purge (purged).",
            labels=("why",),
        )
        for why, count in (("evicted", found.evicted), ("purged", found.purged)):
            removals.add_metric((why,), count)
        yield from (lookups, removals)
        yield GaugeMetricFamily("gateway_cache_entries", "Replies in the cache.", found.entries)
        yield GaugeMetricFamily("gateway_cache_bytes", "The memory they count for.", found.bytes)
        yield CounterMetricFamily("gateway_shared_calls", "Calls that several queries shared.", found.shared_calls)
        yield CounterMetricFamily(
            "gateway_shared_call_results", "Results that were sent in such calls.", found.shared_results
        )
