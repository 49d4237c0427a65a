"""Tier two: one webhook of an integration."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.model.integration import Delivery, FailurePolicy


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

    @property
    def state(self) -> HookState:
        """What the hook is doing."""
        if not self.enabled:
            return HookState.DISABLED
        return HookState.ENABLED if self.suspended is None else HookState.SUSPENDED
