"""Subscriptions as rows: what a change writes, and what is read back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import Conflict, NotFound, StaleGeneration, StoreCorrupt
from gateway.model import SigningSecret
from gateway.model.subscription import Subscription
from gateway.stores.codec import from_document, to_document
from gateway.stores.events import SubscriptionChanges
from gateway.stores.lane_rows import refresh

if TYPE_CHECKING:
    import sqlite3

    from gateway.model.subscription import Pause
    from gateway.stores.events import SubscriptionQuery
    from gateway.stores.sealing import Vault

_COLUMNS: Final = "id, owner, version, doc, scheme, sealed"
_APART: Final = frozenset({"id", "owner", "version", "secrets", "headers"})


class SubscriptionRows:
    """Reads and writes them, and remembers those that it read. Every method is called within a transaction."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._known: dict[int, tuple[int, Subscription]] = {}

    def forget(self) -> None:
        """Remember nothing: what was read may never have been."""
        self._known = {}

    # ------------------------------------------------------------ reading

    def get(self, db: sqlite3.Connection, subscription_id: str) -> Subscription | None:
        """The one with this id."""
        row = db.execute(
            f"SELECT {_COLUMNS} FROM subscription WHERE id = ? AND gone = 0",  # noqa: S608  no input
            (subscription_id,),
        ).fetchone()
        return None if row is None else self._read(row)

    def of_number(self, db: sqlite3.Connection, number: int) -> Subscription:
        """The one with this number; it must be there."""
        (revision,) = db.execute("SELECT revision FROM subscription WHERE number = ?", (number,)).fetchone()
        known = self._known.get(number)
        if known is None or known[0] != revision:
            row = db.execute(
                f"SELECT {_COLUMNS} FROM subscription WHERE number = ?",  # noqa: S608  no input
                (number,),
            ).fetchone()
            known = self._known[number] = (revision, self._read(row))
        return known[1]

    def find(self, db: sqlite3.Connection, query: SubscriptionQuery) -> list[Subscription]:
        """Those that fit, sorted by id."""
        where, values = ["gone = 0", "id > ?"], [query.after or ""]
        if query.owners is not None:
            where.append(f"(owner IN ({', '.join('?' * len(query.owners))}) OR (owner IS NULL AND ?))")
            values += [*(owner for owner in query.owners), None in query.owners]  # type: ignore[list-item]  # NULL
        rows = db.execute(
            f"SELECT {_COLUMNS} FROM subscription WHERE {' AND '.join(where)} ORDER BY id LIMIT ?",  # noqa: S608
            (*values, query.limit),
        )
        return [self._read(row) for row in rows]

    def changes(self, db: sqlite3.Connection, since: int) -> SubscriptionChanges:
        """What is different since the version `since`."""
        changed = db.execute(
            f"SELECT {_COLUMNS} FROM subscription WHERE revision > ? AND gone = 0 ORDER BY id",  # noqa: S608  no input
            (since,),
        )
        gone = db.execute(
            "SELECT id FROM subscription WHERE revision > ? AND gone = 1 AND ? ORDER BY id", (since, since > 0)
        )
        return SubscriptionChanges(
            version_of(db), tuple(self._read(row) for row in changed), tuple(key for (key,) in gone)
        )

    def _read(self, row: tuple[Any, ...]) -> Subscription:
        key, owner, version, doc, scheme, sealed = row
        try:
            opened = json.loads(self._vault.open(scheme, sealed, "subscription", key))
            apart = {
                "id": key,
                "owner": owner,
                "version": version,
                "secrets": tuple(SigningSecret(*each) for each in opened["secrets"]),
                "headers": tuple((name, value) for name, value in opened["headers"]),
            }
        except (ValueError, TypeError, KeyError):
            raise StoreCorrupt("The secrets of a subscription in the database are damaged.") from None
        return from_document(Subscription, doc, apart)

    # ------------------------------------------------------------ writing

    def add(self, db: sqlite3.Connection, subscription: Subscription) -> None:
        """A new one. Raises `Conflict`."""
        if db.execute("SELECT 1 FROM subscription WHERE id = ?", (subscription.id,)).fetchone():
            raise Conflict(f"There is a subscription with the id {subscription.id!r}.")
        number = db.execute(
            "INSERT INTO subscription (id, owner, version, revision, ordered, doc, scheme, sealed) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                subscription.id,
                subscription.owner,
                subscription.version,
                _next_version(db),
                subscription.in_order,
                to_document(subscription, without=_APART),
                *self._sealed(subscription),
            ),
        ).lastrowid
        db.execute(
            "INSERT INTO lane (subscription, active, paused, max_concurrency, next_probe) VALUES (?, ?, ?, ?, ?)",
            (number, *_lane(subscription), _probe_at(subscription)),
        )

    def change(self, db: sqlite3.Connection, subscription: Subscription) -> None:
        """Replace it. Raises `NotFound` and `StaleGeneration`."""
        number, old = self._present(db, subscription.id)
        if old.version != subscription.version - 1:
            raise StaleGeneration("The subscription was changed in the meantime; nothing was changed.")
        self._put(db, number, subscription)
        if old.paused != subscription.paused:
            db.execute("UPDATE lane SET next_probe = ? WHERE subscription = ?", (_probe_at(subscription), number))
        refresh(db, number, 0.0)  # whether what waits is due already is found out at the next claim

    def pause(self, db: sqlite3.Connection, subscription_id: str, pause: Pause) -> Subscription:
        """Keep its deliveries from now on. Raises `NotFound`."""
        number, old = self._present(db, subscription_id)
        paused = replace(old, paused=pause, version=old.version + 1, updated_at=pause.at)
        self._put(db, number, paused)
        db.execute("UPDATE lane SET next_probe = ? WHERE subscription = ?", (pause.probe_at, number))
        refresh(db, number, pause.at)
        return paused

    def resume(self, db: sqlite3.Connection, subscription_id: str, now: float) -> Subscription:
        """Deliver again what was kept. Raises `NotFound`."""
        number, old = self._present(db, subscription_id)
        db.execute(
            "UPDATE lane SET failures = 0, failing_since = NULL, hold_until = 0, next_probe = NULL "
            "WHERE subscription = ?",
            (number,),
        )
        resumed = old
        if old.paused is not None:
            resumed = replace(old, paused=None, version=old.version + 1, updated_at=now)
            self._put(db, number, resumed)
        refresh(db, number, now)
        return resumed

    @staticmethod
    def remove(db: sqlite3.Connection, subscription_id: str) -> bool:
        """Hide it from everything; `purge` clears away what is left. Whether it was there."""
        row = db.execute("SELECT number FROM subscription WHERE id = ? AND gone = 0", (subscription_id,)).fetchone()
        if row is None:
            return False
        # Its secrets go at once.
        db.execute(
            "UPDATE subscription SET gone = 1, revision = ?, doc = '', scheme = '', sealed = '' WHERE number = ?",
            (_next_version(db), row[0]),
        )
        db.execute("UPDATE lane SET active = 0, ready_at = NULL, turn = NULL WHERE subscription = ?", row)
        return True

    def _present(self, db: sqlite3.Connection, subscription_id: str) -> tuple[int, Subscription]:
        row = db.execute("SELECT number FROM subscription WHERE id = ? AND gone = 0", (subscription_id,)).fetchone()
        if row is None:
            raise NotFound(f"There is no subscription {subscription_id!r}.")
        return row[0], self.of_number(db, row[0])

    def _put(self, db: sqlite3.Connection, number: int, subscription: Subscription) -> None:
        revision = _next_version(db)
        db.execute(
            "UPDATE subscription SET owner = ?, version = ?, revision = ?, ordered = ?, doc = ?, scheme = ?, "
            "sealed = ? WHERE number = ?",
            (
                subscription.owner,
                subscription.version,
                revision,
                subscription.in_order,
                to_document(subscription, without=_APART),
                *self._sealed(subscription),
                number,
            ),
        )
        db.execute(
            "UPDATE lane SET active = ?, paused = ?, max_concurrency = ? WHERE subscription = ?",
            (*_lane(subscription), number),
        )
        self._known[number] = (revision, subscription)

    def _sealed(self, subscription: Subscription) -> tuple[str, str]:
        secrets = [[each.secret, each.created_at, each.expires_at] for each in subscription.secrets]
        text = json.dumps({"secrets": secrets, "headers": subscription.headers})
        return self._vault.seal(text, "subscription", subscription.id)

    # ------------------------------------------------------------ when the key changes

    def reseal(self, db: sqlite3.Connection) -> int:
        """Seal anew what is not sealed as it would be now; how many that were."""
        rows = db.execute("SELECT number, id, scheme, sealed FROM subscription WHERE gone = 0").fetchall()
        stale = [row for row in rows if not self._vault.is_present(row[2])]
        for number, key, scheme, sealed in stale:
            anew = self._vault.seal(self._vault.open(scheme, sealed, "subscription", key), "subscription", key)
            db.execute("UPDATE subscription SET scheme = ?, sealed = ? WHERE number = ?", (*anew, number))
        return len(stale)


def version_of(db: sqlite3.Connection) -> int:
    """The version of the subscriptions as a whole."""
    row = db.execute("SELECT version FROM subscriptions_meta").fetchone()
    if row is None:
        raise StoreCorrupt("The database is damaged: it holds no version of the subscriptions.")
    version: int = row[0]
    return version


def schemes(db: sqlite3.Connection) -> list[str]:
    """Every form in which secrets are kept, also in a database that is still empty."""
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "subscription" not in tables:
        return []
    return [scheme for (scheme,) in db.execute("SELECT DISTINCT scheme FROM subscription WHERE gone = 0")]


def _next_version(db: sqlite3.Connection) -> int:
    db.execute("UPDATE subscriptions_meta SET version = version + 1")
    return version_of(db)


def _lane(subscription: Subscription) -> tuple[bool, bool, int]:
    return subscription.active, subscription.paused is not None, subscription.max_concurrency


def _probe_at(subscription: Subscription) -> float | None:
    return None if subscription.paused is None else subscription.paused.probe_at
