"""The registry in memory: the reference implementation. It lasts as long as the object."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.errors import StaleGeneration, StoreError
from gateway.model.audit import REPEATED_ACTIONS
from gateway.stores.protocol import AuditRetention, RegistryState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.model import AuditEntry, Hook, Integration
    from gateway.stores.protocol import AuditQuery, RegistryChange


class MemoryStore:
    """A `RegistryStore` that forgets everything with the process.

    Within a change, removals come first. Records are told apart by id; names of integrations are unique,
    names of hooks are within their integration, and a hook's integration must be there: a change that
    would break this is refused with `StoreError`.
    """

    def __init__(self, *, retention: AuditRetention | None = None) -> None:
        self._state = RegistryState()
        self._retention = retention or AuditRetention()
        self._audit: list[AuditEntry] = []
        self._audit_count = 0
        self._pepper = secrets.token_bytes(32)

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
        self._note(change.audit)
        self._state = RegistryState(
            change.generation,
            tuple(integrations[key] for key in sorted(integrations)),
            tuple(hooks[key] for key in sorted(hooks)),
        )

    async def note(self, entries: Sequence[AuditEntry]) -> None:
        """Add entries to the audit log."""
        self._note(entries)

    def _note(self, entries: Iterable[AuditEntry]) -> None:
        for entry in entries:
            if entry.action in REPEATED_ACTIONS:
                same = (entry.action, entry.hook_id)
                self._audit = [old for old in self._audit if (old.action, old.hook_id) != same]
            self._audit_count += 1
            self._audit.append(replace(entry, number=self._audit_count))
        if self._audit:
            first = self._audit_count - self._retention.entries
            oldest = self._audit[-1].at - self._retention.seconds
            if self._audit[0].number <= first or self._audit[0].at < oldest:
                self._audit = [entry for entry in self._audit if entry.number > first and entry.at >= oldest]

    async def audit(self, query: AuditQuery) -> list[AuditEntry]:
        """The entries of the audit log that fit, the newest first."""
        entries = reversed(self._audit) if query.after is None else iter(self._audit)
        found = (entry for entry in entries if _fits(entry, query))
        return [entry for entry, _ in zip(found, range(query.limit), strict=False)]

    async def pepper(self) -> bytes:
        """32 random bytes, made with this object."""
        return self._pepper

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


def _fits(entry: AuditEntry, query: AuditQuery) -> bool:
    actor = entry.actor
    return (
        query.integration_id in (None, entry.integration_id)
        and query.hook_id in (None, entry.hook_id)
        and query.subscription_id in (None, entry.subscription_id)
        and query.who in (None, actor.kind, actor.id, actor.name)
        and (query.since is None or entry.at >= query.since)
        and (query.until is None or entry.at < query.until)
        and (query.before is None or entry.number < query.before)
        and (query.after is None or entry.number > query.after)
    )
