"""The queue of deliveries as rows: claimed in turns, finished, asked for again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import Conflict, NotFound
from gateway.model.delivery import LOST, Attempt, Cause, Delivery, DeliveryState
from gateway.stores.delivery_reads import STATES, number_of, read_delivery
from gateway.stores.event_rows import EVENT_COLUMNS, IS_BLOCKED, as_event
from gateway.stores.events import Claimed, Finished
from gateway.stores.lane_rows import line_up, ready, refresh

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from gateway.stores.events import Completion
    from gateway.stores.subscription_rows import SubscriptionRows

LOST_DETAIL: Final = "The relay that had it did not report: it may have arrived or not."
# More leases than this run out in one go only after a relay with a very large hand has died.
_MOST_LOST: Final = 1_000
_CODES: Final = {state: code for code, state in enumerate(STATES)}
_EVENT: Final = ", ".join(f"e.{name.strip()}" for name in EVENT_COLUMNS.split(","))
_WAITING: Final = (
    "SELECT d.sequence, d.token, d.attempts, d.tries, d.due, d.cause, d.status, d.reason, d.created_at, d.updated_at, "
    "{}, e.sequence FROM delivery d JOIN event e ON e.sequence = d.event "
    "WHERE d.subscription = ? AND d.state = 0 AND d.blocked = 0 AND {} LIMIT ?"
)
_RETRIES: Final = _WAITING.format(_EVENT, "d.due > 0 AND d.due <= ? ORDER BY d.due, d.sequence")
_FRESH: Final = _WAITING.format(_EVENT, "d.due = 0 ORDER BY d.sequence")


def claim(
    db: sqlite3.Connection, subscriptions: SubscriptionRows, now: float, lease_until: float, limit: int
) -> list[Claimed]:
    """See `DeliveryQueue.claim`. Call it within a transaction."""
    expire(db, now)
    line_up(db, now)
    found: list[Claimed] = []
    while len(found) < limit:
        lanes = ready(db, limit - len(found))
        if not lanes:
            break
        share, before = max(1, (limit - len(found)) // len(lanes)), len(found)
        for number, probe, capacity in lanes:
            most = min(share, capacity, limit - len(found))
            rows = _next(db, number, most, None if probe else now)
            cause = Cause.PROBE if probe else None
            found += _claimed(db, subscriptions, number, rows, (now, lease_until, cause))
            db.execute(
                "UPDATE lane SET waiting = waiting - ?, claimed = claimed + ?, "
                "next_probe = CASE WHEN paused AND ? THEN ? ELSE next_probe END WHERE subscription = ?",
                (len(rows), len(rows), len(rows), lease_until, number),
            )
            refresh(db, number, now, served=True)
        if len(found) == before:
            break
    return found


def _next(db: sqlite3.Connection, number: int, most: int, now: float | None) -> list[tuple[Any, ...]]:
    """The rows of what waits, in order; without a `now`, also what is not due yet."""
    until = 1e300 if now is None else now
    rows = db.execute(_RETRIES, (number, until, most)).fetchall()
    if len(rows) < most:
        rows += db.execute(_FRESH, (number, most - len(rows))).fetchall()
    return rows


def _claimed(
    db: sqlite3.Connection,
    subscriptions: SubscriptionRows,
    number: int,
    rows: Sequence[tuple[Any, ...]],
    how: tuple[float, float, Cause | None],
) -> list[Claimed]:
    now, lease_until, probe = how
    if not rows:
        return []
    subscription = subscriptions.of_number(db, number)
    found = []
    for sequence, token, attempts, tries, due, cause_text, status, reason, created_at, updated_at, *rest in rows:
        event = as_event(rest)
        cause = Cause(cause_text)
        delivery = Delivery(
            f"dlv_{sequence:012x}",
            sequence,
            event.id,
            event.type,
            subscription.id,
            event.key,
            DeliveryState.CLAIMED,
            attempts,
            tries,
            due,
            blocked=False,
            lease_until=lease_until,
            cause=cause,
            status=status,
            reason=reason,
            created_at=created_at,
            updated_at=updated_at,
        )
        found.append(Claimed(delivery, event, subscription, token + 1, probe or cause))
    db.executemany(
        "UPDATE delivery SET state = 1, token = ?, lease_until = ?, claimed_at = ?, claim_cause = ? WHERE sequence = ?",
        [(each.token, lease_until, now, each.cause.value, each.delivery.sequence) for each in found],
    )
    return found


def expire(db: sqlite3.Connection, now: float) -> None:
    """What was claimed under a lease that is over waits again, and its attempt counts as lost."""
    rows = db.execute(
        "SELECT sequence, subscription, token, claimed_at, claim_cause FROM delivery "
        "WHERE state = 1 AND lease_until <= ? ORDER BY lease_until LIMIT ?",
        (now, _MOST_LOST),
    ).fetchall()
    for sequence, number, token, claimed_at, cause in rows:
        record(db, sequence, token, Attempt(claimed_at, reason=LOST, detail=LOST_DETAIL, cause=Cause(cause)))
        db.execute(
            "UPDATE delivery SET state = 0, tries = tries + 1, due = 0, lease_until = NULL, cause = 'schedule', "
            "status = NULL, reason = ?, updated_at = ? WHERE sequence = ?",
            (LOST, now, sequence),
        )
        db.execute("UPDATE lane SET waiting = waiting + 1, claimed = claimed - 1 WHERE subscription = ?", (number,))
    for number in {row[1] for row in rows}:
        refresh(db, number, now)


def record(db: sqlite3.Connection, sequence: int, token: int, attempt: Attempt) -> None:
    """An attempt that counted as lost turns up after all, or is new; a second report of one changes nothing."""
    what = (
        attempt.started_at,
        attempt.ms,
        attempt.status,
        attempt.reason,
        attempt.detail,
        attempt.cause.value,
        json.dumps(attempt.request_headers),
        attempt.excerpt,
    )
    known = db.execute("SELECT reason FROM attempt WHERE delivery = ? AND token = ?", (sequence, token)).fetchone()
    if known is None:
        (number,) = db.execute(
            "UPDATE delivery SET attempts = attempts + 1 WHERE sequence = ? RETURNING attempts", (sequence,)
        ).fetchone()
        db.execute(
            "INSERT INTO attempt (delivery, token, number, started_at, ms, status, reason, detail, cause, "
            "request_headers, excerpt) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (sequence, token, number, *what),
        )
    elif known[0] == LOST:
        db.execute(
            "UPDATE attempt SET started_at = ?, ms = ?, status = ?, reason = ?, detail = ?, cause = ?, "
            "request_headers = ?, excerpt = ? WHERE delivery = ? AND token = ?",
            (*what, sequence, token),
        )


@dataclass(slots=True)
class _Lane:
    """What a batch of completions does to a lane."""

    failures: int
    failing_since: float | None
    hold_until: float
    waiting: int = 0
    claimed: int = 0
    dead: int = 0


def finish(db: sqlite3.Connection, completions: Iterable[Completion], now: float) -> list[Finished]:
    """See `DeliveryQueue.finish`. Call it within a transaction."""
    lanes: dict[int, _Lane] = {}
    answers = [_finish(db, completion, now, lanes) for completion in completions]
    for number, lane in lanes.items():
        db.execute(
            "UPDATE lane SET failures = ?, failing_since = ?, hold_until = ?, waiting = waiting + ?, "
            "claimed = claimed + ?, dead = dead + ? WHERE subscription = ?",
            (lane.failures, lane.failing_since, lane.hold_until, lane.waiting, lane.claimed, lane.dead, number),
        )
        refresh(db, number, now)
    return answers


def _finish(db: sqlite3.Connection, completion: Completion, now: float, lanes: dict[int, _Lane]) -> Finished:
    attempt = completion.attempt
    row = db.execute(
        "SELECT sequence, subscription, state, token, key, ordered FROM delivery WHERE sequence = ?",
        (number_of(completion.delivery_id),),
    ).fetchone()
    if row is None:
        return Finished(held=False)
    sequence, number, state, token, key, ordered = row
    if number not in lanes:
        lanes[number] = _Lane(
            *db.execute(
                "SELECT failures, failing_since, hold_until FROM lane WHERE subscription = ?", (number,)
            ).fetchone()
        )
    lane = lanes[number]
    record(db, sequence, completion.token, attempt)
    held = state == 1 and token == completion.token
    if held:
        if attempt.reason is None:
            lane.failures, lane.failing_since = 0, None
        else:
            lane.failures += 1
            lane.failing_since = attempt.started_at if lane.failing_since is None else lane.failing_since
        lane.hold_until = max(lane.hold_until, completion.hold_until or 0.0)
        waits = completion.state is DeliveryState.PENDING
        lane.claimed -= 1
        lane.waiting += waits
        lane.dead += completion.state is DeliveryState.DEAD
        db.execute(
            "UPDATE delivery SET state = ?, tries = tries + ?, due = ?, lease_until = NULL, cause = 'schedule', "
            "status = ?, reason = ?, updated_at = ? WHERE sequence = ?",
            (
                _CODES[completion.state],
                completion.counts,
                completion.due if waits else 0.0,
                attempt.status,
                completion.reason or attempt.reason,
                now,
                sequence,
            ),
        )
        if ordered and not waits:
            _unblock_next(db, number, key)
    return Finished(held, lane.failures, lane.failing_since)


def _unblock_next(db: sqlite3.Connection, number: int, key: str | None) -> None:
    """What is not blocked is one at most, and that is over: the oldest that is open may go on."""
    db.execute(
        "UPDATE delivery SET blocked = 0 WHERE sequence = (SELECT min(sequence) FROM delivery "
        "WHERE subscription = ? AND key IS ? AND state < 2 AND ordered = 1)",
        (number, key),
    )


def release(db: sqlite3.Connection, claims: Iterable[Claimed]) -> None:
    """See `DeliveryQueue.release`. Call it within a transaction."""
    touched: set[int] = set()
    for each in claims:
        for (number,) in db.execute(
            "UPDATE delivery SET state = 0, lease_until = NULL WHERE sequence = ? AND state = 1 AND token = ? "
            "RETURNING subscription",
            (each.delivery.sequence, each.token),
        ).fetchall():
            db.execute("UPDATE lane SET waiting = waiting + 1, claimed = claimed - 1 WHERE subscription = ?", (number,))
            touched.add(number)
    for number in touched:
        refresh(db, number, 0.0)  # whether it is due is found out at the next claim


def redeliver(db: sqlite3.Connection, delivery_id: str, now: float) -> Delivery:
    """See `DeliveryQueue.redeliver`. Call it within a transaction."""
    found = read_delivery(db, delivery_id)
    if found is None:
        raise NotFound(f"There is no delivery {delivery_id!r}.")
    if found.state is DeliveryState.CLAIMED:
        raise Conflict(f"The delivery {delivery_id!r} is under way right now; wait for its result.")
    (number,) = db.execute("SELECT subscription FROM delivery WHERE sequence = ?", (found.sequence,)).fetchone()
    requeue(db, number, [(found.sequence, _CODES[found.state], found.key)], Cause.REDELIVER, now)
    again = read_delivery(db, delivery_id)
    assert again is not None
    return again


def requeue(
    db: sqlite3.Connection, number: int, deliveries: Iterable[tuple[int, int, str | None]], cause: Cause, now: float
) -> None:
    """Let deliveries (sequence, state, key) of one subscription that nobody has be attempted when their turn comes."""
    (ordered,) = db.execute("SELECT ordered FROM subscription WHERE number = ?", (number,)).fetchone()
    waiting = dead = 0
    for sequence, state, key in deliveries:
        again = (cause.value, now, sequence)
        if state < 2:
            db.execute("UPDATE delivery SET due = 0, tries = 0, cause = ?, updated_at = ? WHERE sequence = ?", again)
            continue
        blocked = bool(ordered) and db.execute(IS_BLOCKED, (number, key)).fetchone() is not None
        db.execute(
            "UPDATE delivery SET state = 0, ordered = ?, blocked = ?, due = 0, tries = 0, cause = ?, updated_at = ? "
            "WHERE sequence = ?",
            (ordered, blocked, *again),
        )
        waiting += 1
        dead += state == _CODES[DeliveryState.DEAD]
    db.execute("UPDATE lane SET waiting = waiting + ?, dead = dead - ? WHERE subscription = ?", (waiting, dead, number))
    refresh(db, number, now)
