"""Deliveries, attempts and figures read back from their rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import StoreCorrupt
from gateway.model.delivery import Attempt, Cause, Delivery, DeliveryState
from gateway.stores.events import Backlog

if TYPE_CHECKING:
    import sqlite3

    from gateway.stores.events import DeliveryQuery

# By their codes in the database.
STATES: Final = (
    DeliveryState.PENDING,
    DeliveryState.CLAIMED,
    DeliveryState.DELIVERED,
    DeliveryState.DEAD,
    DeliveryState.CANCELLED,
)
_SELECT: Final = (
    "SELECT d.sequence, e.id, e.type, s.id, d.key, d.state, d.attempts, d.tries, d.due, d.blocked, d.lease_until, "
    "d.cause, d.status, d.reason, d.created_at, d.updated_at FROM delivery d "
    "JOIN event e ON e.sequence = d.event JOIN subscription s ON s.number = d.subscription AND s.gone = 0 WHERE "
)
# Written out, so that SQLite uses the indexes which hold these only.
_OF_STATE: Final = {
    DeliveryState.PENDING: "d.state < 2 AND d.state = 0",
    DeliveryState.CLAIMED: "d.state < 2 AND d.state = 1",
    DeliveryState.DELIVERED: "d.state = 2",
    DeliveryState.DEAD: "d.state = 3",
    DeliveryState.CANCELLED: "d.state = 4",
}


def number_of(delivery_id: str) -> int:
    """The number in a delivery's id, or -1 if it is none."""
    digits = delivery_id.removeprefix("dlv_")
    try:
        number = int(digits, 16)
    except ValueError:
        return -1
    return number if 0 < number < 2**63 and delivery_id == f"dlv_{number:012x}" else -1


def _delivery(row: tuple[Any, ...]) -> Delivery:
    sequence, event_id, event_type, subscription_id, key, state = row[:6]
    attempts, tries, due, blocked, lease_until, cause, status, reason, created_at, updated_at = row[6:]
    try:
        return Delivery(
            f"dlv_{sequence:012x}",
            sequence,
            event_id,
            event_type,
            subscription_id,
            key,
            STATES[state],
            attempts,
            tries,
            due,
            bool(blocked),
            lease_until,
            Cause(cause),
            status,
            reason,
            created_at,
            updated_at,
        )
    except (ValueError, LookupError):
        raise StoreCorrupt(f"The delivery {sequence} in the database is damaged.") from None


def read_delivery(db: sqlite3.Connection, delivery_id: str) -> Delivery | None:
    """The one with this id."""
    row = db.execute(f"{_SELECT} d.sequence = ?", (number_of(delivery_id),)).fetchone()
    return None if row is None else _delivery(row)


def find_deliveries(db: sqlite3.Connection, query: DeliveryQuery) -> list[Delivery]:
    """Those that fit, the newest first."""
    wanted: list[tuple[str, Any]] = [
        ("d.subscription = (SELECT number FROM subscription WHERE id = ?)", query.subscription_id),
        ("d.event = (SELECT sequence FROM event WHERE id = ?)", query.event_id),
        ("d.created_at >= ?", query.since),
        ("d.created_at < ?", query.until),
        ("d.sequence < ?", query.before),
    ]
    given = [(condition, value) for condition, value in wanted if value is not None]
    conditions = [condition for condition, _ in given]
    if query.state is not None:
        conditions.append(_OF_STATE[query.state])
    where = " AND ".join(conditions) or "true"
    rows = db.execute(
        f"{_SELECT} {where} ORDER BY d.sequence DESC LIMIT ?", (*(value for _, value in given), query.limit)
    )
    return [_delivery(row) for row in rows]


def read_attempts(db: sqlite3.Connection, delivery_id: str) -> list[Attempt]:
    """All attempts at it, the first one first."""
    if read_delivery(db, delivery_id) is None:
        return []
    rows = db.execute(
        "SELECT started_at, ms, status, reason, detail, cause, request_headers, excerpt, number FROM attempt "
        "WHERE delivery = ? ORDER BY number",
        (number_of(delivery_id),),
    )
    try:
        return [
            Attempt(
                started_at,
                ms,
                status,
                reason,
                detail,
                Cause(cause),
                tuple((name, value) for name, value in json.loads(headers)),
                excerpt,
                number,
            )
            for started_at, ms, status, reason, detail, cause, headers, excerpt, number in rows
        ]
    except (ValueError, TypeError):
        raise StoreCorrupt(f"An attempt at the delivery {delivery_id} in the database is damaged.") from None


def read_backlog(db: sqlite3.Connection, subscription_id: str | None) -> list[Backlog]:
    """What is open, of one or of each subscription."""
    rows = db.execute(
        "SELECT s.id, l.waiting, l.claimed, l.dead, (SELECT d.created_at FROM delivery d "
        "WHERE d.subscription = s.number AND d.state < 2 ORDER BY d.sequence LIMIT 1), l.failures, l.failing_since "
        "FROM subscription s JOIN lane l ON l.subscription = s.number "
        "WHERE s.gone = 0 AND (? IS NULL OR s.id = ?) ORDER BY s.id",
        (subscription_id, subscription_id),
    )
    return [Backlog(*row) for row in rows]
