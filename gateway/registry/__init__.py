"""Who is registered and what is enabled: rules, snapshot, leases, ownership, health.

The hot path reads the immutable snapshot and nothing else of this. Changes go through `Registry`,
which makes each one last in a store before it takes effect. No HTTP here but the ownership
handshake and the health checks, which go through the transport.
"""

from gateway.registry.drafts import HookChoice, HookDraft, IntegrationDraft, Registered, Rotated
from gateway.registry.health import Health, HealthMonitor, HealthSettings
from gateway.registry.ownership import OwnershipCheck, WaivedOwnership
from gateway.registry.registry import Registry
from gateway.registry.rules import RegistryRules
from gateway.registry.snapshot import BoundHook, Snapshot

__all__ = [
    "BoundHook",
    "Health",
    "HealthMonitor",
    "HealthSettings",
    "HookChoice",
    "HookDraft",
    "IntegrationDraft",
    "OwnershipCheck",
    "Registered",
    "Registry",
    "RegistryRules",
    "Rotated",
    "Snapshot",
    "WaivedOwnership",
]
