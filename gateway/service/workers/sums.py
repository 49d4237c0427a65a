"""The metrics of all processes together, as if they were of one."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from prometheus_client.core import Metric

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from gateway.service.workers.messages import FamilyNews, Labels, News

    Key = tuple[str, Labels]

# Gauges that the supervisor alone knows; what a worker says of them does not count. All others are summed, but for
# those of which the greatest is the truth.
OF_THE_SUPERVISOR: Final = frozenset(
    {"gateway_snapshot_generation", "gateway_hooks_enabled", "gateway_health_up", "gateway_relay_store_up"}
)
GREATEST: Final = frozenset({"gateway_breaker_state"})
_MADE_AT: Final = "_created"  # when a counter began, of which the earliest counts


class Sums:
    """Keeps the last known samples of each worker by its number, and the counts of those that are gone.

    So a counter never goes back because a worker ended. What one had counted since it was last asked is lost with it.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[str, str]] = {}  # family -> documentation, kind
        self._family_of: dict[str, str] = {}  # sample -> family
        self._living: dict[int, dict[Key, float]] = {}
        self._gone: dict[Key, float] = {}

    def take(self, worker: int, news: News) -> None:
        """A worker told how its metrics changed."""
        samples = self._living.setdefault(worker, {})
        for family in news.metrics:
            self._know(family)
            for name, labels, value in family.samples:
                samples[name, labels] = value
        for key in news.ended:
            samples.pop(key, None)

    def _know(self, family: FamilyNews) -> None:
        self._kinds[family.name] = (family.documentation, family.kind)
        for name, _, _ in family.samples:
            self._family_of[name] = family.name

    def ended(self, worker: int) -> None:
        """A worker is gone: what it counted stays."""
        for key, value in self._living.pop(worker, {}).items():
            family = self._family_of[key[0]]
            if self._kinds[family][1] in ("counter", "histogram"):
                self._gone[key] = self._together(family, key[0], self._gone.get(key), value)

    def tidy(self, hooks: Collection[tuple[str, str]]) -> None:
        """Forget what workers that are gone had counted of hooks that are no more; `hooks` are those there are."""
        for key in list(self._gone):
            names = _names(key[1])
            if names is not None and names not in hooks:
                del self._gone[key]

    def families(self, own: Iterable[Metric]) -> Iterator[Metric]:
        """The metrics `own`, with those of the workers added. May run on another thread."""
        others: dict[str, dict[Key, float]] = defaultdict(dict)
        for samples in (*self._living.values(), self._gone):
            for key, value in list(samples.items()):
                family = self._family_of[key[0]]
                if family not in OF_THE_SUPERVISOR:
                    others[family][key] = self._together(family, key[0], others[family].get(key), value)
        for metric in own:
            yield self._merged(metric, others.pop(metric.name, {}))
        for family, found in others.items():
            yield self._merged(Metric(family, *self._kinds[family]), found)

    def _merged(self, metric: Metric, others: dict[Key, float]) -> Metric:
        merged = Metric(metric.name, metric.documentation, metric.type)
        for sample in metric.samples:
            other = others.pop((sample.name, tuple(sorted(sample.labels.items()))), None)
            value = sample.value if other is None else self._together(metric.name, sample.name, sample.value, other)
            merged.add_sample(sample.name, sample.labels, value)
        for (name, labels), value in others.items():
            merged.add_sample(name, dict(labels), value)
        return merged

    def _together(self, family: str, sample: str, one: float | None, other: float) -> float:
        if one is None:
            return other
        if family in GREATEST:
            return max(one, other)
        if sample.endswith(_MADE_AT) and sample != family:
            return min(one, other)
        return one + other


def _names(labels: Labels) -> tuple[str, str] | None:
    """The names of the integration and the hook that a series is about, if it is about one."""
    found = dict(labels)
    return (found["integration"], found["hook"]) if found.keys() >= {"integration", "hook"} else None
