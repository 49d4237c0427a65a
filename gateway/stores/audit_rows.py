"""The audit log as rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import StoreCorrupt
from gateway.model import Actor, ActorKind, AuditEntry
from gateway.model.audit import REPEATED_ACTIONS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from gateway.stores.protocol import AuditQuery, AuditRetention

_COLUMNS: Final = (
    "at, generation, action, actor_kind, actor_id, actor_name, address, integration_id, integration, hook_id, hook, "
    "before, after, subscription_id, subscription"
)


def write_audit(db: sqlite3.Connection, entries: Iterable[AuditEntry], retention: AuditRetention) -> None:
    """Add `entries`, and let go of what is beyond `retention`. Call it within the transaction of the change."""
    newest = None
    for entry in entries:
        newest = entry
        if entry.action in REPEATED_ACTIONS:
            db.execute("DELETE FROM audit WHERE hook_id = ? AND action = ?", (entry.hook_id, entry.action))
        actor = entry.actor
        db.execute(
            f"INSERT INTO audit ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608  no input
            (
                entry.at,
                entry.generation,
                entry.action,
                actor.kind.value,
                actor.id,
                actor.name,
                actor.address,
                entry.integration_id,
                entry.integration,
                entry.hook_id,
                entry.hook,
                _text(entry.before),
                _text(entry.after),
                entry.subscription_id,
                entry.subscription,
            ),
        )
    if newest is not None:
        db.execute("DELETE FROM audit WHERE at < ?", (newest.at - retention.seconds,))
        db.execute("DELETE FROM audit WHERE number <= (SELECT max(number) FROM audit) - ?", (retention.entries,))


def read_audit(db: sqlite3.Connection, query: AuditQuery) -> list[AuditEntry]:
    """The entries that fit, the newest first; with `after`, the oldest first."""
    wanted: list[tuple[str, tuple[Any, ...]]] = [
        ("integration_id = ?", (query.integration_id,)),
        ("hook_id = ?", (query.hook_id,)),
        ("subscription_id = ?", (query.subscription_id,)),
        ("? IN (actor_kind, actor_id, actor_name)", (query.who,)),
        ("at >= ?", (query.since,)),
        ("at < ?", (query.until,)),
        ("number < ?", (query.before,)),
        ("number > ?", (query.after,)),
    ]
    given = [(condition, values) for condition, values in wanted if values != (None,)]
    where = " AND ".join(condition for condition, _ in given) or "true"
    order = "DESC" if query.after is None else "ASC"
    rows = db.execute(
        f"SELECT number, {_COLUMNS} FROM audit WHERE {where} ORDER BY number {order} LIMIT ?",  # noqa: S608  no input
        (*(value for _, values in given for value in values), query.limit),
    )
    return [_entry(row) for row in rows]


def _entry(row: tuple[Any, ...]) -> AuditEntry:
    number, at, generation, action, kind, actor_id, name, address, integration_id, integration, hook_id, hook = row[:12]
    try:
        actor = Actor(ActorKind(kind), actor_id, name, address)
        before, after = (None if text is None else json.loads(text) for text in row[12:14])
    except ValueError:
        raise StoreCorrupt(f"The entry {number} of the audit log in the database is damaged.") from None
    return AuditEntry(
        at, generation, action, actor, integration_id, integration, hook_id, hook, before, after, number, *row[14:]
    )


def _text(record: Mapping[str, Any] | None) -> str | None:
    return None if record is None else json.dumps(record, sort_keys=True)
