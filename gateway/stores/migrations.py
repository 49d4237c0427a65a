"""The numbered steps that lead an empty SQLite file to the present schema.

A step that was released never changes: a database remembers the digest of each step it went through, and
is refused if one differs here. A database that went further than this list is refused too. In both cases
nothing is written.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.errors import StoreCorrupt, StoreTooNew

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

# Bytes 68 to 71 of the file: what the file is for (https://www.sqlite.org/fileformat.html#application_id). "QHGW".
APPLICATION_ID: Final = 0x51484757


@dataclass(frozen=True, slots=True)
class Migration:
    """One step. `statements` are run one by one: `executescript` would commit behind our back."""

    number: int
    name: str
    statements: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """The digest that tells whether the step is still the one that a database went through."""
        return hashlib.sha256("\n;\n".join(self.statements).encode()).hexdigest()


MIGRATIONS: Final = (
    Migration(
        1,
        "registry",
        (
            "CREATE TABLE registry_meta (one INTEGER PRIMARY KEY CHECK (one = 1), generation INTEGER NOT NULL)",
            "INSERT INTO registry_meta VALUES (1, 0)",
            "CREATE TABLE integration (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL UNIQUE, doc TEXT NOT NULL)",
            """CREATE TABLE hook (
                id TEXT PRIMARY KEY NOT NULL,
                integration_id TEXT NOT NULL REFERENCES integration (id) ON DELETE CASCADE,
                name TEXT NOT NULL,
                doc TEXT NOT NULL,
                UNIQUE (integration_id, name)
            )""",
            """CREATE TABLE credential (
                id INTEGER PRIMARY KEY,
                integration_id TEXT NOT NULL REFERENCES integration (id) ON DELETE CASCADE,
                kind TEXT NOT NULL CHECK (kind IN ('api_key', 'secret')),
                position INTEGER NOT NULL,
                scheme TEXT NOT NULL,
                value TEXT NOT NULL,
                created_at REAL NOT NULL,
                expires_at REAL,
                UNIQUE (integration_id, kind, position)
            )""",
        ),
    ),
    Migration(
        2,
        "credentials of any kind, secrets of the gateway itself, and the audit log",
        (
            # Which kinds of credential there are is for the code to say: `gateway.stores.rows`.
            """CREATE TABLE credential_2 (
                id INTEGER PRIMARY KEY,
                integration_id TEXT NOT NULL REFERENCES integration (id) ON DELETE CASCADE,
                kind TEXT NOT NULL,
                position INTEGER NOT NULL,
                scheme TEXT NOT NULL,
                value TEXT NOT NULL,
                created_at REAL NOT NULL,
                expires_at REAL,
                UNIQUE (integration_id, kind, position)
            )""",
            """INSERT INTO credential_2
                SELECT id, integration_id, kind, position, scheme, value, created_at, expires_at FROM credential""",
            "DROP TABLE credential",
            "ALTER TABLE credential_2 RENAME TO credential",
            "CREATE TABLE gateway_secret (name TEXT PRIMARY KEY NOT NULL, scheme TEXT NOT NULL, value TEXT NOT NULL)",
            """CREATE TABLE audit (
                number INTEGER PRIMARY KEY AUTOINCREMENT,
                at REAL NOT NULL,
                generation INTEGER NOT NULL,
                action TEXT NOT NULL,
                actor_kind TEXT NOT NULL,
                actor_id TEXT,
                actor_name TEXT,
                address TEXT,
                integration_id TEXT NOT NULL,
                integration TEXT NOT NULL,
                hook_id TEXT,
                hook TEXT,
                before TEXT,
                after TEXT
            )""",
            "CREATE INDEX audit_by_integration ON audit (integration_id, number)",
            "CREATE INDEX audit_by_hook ON audit (hook_id, number)",
            "CREATE INDEX audit_by_time ON audit (at)",
        ),
    ),
    Migration(
        3,
        "subscriptions in the audit log",
        (
            "ALTER TABLE audit ADD COLUMN subscription_id TEXT",
            "ALTER TABLE audit ADD COLUMN subscription TEXT",
            "CREATE INDEX audit_by_subscription ON audit (subscription_id, number)",
        ),
    ),
)


def check_schema(
    db: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS, application_id: int = APPLICATION_ID
) -> None:
    """Raise `StoreTooNew` or `StoreCorrupt` unless the database is empty or went through some of `migrations`.

    Only reads.
    """
    _applied(db, migrations, application_id)


def migrate(
    db: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS, application_id: int = APPLICATION_ID
) -> None:
    """Take the missing steps, all in one transaction. Raises as `check_schema`, and `sqlite3.Error`."""
    db.execute("BEGIN IMMEDIATE")
    try:
        missing = migrations[_applied(db, migrations, application_id) :]
        if missing:
            db.execute(f"PRAGMA application_id = {application_id}")
            db.execute(
                "CREATE TABLE IF NOT EXISTS schema_migration "
                "(number INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL)",
            )
        for step in missing:
            for statement in step.statements:
                db.execute(statement)
            db.execute("INSERT INTO schema_migration VALUES (?, ?, ?)", (step.number, step.name, step.sha256))
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _applied(db: sqlite3.Connection, migrations: Sequence[Migration], application_id: int) -> int:
    """How many of `migrations` the database went through."""
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return 0
    (application,) = db.execute("PRAGMA application_id").fetchone()
    if application != application_id or "schema_migration" not in tables:
        raise StoreCorrupt("is an SQLite database of something else")
    rows = db.execute("SELECT number, sha256 FROM schema_migration ORDER BY number").fetchall()
    if rows and rows[-1][0] > migrations[-1].number:
        raise StoreTooNew(
            f"was written by a newer version of the gateway (schema {rows[-1][0]}; this version knows up to "
            f"{migrations[-1].number})",
        )
    if rows != [(step.number, step.sha256) for step in migrations[: len(rows)]]:
        raise StoreCorrupt("has a schema that no released version of the gateway makes")
    return len(rows)
