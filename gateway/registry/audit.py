"""What a change did to each record, for the audit log: found by comparing, so that no change can forget to tell.

A field that the model leaves out of its `repr` is secret: that it changed is told, its value is not.
"""

from __future__ import annotations

import dataclasses
import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from gateway.model import AuditEntry
from gateway.model.subscription import SubscriptionState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.model import Actor, Hook, Integration
    from gateway.model.subscription import Subscription
    from gateway.registry.changes import At
    from gateway.registry.tables import Plan, RegistryTables

# What follows from every change, and what the entry says elsewhere.
_NOT_TOLD: Final = frozenset(
    {"id", "integration_id", "owner", "version", "generation", "fresh_since", "created_at", "updated_at"}
)
_CREDENTIALS: Final = frozenset({"api_keys", "secrets", "signing_keys"})
_HIDDEN: Final = "(hidden)"
_MOST_CHARACTERS: Final = 4_000

_Record = dict[str, Any]


def entries(tables: RegistryTables, plan: Plan, at: At, actor: Actor) -> tuple[AuditEntry, ...]:
    """One entry for each record that `plan`, applied to `tables`, would make different."""
    return tuple(_entries(tables, plan, at, actor))


def _entries(tables: RegistryTables, plan: Plan, at: At, actor: Actor) -> Iterator[AuditEntry]:
    for integration_id in plan.delete_integrations:
        old = tables.integrations[integration_id]
        for hook in tables.hooks_of(integration_id):
            yield _hook_entry(hook, None, old, at, actor)
        yield _integration_entry(old, None, at, actor)
    owners = {**tables.integrations, **{each.id: each for each in plan.put_integrations}}
    for hook_id in plan.delete_hooks:
        hook = tables.hooks[hook_id]
        yield _hook_entry(hook, None, owners[hook.integration_id], at, actor)
    for integration in plan.put_integrations:
        present = tables.integrations.get(integration.id)
        if present is None or _differs(present, integration):
            yield _integration_entry(present, integration, at, actor)
    for hook in plan.put_hooks:
        before = tables.hooks.get(hook.id)
        if before is None or _differs(before, hook):
            yield _hook_entry(before, hook, owners[hook.integration_id], at, actor)


def _integration_entry(old: Integration | None, new: Integration | None, at: At, actor: Actor) -> AuditEntry:
    shown = new or old
    assert shown is not None
    before, after = _compared(old, new)
    if old is None:
        action = "registered"
    elif new is None:
        action = "removed"
    else:
        action = "rotated" if {*(before or ()), *(after or ())} <= _CREDENTIALS else "changed"
    return AuditEntry(
        at.now, at.generation, f"integration.{action}", actor, shown.id, shown.name, before=before, after=after
    )


def _hook_entry(old: Hook | None, new: Hook | None, owner: Integration, at: At, actor: Actor) -> AuditEntry:
    shown = new or old
    assert shown is not None
    before, after = _compared(old, new)
    action = f"hook.{_hook_action(old, new, before)}"
    return AuditEntry(
        at.now, at.generation, action, actor, owner.id, owner.name, shown.id, shown.name, before=before, after=after
    )


def subscription_entry(
    old: Subscription | None, new: Subscription | None, at: At, actor: Actor, names: Mapping[str, str]
) -> AuditEntry:
    """The entry for a subscription that was `old` and is `new`, of an integration (`names`: by id) or the operator."""
    shown = new or old
    assert shown is not None
    before, after = _compared(_without_query(old), _without_query(new))
    changed = {*(before or ()), *(after or ())}
    if old is None:
        action = "created"
    elif new is None:
        action = "removed"
    elif changed == {"secrets"}:
        action = "rotated"
    elif changed <= {"paused", "active"} and changed:
        action = "switched_on" if new.state is SubscriptionState.ACTIVE else "switched_off"
    else:
        action = "changed"
    owner = shown.owner or ""
    return AuditEntry(
        at.now, at.generation, f"subscription.{action}", actor, owner, names.get(owner, ""),
        before=before, after=after, subscription_id=shown.id, subscription=shown.name,
    )  # fmt: skip


def _without_query(subscription: Subscription | None) -> Subscription | None:
    """A query of a URL may hold a token: of a change of it, no more is told than that there was one."""
    if subscription is None:
        return None
    owned = subscription.owned_url
    return dataclasses.replace(
        subscription,
        url=_masked(subscription.url),
        owned_url=None if owned is None else _masked(owned),
    )


def _masked(url: str) -> str:
    path, mark, query = url.partition("?")
    return f"{path}?{_HIDDEN}" if mark and query else url


def _hook_action(old: Hook | None, new: Hook | None, before: _Record | None) -> str:
    if old is None:
        return "created"
    if new is None:
        return "removed"
    if old.enabled != new.enabled:
        return "enabled" if new.enabled else "disabled"
    if old.suspended is None and new.suspended is not None:
        return "suspended"
    if old.suspended is not None and new.suspended is None:
        return "resumed"
    if old.stepped_back is None and new.stepped_back is not None:
        return "stepped_back"
    return "renewed" if before is not None and before.keys() == {"lease_expires_at"} else "changed"


def _differs(old: Any, new: Any) -> bool:
    return any(getattr(old, f.name) != getattr(new, f.name) for f in _told(old))


def _told(record: Any) -> list[dataclasses.Field[Any]]:
    return [f for f in dataclasses.fields(record) if f.name not in _NOT_TOLD]


def _compared(old: Any, new: Any) -> tuple[_Record | None, _Record | None]:
    """The fields that differ, as they were and as they are; of a record that comes or goes, those with a value."""
    if old is None or new is None:
        whole = _whole(old if new is None else new)
        return (whole, None) if new is None else (None, whole)
    before: _Record = {}
    after: _Record = {}
    for each in _told(old):
        was, now = getattr(old, each.name), getattr(new, each.name)
        if was == now:
            continue
        if each.repr and dataclasses.is_dataclass(was) and type(was) is type(now):
            before[each.name], after[each.name] = _compared(was, now)
        else:
            before[each.name], after[each.name] = _shown(was, each), _shown(now, each)
    return before, after


def _whole(record: Any) -> _Record:
    return {f.name: _shown(value, f) for f in _told(record) if (value := getattr(record, f.name)) != f.default}


def _shown(value: Any, of: dataclasses.Field[Any]) -> Any:
    """A field's value as plain JSON: short, and without what is secret."""
    if isinstance(value, tuple) and value and all(dataclasses.is_dataclass(each) for each in value):
        return [_record(each) for each in value]  # credentials: when each was made, and until when it holds
    if not of.repr:
        return None if value is None or value == () else _HIDDEN
    plain = _plain(value)
    length = len(json.dumps(plain))
    return plain if length <= _MOST_CHARACTERS else f"({length} characters of JSON)"


def _record(record: Any) -> _Record:
    return {f.name: _shown(getattr(record, f.name), f) for f in dataclasses.fields(record) if f.repr}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return _record(value)
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, frozenset):
        return sorted(value)
    return [_plain(each) for each in value] if isinstance(value, tuple) else value
