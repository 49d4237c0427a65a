"""What is done to many rows, step by step: dead letters that come back, and what is over being forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.errors import NotFound
from gateway.model.delivery import Cause, Recovery
from gateway.model.ids import random_id
from gateway.stores.delivery_rows import requeue

if TYPE_CHECKING:
    import sqlite3

_RECOVERY: Final = (
    "SELECT r.id, s.id, r.since, r.created_at, r.total, r.requeued, r.done FROM recovery r "
    "JOIN subscription s ON s.number = r.subscription AND s.gone = 0 WHERE "
)


def start_recovery(db: sqlite3.Connection, subscription_id: str, since: float, now: float) -> Recovery:
    """See `DeliveryQueue.start_recovery`. Call it within a transaction."""
    row = db.execute("SELECT number FROM subscription WHERE id = ? AND gone = 0", (subscription_id,)).fetchone()
    if row is None:
        raise NotFound(f"There is no subscription {subscription_id!r}.")
    total, last = db.execute(
        "SELECT count(*), coalesce(max(sequence), 0) FROM delivery "
        "WHERE subscription = ? AND state = 3 AND created_at >= ?",
        (row[0], since),
    ).fetchone()
    made = Recovery(random_id("rec"), subscription_id, since, now, total, done=not total)
    db.execute(
        "INSERT INTO recovery (id, subscription, since, created_at, total, requeued, done, position, last) "
        "VALUES (?, ?, ?, ?, ?, 0, ?, 0, ?)",
        (made.id, row[0], since, now, total, made.done, last),
    )
    return made


def recover(db: sqlite3.Connection, limit: int, now: float) -> Recovery | None:
    """See `DeliveryQueue.recover`. Call it within a transaction."""
    going = db.execute(
        "SELECT r.number, r.id, r.subscription, r.since, r.position, r.last FROM recovery r "
        "JOIN subscription s ON s.number = r.subscription AND s.gone = 0 WHERE r.done = 0 ORDER BY r.number LIMIT 1"
    ).fetchone()
    if going is None:
        return None
    number, recovery_id, subscription, since, position, last = going
    rows = db.execute(
        "SELECT sequence, state, key FROM delivery WHERE subscription = ? AND state = 3 "
        "AND sequence > ? AND sequence <= ? AND created_at >= ? ORDER BY sequence LIMIT ?",
        (subscription, position, last, since, limit + 1),
    ).fetchall()
    step = rows[:limit]
    requeue(db, subscription, step, Cause.RECOVER, now)
    db.execute(
        "UPDATE recovery SET position = ?, requeued = requeued + ?, done = ? WHERE number = ?",
        (step[-1][0] if step else last, len(step), len(rows) <= limit, number),
    )
    return read_recovery(db, recovery_id)


def read_recovery(db: sqlite3.Connection, recovery_id: str) -> Recovery | None:
    """How far it is."""
    row = db.execute(f"{_RECOVERY} r.id = ?", (recovery_id,)).fetchone()
    if row is None:
        return None
    key, subscription_id, since, created_at, total, requeued, done = row
    return Recovery(key, subscription_id, since, created_at, total, requeued, bool(done))


def purge(db: sqlite3.Connection, before: float, dead_before: float, limit: int) -> int:
    """See `DeliveryQueue.purge`. Call it within a transaction."""
    removed = 0
    for condition, values in (
        ("subscription IN (SELECT number FROM subscription WHERE gone = 1)", ()),
        ("state IN (2, 4) AND updated_at < ?", (before,)),
        ("state = 3 AND updated_at < ?", (dead_before,)),
    ):
        rows = db.execute(
            f"SELECT sequence, event, subscription, state FROM delivery WHERE {condition} LIMIT ?",  # noqa: S608
            (*values, limit - removed),
        ).fetchall()
        _forget(db, rows)
        removed += len(rows)
    events = db.execute(
        "DELETE FROM event WHERE sequence IN "
        "(SELECT sequence FROM event WHERE deliveries = 0 AND stored_at < ? LIMIT ?)",
        (before, limit - removed),
    ).rowcount
    for (number,) in db.execute(
        "SELECT number FROM subscription s WHERE gone = 1 "
        "AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.subscription = s.number)"
    ).fetchall():
        db.execute("DELETE FROM recovery WHERE subscription = ?", (number,))
        db.execute("DELETE FROM lane WHERE subscription = ?", (number,))
        db.execute("DELETE FROM subscription WHERE number = ?", (number,))
    return removed + events


def _forget(db: sqlite3.Connection, rows: list[tuple[int, int, int, int]]) -> None:
    db.executemany("DELETE FROM attempt WHERE delivery = ?", [(row[0],) for row in rows])
    db.executemany("DELETE FROM delivery WHERE sequence = ?", [(row[0],) for row in rows])
    db.executemany("UPDATE event SET deliveries = deliveries - 1 WHERE sequence = ?", [(row[1],) for row in rows])
    db.executemany("UPDATE lane SET dead = dead - 1 WHERE subscription = ?", [(row[2],) for row in rows if row[3] == 3])
