"""Whose turn it is: one row for each subscription, kept in step with what waits for it.

A lane that has something to claim now has a `turn`; one that will have has a `ready_at`; the others have neither,
and cost nothing. So finding the next costs the same, however many deliveries wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

_NEXT_TURN = "(SELECT coalesce(max(turn), 0) + 1 FROM lane WHERE turn IS NOT NULL)"


def refresh(db: sqlite3.Connection, number: int, now: float, *, served: bool = False) -> None:
    """Find out anew when the lane has something to claim; with `served`, it goes behind the others."""
    active, paused, most, next_probe, hold, waiting, claimed, was_ready, turn = db.execute(
        "SELECT active, paused, max_concurrency, next_probe, hold_until, waiting, claimed, ready_at, turn "
        "FROM lane WHERE subscription = ?",
        (number,),
    ).fetchone()
    ready_at: float | None = None
    if active and waiting:
        if paused:
            if next_probe is not None and not claimed and _head(db, number) is not None:
                ready_at = max(next_probe, hold)
        elif claimed < most:
            head = _head(db, number)
            ready_at = None if head is None else max(head, hold)
    if ready_at is None or ready_at > now:
        if (turn, was_ready) != (None, ready_at):
            db.execute("UPDATE lane SET ready_at = ?, turn = NULL WHERE subscription = ?", (ready_at, number))
    elif served or turn is None:
        db.execute(
            f"UPDATE lane SET ready_at = ?, turn = {_NEXT_TURN} WHERE subscription = ?",  # noqa: S608  no input
            (ready_at, number),
        )


def _head(db: sqlite3.Connection, number: int) -> float | None:
    """When what waits becomes due, at the earliest."""
    row = db.execute(
        "SELECT due FROM delivery WHERE subscription = ? AND state = 0 AND blocked = 0 ORDER BY due LIMIT 1", (number,)
    ).fetchone()
    return None if row is None else row[0]


def line_up(db: sqlite3.Connection, now: float) -> None:
    """Give a turn to lanes that have become ready."""
    for (number,) in db.execute(
        "SELECT subscription FROM lane WHERE turn IS NULL AND ready_at IS NOT NULL AND ready_at <= ? "
        "ORDER BY ready_at LIMIT 1000",
        (now,),
    ).fetchall():
        db.execute(f"UPDATE lane SET turn = {_NEXT_TURN} WHERE subscription = ?", (number,))  # noqa: S608  no input


def ready(db: sqlite3.Connection, limit: int) -> list[tuple[int, bool, int]]:
    """The lanes whose turn it is, in order: number, whether it is a probe, and how many may be claimed."""
    rows = db.execute(
        "SELECT subscription, paused, CASE WHEN paused THEN 1 ELSE max_concurrency END - claimed FROM lane "
        "WHERE turn IS NOT NULL ORDER BY turn LIMIT ?",
        (limit,),
    )
    return [(number, bool(paused), capacity) for number, paused, capacity in rows]


def next_due(db: sqlite3.Connection, now: float) -> float | None:
    """When there is something to claim, or a lease is over."""
    if db.execute("SELECT 1 FROM lane WHERE turn IS NOT NULL LIMIT 1").fetchone():
        return now
    (ready_at,) = db.execute("SELECT min(ready_at) FROM lane WHERE turn IS NULL AND ready_at IS NOT NULL").fetchone()
    (lease,) = db.execute("SELECT min(lease_until) FROM delivery WHERE state = 1").fetchone()
    times = [at for at in (ready_at, lease) if at is not None]
    return max(now, min(times)) if times else None
