"""The registry in memory: its tables, and the snapshot that queries see, kept in step.

The process that owns the registry shows every change here, and the processes that follow it are told the same
(`RegistryUpdate`). So what queries see comes about in one way, whoever made the change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway.registry.snapshot import Snapshot
from gateway.registry.tables import Plan, RegistryTables
from gateway.stores.protocol import RegistryState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.registry.rules import RegistryRules
    from gateway.registry.snapshot import BoundHook


@dataclass(frozen=True, slots=True)
class RegistryUpdate:
    """One step of the registry: `plan` leads to `generation`, and `withdrawn` hooks are not to be called any more."""

    generation: int
    plan: Plan
    withdrawn: tuple[str, ...] = ()


class Followers(Protocol):
    """The processes that follow this registry."""

    def show(self, update: RegistryUpdate) -> None:
        """Send them an update; they get all in the order of these calls."""
        ...

    async def reached(self) -> None:
        """Return when each of them that lives has taken over whatever `show` was told."""
        ...

    async def drained(self, hook_ids: Iterable[str]) -> None:
        """Return when none of them has a query that uses an older generation of these hooks."""
        ...


class NoFollowers:
    """Nobody follows."""

    def show(self, update: RegistryUpdate) -> None:
        """Do nothing."""

    async def reached(self) -> None:
        """Return."""

    async def drained(self, hook_ids: Iterable[str]) -> None:
        """Return."""


class RegistryImage:
    """The tables and the snapshot. Both are for reading; only the methods here change them.

    `followers` are told of every update.
    """

    def __init__(self, rules: RegistryRules) -> None:
        self._rules = rules
        self._retired: dict[str, list[BoundHook]] = {}
        self._withdrawn: set[str] = set()
        self.tables = RegistryTables(RegistryState())
        self.snapshot = Snapshot.empty()
        self.followers: Followers = NoFollowers()

    def whole(self) -> RegistryUpdate:
        """The update that leads from nothing to what is here."""
        tables = self.tables
        plan = Plan(tuple(tables.integrations.values()), tuple(tables.hooks.values()))
        return RegistryUpdate(tables.generation, plan, tuple(self._withdrawn))

    def replace(self, state: RegistryState) -> None:
        """Make `state` what is here. What does not differ stays the very same object."""
        self.show(state.generation, _difference(self.tables, state))

    def show(self, generation: int, plan: Plan) -> None:
        """Take a change over."""
        self.take(RegistryUpdate(generation, plan))

    def withdraw(self, hook_ids: Iterable[str]) -> None:
        """Take hooks out of the snapshot although the store does not know of it (yet)."""
        self.take(RegistryUpdate(self.tables.generation, Plan(), tuple(hook_ids)))

    def take(self, update: RegistryUpdate) -> None:
        """Take an update over, and pass it on to who follows."""
        tables = self.tables
        changes: dict[str, BoundHook | None] = {}
        for hook_id in tables.apply(update.generation, update.plan):
            hook = tables.hooks.get(hook_id)
            self._withdrawn.discard(hook_id)
            changes[hook_id] = (
                None
                if hook is None
                else self._rules.bind(hook, tables.integrations[hook.integration_id], self.snapshot.get(hook_id))
            )
        for hook_id in update.withdrawn:
            changes[hook_id] = None
            if hook_id in tables.hooks:
                self._withdrawn.add(hook_id)
        self._retire(changes)
        self.snapshot = self.snapshot.changed(update.generation, changes)
        self.followers.show(update)

    def _retire(self, hook_ids: Iterable[str]) -> None:
        """Remember the present generation of these hooks for as long as a query uses it."""
        for hook_id in [i for i, old in self._retired.items() if not any(b.in_flight.count for b in old)]:
            del self._retired[hook_id]
        for hook_id in hook_ids:
            old = self.snapshot.get(hook_id)
            if old is not None and old.in_flight.count:
                self._retired.setdefault(hook_id, []).append(old)

    async def drained(self, hook_ids: Iterable[str]) -> None:
        """Return when no query uses an older generation of these hooks, in this process or one that follows."""
        hook_ids = list(hook_ids)
        for hook_id in hook_ids:
            for old in list(self._retired.get(hook_id, ())):
                await old.in_flight.wait_idle()
        await self.followers.drained(hook_ids)


def _difference(tables: RegistryTables, state: RegistryState) -> Plan:
    """The change that leads from `tables` to `state`."""
    integrations = {each.id for each in state.integrations}
    hooks = {each.id for each in state.hooks}
    return Plan(
        tuple(each for each in state.integrations if tables.integrations.get(each.id) != each),
        tuple(each for each in state.hooks if tables.hooks.get(each.id) != each),
        tuple(tables.integrations.keys() - integrations),
        tuple(tables.hooks.keys() - hooks),
    )
