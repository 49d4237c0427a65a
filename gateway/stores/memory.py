"""The registry in memory: the reference implementation. It lasts as long as the object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import StaleGeneration, StoreError
from gateway.stores.protocol import RegistryState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.model import Hook, Integration
    from gateway.stores.protocol import RegistryChange


class MemoryStore:
    """A `RegistryStore` that forgets everything with the process.

    Within a change, removals come first. Records are told apart by id; names of integrations are unique,
    names of hooks are within their integration, and a hook's integration must be there: a change that
    would break this is refused with `StoreError`.
    """

    def __init__(self) -> None:
        self._state = RegistryState()

    async def load(self) -> RegistryState:
        """Everything, sorted by id."""
        return self._state

    async def commit(self, change: RegistryChange) -> None:
        """Put the change into effect. Raises `StaleGeneration` or `StoreError`; nothing is changed then."""
        state = self._state
        if change.generation <= change.base:
            raise StoreError("A change must lead to a higher generation.")
        if state.generation != change.base:
            raise StaleGeneration
        integrations = {record.id: record for record in state.integrations}
        hooks = {record.id: record for record in state.hooks}
        for integration_id in change.delete_integrations:
            integrations.pop(integration_id, None)
        for hook_id in change.delete_hooks:
            hooks.pop(hook_id, None)
        removed = set(change.delete_integrations)
        hooks = {key: hook for key, hook in hooks.items() if hook.integration_id not in removed}
        integrations.update((record.id, record) for record in change.put_integrations)
        hooks.update((record.id, record) for record in change.put_hooks)
        _check(integrations.values(), hooks.values())
        self._state = RegistryState(
            change.generation,
            tuple(integrations[key] for key in sorted(integrations)),
            tuple(hooks[key] for key in sorted(hooks)),
        )

    async def ping(self) -> None:
        """Memory can always be read."""


def _check(integrations: Iterable[Integration], hooks: Iterable[Hook]) -> None:
    ids: set[str] = set()
    names: set[tuple[str, str]] = set()
    for integration in integrations:
        if ("", integration.name) in names:
            raise StoreError("Two integrations would have the same name; nothing was changed.")
        ids.add(integration.id)
        names.add(("", integration.name))
    for hook in hooks:
        if hook.integration_id not in ids:
            raise StoreError("A hook would have no integration; nothing was changed.")
        if (hook.integration_id, hook.name) in names:
            raise StoreError("Two hooks of one integration would have the same name; nothing was changed.")
        names.add((hook.integration_id, hook.name))
