"""What is counted for every call: plain numbers, put into Prometheus' form only when somebody asks.

prometheus_client's own counters take a lock and several calls per step. These are written by one thread
alone, and a reader on another sees each number whole.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client.core import Metric

    from gateway.model import Reason, Status

# From a hook next door to the operator's ceiling; the default limits, 1 s and 2 s, are bounds of their own.
BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
_HOOK: Final = ("integration", "hook")


class Seconds:
    """A histogram of seconds."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """How many took at most each bound."""
        below, told = 0, []
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self.counts, strict=True):
            below += count
            told.append((bound, float(below)))
        return told


class HookSeries:
    """What is counted of one hook. `hook_id` is that of the hook which has the name now."""

    __slots__ = ("batches", "batches_failed", "calls", "fail_open", "hook_id", "seconds", "transitions")

    def __init__(self) -> None:
        self.hook_id = ""
        self.calls: dict[tuple[Status, Reason | None], int] = {}
        self.transitions: set[str] = set()
        self.seconds = Seconds()
        self.fail_open = 0
        self.batches = 0
        self.batches_failed = 0


class SeriesCollector:
    """Tells Prometheus what was counted of hooks and of chains."""

    def __init__(self, hooks: Callable[[], Mapping[tuple[str, str], HookSeries]], chains: Seconds) -> None:
        self._hooks = hooks
        self._chains = chains

    def describe(self) -> Iterable[Metric]:
        """The same metrics without numbers, for the registry's check of names."""
        return self._told({})

    def collect(self) -> Iterable[Metric]:
        """The metrics."""
        return self._told(dict(self._hooks()))

    def _told(self, hooks: Mapping[tuple[str, str], HookSeries]) -> Iterator[Metric]:
        calls = CounterMetricFamily(
            "gateway_hook_calls",
            "What became of hooks, by outcome and reason; skipped ones too.",
            labels=(*_HOOK, "outcome", "reason"),
        )
        seconds = HistogramMetricFamily(
            "gateway_hook_call_seconds", "Seconds that calls to a hook took, failed ones too.", labels=_HOOK
        )
        fail_open = CounterMetricFamily(
            "gateway_fail_open",
            "Failures of a hook that queries went on without, also for some rows only.",
            labels=_HOOK,
        )
        batches = CounterMetricFamily(
            "gateway_hook_batches", "Batches of rows, by whether they failed.", labels=(*_HOOK, "failed")
        )
        for names, series in hooks.items():
            for (status, reason), count in list(series.calls.items()):
                calls.add_metric((*names, status.value, "" if reason is None else reason.value), count)
            seconds.add_metric(names, series.seconds.buckets(), series.seconds.total)
            fail_open.add_metric(names, series.fail_open)
            if series.batches:
                batches.add_metric((*names, "no"), series.batches - series.batches_failed)
                batches.add_metric((*names, "yes"), series.batches_failed)
        chains = HistogramMetricFamily("gateway_chain_seconds", "Seconds that all hooks of a query took together.")
        chains.add_metric((), self._chains.buckets(), self._chains.total)
        yield from (calls, seconds, fail_open, batches, chains)
