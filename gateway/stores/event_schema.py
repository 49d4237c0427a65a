"""The schema of the database of notifications, which lies beside the registry's.

A file of its own, for two reasons. Several processes work on it (any number of relays), while the registry has
one owner. And it grows and shrinks by the hundred thousand, which the registry should not feel.
"""

from __future__ import annotations

from typing import Final

from gateway.stores.migrations import Migration

# "QHGE", see `gateway.stores.migrations.APPLICATION_ID`.
EVENTS_APPLICATION_ID: Final = 0x51484745

# A delivery's state: 0 pending, 1 claimed, 2 delivered, 3 dead, 4 cancelled. What is below 2 is open.
EVENT_MIGRATIONS: Final = (
    Migration(
        1,
        "subscriptions, events, deliveries",
        (
            "CREATE TABLE subscriptions_meta (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL)",
            "INSERT INTO subscriptions_meta VALUES (1, 0)",
            # `scheme` and `sealed`: its secrets and headers. `revision`: the version of the whole at its last change.
            """CREATE TABLE subscription (
                number INTEGER PRIMARY KEY AUTOINCREMENT,
                id TEXT NOT NULL UNIQUE,
                owner TEXT,
                version INTEGER NOT NULL,
                revision INTEGER NOT NULL,
                gone INTEGER NOT NULL DEFAULT 0,
                ordered INTEGER NOT NULL,
                doc TEXT NOT NULL,
                scheme TEXT NOT NULL,
                sealed TEXT NOT NULL
            )""",
            "CREATE INDEX subscription_by_owner ON subscription (owner, id) WHERE gone = 0",
            "CREATE INDEX subscription_by_revision ON subscription (revision)",
            "CREATE INDEX subscription_gone ON subscription (number) WHERE gone = 1",
            # What decides whose turn it is, apart from the subscription itself, for it changes with every claim.
            # `turn` is its place among those that are ready, `ready_at` when it will be ready.
            """CREATE TABLE lane (
                subscription INTEGER PRIMARY KEY REFERENCES subscription (number),
                active INTEGER NOT NULL,
                paused INTEGER NOT NULL,
                max_concurrency INTEGER NOT NULL,
                next_probe REAL,
                hold_until REAL NOT NULL DEFAULT 0,
                waiting INTEGER NOT NULL DEFAULT 0,
                claimed INTEGER NOT NULL DEFAULT 0,
                dead INTEGER NOT NULL DEFAULT 0,
                failures INTEGER NOT NULL DEFAULT 0,
                failing_since REAL,
                ready_at REAL,
                turn INTEGER
            )""",
            "CREATE INDEX lane_by_turn ON lane (turn) WHERE turn IS NOT NULL",
            "CREATE INDEX lane_by_time ON lane (ready_at) WHERE turn IS NULL AND ready_at IS NOT NULL",
            """CREATE TABLE event (
                sequence INTEGER PRIMARY KEY AUTOINCREMENT,
                id TEXT NOT NULL UNIQUE,
                type TEXT NOT NULL,
                data BLOB NOT NULL,
                time REAL NOT NULL,
                source TEXT NOT NULL,
                key TEXT,
                subject TEXT,
                publisher TEXT NOT NULL,
                integration_id TEXT,
                tenant TEXT,
                idempotency_key TEXT,
                traceparent TEXT,
                stored_at REAL NOT NULL,
                deliveries INTEGER NOT NULL
            )""",
            """CREATE UNIQUE INDEX event_once ON event (publisher, idempotency_key)
                WHERE idempotency_key IS NOT NULL""",
            "CREATE INDEX event_about ON event (integration_id, sequence) WHERE integration_id IS NOT NULL",
            "CREATE INDEX event_unneeded ON event (stored_at) WHERE deliveries = 0",
            # `ordered`: it takes part in the order of its key.
            """CREATE TABLE delivery (
                sequence INTEGER PRIMARY KEY AUTOINCREMENT,
                event INTEGER NOT NULL REFERENCES event (sequence),
                subscription INTEGER NOT NULL REFERENCES subscription (number),
                key TEXT,
                ordered INTEGER NOT NULL,
                blocked INTEGER NOT NULL,
                state INTEGER NOT NULL DEFAULT 0,
                due REAL NOT NULL DEFAULT 0,
                attempts INTEGER NOT NULL DEFAULT 0,
                tries INTEGER NOT NULL DEFAULT 0,
                cause TEXT NOT NULL,
                token INTEGER NOT NULL DEFAULT 0,
                lease_until REAL,
                claimed_at REAL,
                claim_cause TEXT,
                status INTEGER,
                reason TEXT,
                created_at REAL NOT NULL,
                updated_at REAL NOT NULL
            )""",
            "CREATE INDEX delivery_next ON delivery (subscription, due, sequence) WHERE state = 0 AND blocked = 0",
            "CREATE INDEX delivery_lease ON delivery (lease_until) WHERE state = 1",
            "CREATE INDEX delivery_open ON delivery (subscription, sequence) WHERE state < 2",
            "CREATE INDEX delivery_keyed ON delivery (subscription, key, sequence) WHERE state < 2 AND ordered = 1",
            "CREATE INDEX delivery_of ON delivery (subscription, sequence)",
            "CREATE INDEX delivery_of_event ON delivery (event)",
            "CREATE INDEX delivery_dead ON delivery (subscription, sequence, created_at) WHERE state = 3",
            "CREATE INDEX delivery_over ON delivery (updated_at) WHERE state IN (2, 4)",
            "CREATE INDEX delivery_dead_over ON delivery (updated_at) WHERE state = 3",
            """CREATE TABLE attempt (
                delivery INTEGER NOT NULL REFERENCES delivery (sequence),
                token INTEGER NOT NULL,
                number INTEGER NOT NULL,
                started_at REAL NOT NULL,
                ms REAL,
                status INTEGER,
                reason TEXT,
                detail TEXT,
                cause TEXT NOT NULL,
                request_headers TEXT NOT NULL,
                excerpt BLOB NOT NULL,
                PRIMARY KEY (delivery, token)
            ) WITHOUT ROWID""",
            """CREATE TABLE recovery (
                number INTEGER PRIMARY KEY,
                id TEXT NOT NULL UNIQUE,
                subscription INTEGER NOT NULL REFERENCES subscription (number),
                since REAL NOT NULL,
                created_at REAL NOT NULL,
                total INTEGER NOT NULL,
                requeued INTEGER NOT NULL,
                done INTEGER NOT NULL,
                position INTEGER NOT NULL,
                last INTEGER NOT NULL
            )""",
            "CREATE INDEX recovery_going ON recovery (number) WHERE done = 0",
            "CREATE INDEX recovery_of ON recovery (subscription)",
            "CREATE TABLE cursor (name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) WITHOUT ROWID",
        ),
    ),
)
