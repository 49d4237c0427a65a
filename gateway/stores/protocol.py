"""What a store promises to the registry.

The registry keeps everything it needs in memory and asks the store only to load it once and to make
each change last. So a store is dumb: it knows rows, not rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway.model import Hook, Integration


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
    removes its hooks too.
    """

    base: int
    generation: int
    put_integrations: tuple[Integration, ...] = ()
    put_hooks: tuple[Hook, ...] = ()
    delete_integrations: tuple[str, ...] = ()
    delete_hooks: tuple[str, ...] = ()


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

    async def ping(self) -> None:
        """Return if the store can be read now; raise `StoreError` otherwise. Used by `/readyz`."""
        ...
