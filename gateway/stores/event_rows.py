"""Events as rows: what a publication writes, and what is read back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import CursorMoved, StaleGeneration
from gateway.model.event import Event
from gateway.stores.events import Published
from gateway.stores.lane_rows import refresh
from gateway.stores.subscription_rows import version_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from gateway.stores.events import CursorMove, EventQuery, Publication

EVENT_COLUMNS: Final = (
    "id, type, data, time, source, key, subject, publisher, integration_id, tenant, idempotency_key, traceparent"
)
_SELECT: Final = f"SELECT {EVENT_COLUMNS}, sequence FROM event"  # noqa: S608  no input
_INSERT: Final = (
    f"INSERT INTO event ({EVENT_COLUMNS}, stored_at, deliveries) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "  # noqa: S608
    "ON CONFLICT DO NOTHING"
)
_DELIVERY: Final = (
    "INSERT INTO delivery (event, subscription, key, ordered, blocked, cause, created_at, updated_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
IS_BLOCKED: Final = "SELECT 1 FROM delivery WHERE subscription = ? AND key IS ? AND state < 2 AND ordered = 1 LIMIT 1"


class EventRows:
    """Writes publications. Remembers the subscriptions' numbers as long as their version is the same."""

    def __init__(self) -> None:
        self._version = -1
        self._numbers: dict[str, tuple[int, bool] | None] = {}

    def forget(self) -> None:
        """Remember nothing: what was read may never have been."""
        self._version = -1

    def publish(
        self,
        db: sqlite3.Connection,
        publications: Sequence[Publication],
        version: int,
        now: float,
        cursor: CursorMove | None,
    ) -> list[Published]:
        """See `EventLog.publish`. Call it within a transaction, and roll that back if this raises."""
        if version_of(db) != version:
            raise StaleGeneration("The subscriptions were changed in the meantime; nothing was changed.")
        if version != self._version:
            self._version, self._numbers = version, {}
        if cursor is not None:
            _move(db, cursor)
        more: dict[int, int] = {}
        answers = [self._publish(db, publication, now, more) for publication in publications]
        for number, count in more.items():
            (at_once,) = db.execute(
                "UPDATE lane SET waiting = waiting + ? WHERE subscription = ? RETURNING turn IS NOT NULL",
                (count, number),
            ).fetchone()
            if not at_once:
                refresh(db, number, now)
        return answers

    def _publish(self, db: sqlite3.Connection, publication: Publication, now: float, more: dict[int, int]) -> Published:
        event = publication.event
        found = (self._number(db, subscription_id) for subscription_id in dict.fromkeys(publication.subscriptions))
        targets = [each for each in found if each is not None]
        made = db.execute(
            _INSERT,
            (
                event.id,
                event.type,
                event.data,
                event.time,
                event.source,
                event.key,
                event.subject,
                event.publisher,
                event.integration_id,
                event.tenant,
                event.idempotency_key,
                event.traceparent,
                now,
                len(targets),
            ),
        )
        if made.rowcount == 0:
            return Published(_earlier(db, event), new=False)
        sequence = made.lastrowid
        assert sequence is not None
        rows = []
        for number, ordered in targets:
            blocked = ordered and db.execute(IS_BLOCKED, (number, event.key)).fetchone() is not None
            rows.append((sequence, number, event.key, ordered, blocked, publication.cause.value, now, now))
            more[number] = more.get(number, 0) + 1
        db.executemany(_DELIVERY, rows)
        return Published(replace(event, sequence=sequence), new=True, deliveries=len(rows))

    def _number(self, db: sqlite3.Connection, subscription_id: str) -> tuple[int, bool] | None:
        if subscription_id not in self._numbers:
            row = db.execute(
                "SELECT number, ordered FROM subscription WHERE id = ? AND gone = 0", (subscription_id,)
            ).fetchone()
            self._numbers[subscription_id] = None if row is None else (row[0], bool(row[1]))
        return self._numbers[subscription_id]


def _earlier(db: sqlite3.Connection, event: Event) -> Event:
    found = get_event(db, event.id)
    if found is None:
        row = db.execute(
            f"{_SELECT} WHERE publisher = ? AND idempotency_key = ?", (event.publisher, event.idempotency_key)
        ).fetchone()
        found = as_event(row)
    return found


def _move(db: sqlite3.Connection, cursor: CursorMove) -> None:
    if get_cursor(db, cursor.name) != cursor.base:
        raise CursorMoved
    db.execute(
        "INSERT INTO cursor (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (cursor.name, cursor.value),
    )


def get_cursor(db: sqlite3.Connection, name: str) -> str | None:
    """Where the cursor of this name is."""
    row = db.execute("SELECT value FROM cursor WHERE name = ?", (name,)).fetchone()
    return None if row is None else row[0]


def get_event(db: sqlite3.Connection, event_id: str) -> Event | None:
    """The one with this id."""
    row = db.execute(f"{_SELECT} WHERE id = ?", (event_id,)).fetchone()
    return None if row is None else as_event(row)


def find_events(db: sqlite3.Connection, query: EventQuery) -> list[Event]:
    """Those that fit."""
    wanted: list[tuple[str, Any]] = [
        ("integration_id = ?", query.integration_id),
        ("sequence > ?", query.after),
        ("sequence < ?", query.before),
    ]
    given = [(condition, value) for condition, value in wanted if value is not None]
    where = " AND ".join(condition for condition, _ in given) or "true"
    order = "DESC" if query.after is None else "ASC"
    rows = db.execute(
        f"{_SELECT} WHERE {where} ORDER BY sequence {order} LIMIT ?", (*(value for _, value in given), query.limit)
    )
    return [as_event(row) for row in rows]


def as_event(row: Sequence[Any]) -> Event:
    """The event of a row of `EVENT_COLUMNS` and `sequence`."""
    return Event(*row)
