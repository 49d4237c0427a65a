"""What a store promises to the registry.

The registry keeps everything it needs in memory and asks the store only to load it once and to make
each change last. So a store is dumb: it knows rows, not rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.model import AuditEntry, Hook, Integration


@dataclass(frozen=True, slots=True)
class RegistryState:
    """Everything that is registered, at one generation."""

    generation: int = 0
    integrations: tuple[Integration, ...] = ()
    hooks: tuple[Hook, ...] = ()


@dataclass(frozen=True, slots=True)
class RegistryChange:
    """One atomic change that leads from generation `base` to generation `generation` (> base).

    `put_*` insert or replace whole records by id; `delete_*` remove by id, and removing an integration
    removes its hooks too. `audit` tells who did it; its entries last with the change or not at all.
    """

    base: int
    generation: int
    put_integrations: tuple[Integration, ...] = ()
    put_hooks: tuple[Hook, ...] = ()
    delete_integrations: tuple[str, ...] = ()
    delete_hooks: tuple[str, ...] = ()
    audit: tuple[AuditEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class AuditRetention:
    """How much of the audit log is kept: so many entries, none older than so many seconds than the newest.

    What is beyond either goes when the next entry comes.
    """

    entries: int = 100_000
    seconds: float = 365 * 86_400.0


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which entries of the audit log are wanted: those that fit everything given, the newest first.

    With `after`, only entries whose number is higher, the oldest first: which is how the log is followed.

    `who` is a kind of actor, its id or its name. `since` (inclusive) and `until` (exclusive) in seconds
    since 1970. `before`: only entries whose number is lower, which is how a next page is asked for.
    """

    integration_id: str | None = None
    hook_id: str | None = None
    subscription_id: str | None = None
    who: str | None = None
    since: float | None = None
    until: float | None = None
    before: int | None = None
    limit: int = 100
    after: int | None = None


class RegistryStore(Protocol):
    """Where the registry lasts. `gateway.testing.store_exam` is the exam that every store passes."""

    async def load(self) -> RegistryState:
        """Everything, consistent. Records come back equal to what was put. Raises `StoreError`."""
        ...

    async def commit(self, change: RegistryChange) -> None:
        """Make the change last: all or nothing, durable when this returns.

        Raises `StaleGeneration` if the stored generation is not `change.base` (nothing is changed then),
        and `StoreError` for anything else that went wrong (nothing is changed then either). A cancelled
        call leaves the change either whole or absent.
        """
        ...

    async def note(self, entries: Sequence[AuditEntry]) -> None:
        """Add entries to the audit log that tell of changes elsewhere, all or none. Raises `StoreError`."""
        ...

    async def audit(self, query: AuditQuery) -> list[AuditEntry]:
        """The entries of the audit log that fit, the newest first (with `after`, the oldest). Raises `StoreError`.

        Within one change, later entries count as newer. Of the actions in `REPEATED_ACTIONS` only the last entry
        of each hook is kept.
        """
        ...

    async def pepper(self) -> bytes:
        """32 random bytes that the store made once and keeps: the key of the digests of API keys."""
        ...

    async def ping(self) -> None:
        """Return if the store can be read now; raise `StoreError` otherwise. Used by `/readyz`."""
        ...
