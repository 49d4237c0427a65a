"""Tier two: one webhook of an integration."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.model.integration import Delivery, FailurePolicy
from gateway.model.rollout import CanaryBounds, Mode, StickyBy
from gateway.model.scope import Granularity, OnViolation, RowCount


class HookState(StrEnum):
    """What a hook is doing, as told by the API."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    SUSPENDED = "suspended"  # enabled by its owner, and not called until its integration is well again


class OnOverload(StrEnum):
    """What happens to a call of a hook that has as many calls under way as it may."""

    WAIT = "wait"  # for a free place, within the deadline
    SKIP = "skip"  # the hook, at once


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook of an integration, as its owner declared it.

    `types`, `capabilities`, `tenants`: what it serves; `None` is all that the envelope allows. `order`
    sorts the hooks of one integration, lower first, then by name. `timeout_ms` of `None` is the gateway's default.
    `generation` is the registry generation of its last change, `version` counts its changes (its ETag).
    `reason` says why it is disabled, `suspended` why it is not called although it is enabled. `lease_expires_at` is
    when it ends by itself unless renewed. `max_concurrency` of `None` is the gateway's default. `retry`: whether a call
    is made once more when no connection could be made. `fresh_since` is the generation since which earlier calls do not
    count for its breaker: it was made, changed by its owner, or enabled after having been disabled.
    `owned_url` is the URL that last passed the ownership handshake. Times are seconds since 1970, UTC.

    `condition` is the CEL expression that a query must meet. `reads`, `writes`: JSON Pointers (with `*`) to what it
    sees and may change; `None` is the whole result, and whatever it saw; `on_violation` is about changes beyond that.

    After each reply must hold: at most `max_growth` times as many bytes; `row_count` of the rows at `rows_at` (a
    JSON Pointer; "" is the document); what the pointers in `keep` find is still there; `result_schema` (the text
    of a JSON Schema) is met.

    `granularity` `rows`: called with batches of at most `batch_rows` of the rows at `rows_at`. `coalesce`: calls of
    concurrent queries may share an exchange. `cache`: replies may be used again, as long as they say.

    `mode`, `percent` (0 to 100, of a canary), `sticky_by` and `bounds` say how it goes live. `stepped_back` says why a
    canary was set back to shadow, `None` while it was not.
    """

    id: str
    integration_id: str
    name: str
    path: str
    types: frozenset[str] | None = None
    capabilities: frozenset[str] | None = None
    tenants: frozenset[str] | None = None
    order: int = 0
    timeout_ms: int | None = None
    failure_policy: FailurePolicy = FailurePolicy.IGNORE
    delivery: Delivery = Delivery.STRUCTURED
    enabled: bool = False
    reason: str | None = None
    generation: int = 0
    version: int = 1
    lease_expires_at: float | None = None
    owned_url: str | None = None
    created_at: float = 0.0
    updated_at: float = 0.0
    suspended: str | None = None
    max_concurrency: int | None = None
    on_overload: OnOverload = OnOverload.WAIT
    retry: bool = False
    fresh_since: int = 0
    condition: str | None = None
    reads: tuple[str, ...] | None = None
    writes: tuple[str, ...] | None = None
    on_violation: OnViolation = OnViolation.FAIL
    max_growth: float | None = None
    row_count: RowCount | None = None
    keep: tuple[str, ...] | None = None
    result_schema: str | None = None
    granularity: Granularity = Granularity.RESULT
    rows_at: str | None = None
    batch_rows: int | None = None
    coalesce: bool = False
    cache: bool = True
    mode: Mode = Mode.ACTIVE
    percent: float | None = None
    sticky_by: StickyBy = StickyBy.TENANT
    bounds: CanaryBounds | None = None
    stepped_back: str | None = None

    @property
    def mode_in_force(self) -> Mode:
        """The mode it runs in: its own, or shadow after a step back."""
        return self.mode if self.stepped_back is None else Mode.SHADOW

    @property
    def state(self) -> HookState:
        """What the hook is doing."""
        if not self.enabled:
            return HookState.DISABLED
        return HookState.ENABLED if self.suspended is None else HookState.SUSPENDED
