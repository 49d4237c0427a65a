"""The registry's records in memory, with the indexes that changes and the API need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import NotFound
from gateway.model import Hook, Integration  # noqa: TC001  a link between processes reads the types of the fields
from gateway.registry.credentials import place_of_digest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.stores.protocol import RegistryState


@dataclass(frozen=True, slots=True)
class Plan:
    """What one change puts and deletes, before it has a place in the sequence of generations."""

    put_integrations: tuple[Integration, ...] = ()
    put_hooks: tuple[Hook, ...] = ()
    delete_integrations: tuple[str, ...] = ()
    delete_hooks: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether it changes nothing."""
        return not (self.put_integrations or self.put_hooks or self.delete_integrations or self.delete_hooks)


class RegistryTables:
    """All integrations and hooks at one generation. Changed by the registry's writer only."""

    __slots__ = ("_by_name", "_by_place", "_hooks_of", "generation", "hooks", "integrations", "leases")

    def __init__(self, state: RegistryState) -> None:
        self.generation = state.generation
        self.integrations: dict[str, Integration] = {}
        self.hooks: dict[str, Hook] = {}
        self.leases: dict[str, float] = {}
        self._hooks_of: dict[str, dict[str, Hook]] = {}
        self._by_place: dict[str, tuple[str, str]] = {}
        self._by_name: dict[str, str] = {}
        self.apply(state.generation, Plan(state.integrations, state.hooks))

    def apply(self, generation: int, plan: Plan) -> set[str]:
        """Take `plan` over; return the ids of the hooks that have to be bound anew."""
        self.generation = generation
        touched: set[str] = set(plan.delete_hooks)
        for integration_id in plan.delete_integrations:
            touched.update(self._hooks_of.get(integration_id, ()))
            self._forget(self.integrations.pop(integration_id))
        for hook_id in touched:
            hook = self.hooks.pop(hook_id)
            self._hooks_of[hook.integration_id].pop(hook_id, None)
            self.leases.pop(hook_id, None)
        for integration_id in plan.delete_integrations:
            self._hooks_of.pop(integration_id, None)
        for integration in plan.put_integrations:
            if (old := self.integrations.get(integration.id)) is not None:
                self._forget(old)
            self.integrations[integration.id] = integration
            self._by_name[integration.name] = integration.id
            for key in integration.api_keys:
                self._by_place[place_of_digest(key.digest)] = (integration.id, key.digest)
            touched.update(self._hooks_of.setdefault(integration.id, {}))
        for hook in plan.put_hooks:
            self.hooks[hook.id] = self._hooks_of[hook.integration_id][hook.id] = hook
            touched.add(hook.id)
            if hook.enabled and hook.lease_expires_at is not None:
                self.leases[hook.id] = hook.lease_expires_at
            else:
                self.leases.pop(hook.id, None)
        return touched

    def _forget(self, integration: Integration) -> None:
        self._by_name.pop(integration.name, None)
        for key in integration.api_keys:
            self._by_place.pop(place_of_digest(key.digest), None)

    def integration(self, integration_id: str) -> Integration:
        """The integration with this id; raises `NotFound`."""
        found = self.integrations.get(integration_id)
        if found is None:
            msg = f"There is no integration {integration_id[:80]!r}."
            raise NotFound(msg)
        return found

    def integration_named(self, name: str) -> Integration | None:
        """The integration with this name."""
        found = self._by_name.get(name)
        return None if found is None else self.integrations[found]

    def hook(self, hook_id: str, integration_id: str | None = None) -> Hook:
        """The hook with this id; raises `NotFound`, also if it belongs to another integration."""
        found = self.hooks.get(hook_id)
        if found is None or integration_id not in (None, found.integration_id):
            msg = f"There is no hook {hook_id[:80]!r}."
            raise NotFound(msg)
        return found

    def hooks_of(self, integration_id: str) -> Iterable[Hook]:
        """The hooks of an integration, in no order."""
        return self._hooks_of.get(integration_id, {}).values()

    def digest_at(self, place: str) -> str | None:
        """The digest of the API key that is in this place (`credentials.place_of_key`), whether it holds or not."""
        found = self._by_place.get(place)
        return None if found is None else found[1]

    def holder(self, digest: str, now: float) -> Integration | None:
        """The integration whose API key has this digest and still holds."""
        found = self._by_place.get(place_of_digest(digest))
        if found is None:
            return None
        integration = self.integrations[found[0]]
        for key in integration.api_keys:
            if key.digest == digest and (key.expires_at is None or key.expires_at > now):
                return integration
        return None
