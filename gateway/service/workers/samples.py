"""A worker's metrics, as far as they changed: what it tells the supervisor of them, again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.service.workers.messages import FamilyNews

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client.core import Metric

    from gateway.service.workers.messages import Labels


class Samples:
    """Remembers what was told already. `families` gives the metrics; it is asked on whichever thread asks here."""

    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._families = families
        self._told: dict[tuple[str, Labels], float] = {}

    def news(self) -> tuple[list[FamilyNews], list[tuple[str, Labels]]]:
        """The samples whose values are others than when this was last asked, and the series that are no more."""
        told, present = [], set()
        for family in self._families():
            changed = []
            for sample in family.samples:
                key = (sample.name, tuple(sorted(sample.labels.items())))
                present.add(key)
                if self._told.get(key) != sample.value:
                    self._told[key] = sample.value
                    changed.append((*key, sample.value))
            if changed:
                told.append(FamilyNews(family.name, family.documentation, family.type, changed))
        ended = [key for key in self._told if key not in present]
        for key in ended:
            del self._told[key]
        return told, ended
