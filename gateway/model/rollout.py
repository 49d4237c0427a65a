"""How a hook goes live: the words for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Mode(StrEnum):
    """How a hook takes part in queries."""

    ACTIVE = "active"  # its replies are applied
    SHADOW = "shadow"  # it is called beside the query, and its replies are only looked at
    CANARY = "canary"  # active for a share of the queries, skipped for the others


class StickyBy(StrEnum):
    """By what the share of a canary is chosen."""

    TENANT = "tenant"  # all queries of a tenant have the same lot; a query without one goes by itself
    QUERY = "query"  # equal queries have the same lot


@dataclass(frozen=True, slots=True)
class CanaryBounds:
    """Within what a canary must stay, lest it steps back to shadow. `None` is no bound.

    `failure_percent` of its calls may fail, 95 % must take at most `p95_ms`, `change_percent` may change the result.
    Nothing is concluded from fewer than `min_calls` calls. Where failures are judged, those that its breaker kept back
    are counted in.
    """

    failure_percent: float | None = None
    p95_ms: float | None = None
    change_percent: float | None = None
    min_calls: int = 20
