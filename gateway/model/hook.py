"""Tier two: one webhook of an integration."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.model.integration import Delivery, FailurePolicy


class HookState(StrEnum):
    """What a hook is doing, as told by the API."""

    ENABLED = "enabled"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook of an integration, as its owner declared it.

    `types`, `capabilities`, `tenants`: what it serves; `None` is all that the envelope allows. `order`
    sorts the hooks of one integration, lower first, then by name. `timeout_ms` of `None` is the gateway's default.
    `generation` is the registry generation of its last change, `version` counts its changes (its ETag).
    `reason` says why it is disabled. `lease_expires_at` is when it ends by itself unless renewed.
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

    @property
    def state(self) -> HookState:
        """`enabled` or `disabled`."""
        return HookState.ENABLED if self.enabled else HookState.DISABLED
