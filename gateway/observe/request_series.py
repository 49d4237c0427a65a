"""What is counted of HTTP requests: plain numbers, put into Prometheus' form only when somebody asks."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client.core import Metric

__all__ = ["RequestsCollector", "Tallies", "Tally"]


class Tally:
    """A count, and since when there is one, in seconds since 1970."""

    __slots__ = ("count", "since")

    def __init__(self) -> None:
        self.count = 0
        self.since = time()


class Tallies(dict[int, Tally]):
    """Requests by the status that they were answered with: `tallies[200].count += 1`."""

    def __missing__(self, status: int) -> Tally:
        """The first one with this status."""
        tally = self[status] = Tally()
        return tally


class RequestsCollector:
    """Tells Prometheus of the tallies of each API, to which others may be added meanwhile."""

    def __init__(self, tallies: Mapping[str, Tallies]) -> None:
        self._tallies = tallies

    def describe(self) -> Iterable[Metric]:
        """The metric, for the registry's check of names."""
        return self.collect()

    def collect(self) -> Iterable[Metric]:
        """The metric."""
        told = CounterMetricFamily(
            "gateway_http_requests",
            "HTTP requests answered, by API (control, gateway) and status.",
            labels=("api", "status"),
        )
        for api, tallies in list(self._tallies.items()):
            for status, tally in list(tallies.items()):
                told.add_metric((api, str(status)), tally.count, created=tally.since)
        yield told
