"""An inbox in one SQLite file of its own: what was added has been synced to the disk, also against a power cut.

Several processes may use one file. They write one at a time, under a lock that the operating system lets go of when a
process dies: SQLite before 3.51.3 can damage a file when two connections write to it, or move its log, at the same
moment (https://sqlite.org/wal.html#walreset).
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import InboxError
from gateway.receiver.inbox.message import InboxCounts, Message, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["SqliteInboxStore"]

# Bytes 68 to 71 of the file: what the file is for. "QHIN".
APPLICATION_ID: Final = 0x5148494E
VERSION: Final = 1
BUSY_SECONDS: Final = 5.0
_PAUSE: Final = 0.002

_SCHEMA: Final = (
    """CREATE TABLE message (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        headers TEXT NOT NULL,
        body BLOB NOT NULL,
        received_at REAL NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('new', 'processed', 'failed')),
        attempts INTEGER NOT NULL,
        due_at REAL NOT NULL,
        lease_until REAL,
        finished_at REAL,
        error TEXT,
        claim INTEGER NOT NULL
    )""",
    "CREATE INDEX message_waiting ON message (due_at, number) WHERE state = 'new'",
    "CREATE INDEX message_by_state ON message (state, finished_at)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
)
_COLUMNS: Final = (
    "id, headers, body, received_at, state, attempts, due_at, lease_until, finished_at, error, claim, number"
)
_ENDING: Final = "lease_until = NULL WHERE id = :id AND claim = :claim AND state = 'new'"


class SqliteInboxStore:
    """An `InboxStore` in the file at `path`, which is made if need be. Raises `InboxError` if it cannot be used.

    `busy_seconds` is how long to wait for other processes.
    """

    def __init__(self, path: Path | str, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self._path = Path(path)
        self._busy = busy_seconds
        self._mutex = threading.Lock()
        try:
            # Only its owner is to read what senders tell.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            beside = self._path.with_name(self._path.name + ".lock")
            self._lock = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)  # a file that was just made is to be found after a power cut
            finally:
                os.close(folder)
        except OSError as error:
            why = (error.strerror or "unknown").lower()
            raise InboxError(f"The inbox {self._path} cannot be opened: {why}.") from None
        try:
            with self._told():
                self._db = sqlite3.connect(self._path, timeout=0.0, isolation_level=None, check_same_thread=False)
                with self._turn():
                    self._prepare()
        except BaseException:
            os.close(self._lock)
            raise

    def _prepare(self) -> None:
        db = self._db
        (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if tables and application != APPLICATION_ID:
            raise InboxError(f"{self._path} is a database of something else; it was not touched. Use another file.")
        if tables and version != VERSION:
            raise InboxError(f"The inbox {self._path} was written by a newer version; it was not touched.")
        (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise InboxError(f"The inbox {self._path} cannot have a write-ahead log there; use a local disk.")
        db.execute("PRAGMA synchronous = FULL")
        if not tables:
            db.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA:
                db.execute(statement)
            db.execute("COMMIT")

    def add(self, message: Message) -> bool:
        """See `InboxStore.add`."""
        row = (
            message.id, json.dumps(message.headers), message.body, message.received_at, message.state,
            message.attempts, message.due_at, message.lease_until, message.finished_at, message.error, message.claim,
        )  # fmt: skip
        with self._writing() as db:
            columns = _COLUMNS.removesuffix(", number")
            marks = ", ".join("?" * len(row))
            done = db.execute(f"INSERT INTO message ({columns}) VALUES ({marks}) ON CONFLICT (id) DO NOTHING", row)
            return done.rowcount == 1

    def claim(self, now: float, lease_seconds: float, limit: int) -> Sequence[Message]:
        """See `InboxStore.claim`."""
        free = "state = 'new' AND due_at <= :now AND (lease_until IS NULL OR lease_until <= :now)"
        with self._reading() as db:  # most of the time there is nothing to do, and that takes no turn
            if db.execute(f"SELECT 1 FROM message WHERE {free} LIMIT 1", {"now": now}).fetchone() is None:
                return []
        with self._writing() as db:
            rows = db.execute(
                "UPDATE message SET attempts = attempts + 1, claim = claim + 1, lease_until = :until WHERE number IN "
                f"(SELECT number FROM message WHERE {free} ORDER BY number LIMIT :limit) RETURNING {_COLUMNS}",
                {"now": now, "until": now + lease_seconds, "limit": limit},
            ).fetchall()
        return sorted(map(_message, rows), key=lambda each: each.number)

    def processed(self, message: Message, now: float) -> bool:
        """See `InboxStore.processed`."""
        return self._end(message, "state = 'processed', finished_at = :at, error = NULL", at=now)

    def failed(self, message: Message, now: float, error: str) -> bool:
        """See `InboxStore.failed`."""
        return self._end(message, "state = 'failed', finished_at = :at, error = :error", at=now, error=error)

    def again(self, message: Message, at: float, error: str | None) -> bool:
        """See `InboxStore.again`."""
        return self._end(message, "due_at = :at, error = :error", at=at, error=error)

    def _end(self, message: Message, changes: str, **values: Any) -> bool:
        with self._writing() as db:
            done = db.execute(
                f"UPDATE message SET {changes}, {_ENDING}", {**values, "id": message.id, "claim": message.claim}
            )
            return done.rowcount == 1

    def replay(self, message_id: str, now: float) -> bool:
        """See `InboxStore.replay`."""
        with self._writing() as db:
            done = db.execute(
                "UPDATE message SET lease_until = CASE state WHEN 'new' THEN lease_until END, state = 'new', "
                "due_at = ?, attempts = 0, finished_at = NULL WHERE id = ?",
                (now, message_id),
            )
            return done.rowcount == 1

    def find(self, message_id: str) -> Message | None:
        """See `InboxStore.find`."""
        with self._reading() as db:
            row = db.execute(f"SELECT {_COLUMNS} FROM message WHERE id = ?", (message_id,)).fetchone()
        return None if row is None else _message(row)

    def listed(self, state: State | None = None, *, limit: int = 100, before: int | None = None) -> Sequence[Message]:
        """See `InboxStore.listed`."""
        with self._reading() as db:
            rows = db.execute(
                f"SELECT {_COLUMNS} FROM message WHERE (:state IS NULL OR state = :state) "
                "AND (:before IS NULL OR number < :before) ORDER BY number DESC LIMIT :limit",
                {"state": state, "before": before, "limit": limit},
            ).fetchall()
        return [_message(row) for row in rows]

    def counts(self) -> InboxCounts:
        """See `InboxStore.counts`."""
        with self._reading() as db:
            found = dict(db.execute("SELECT state, count(*) FROM message GROUP BY state").fetchall())
        return InboxCounts(*(found.get(state.value, 0) for state in State))

    def prune(self, before: float) -> int:
        """See `InboxStore.prune`."""
        with self._writing() as db:
            return db.execute("DELETE FROM message WHERE state = 'processed' AND finished_at < ?", (before,)).rowcount

    def close(self) -> None:
        """See `InboxStore.close`."""
        with self._mutex, suppress(InboxError), self._turn():  # the last to close moves the log into the file
            self._db.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._mutex, self._told():
            yield self._db

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._mutex, self._told(), self._turn():
            db = self._db
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self._lock < 0:
            raise InboxError(f"The inbox {self._path} is closed.")
        deadline = time.monotonic() + self._busy
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise InboxError(f"The inbox {self._path} is locked by another process.") from None
                time.sleep(_PAUSE)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", type(error).__name__)
            raise InboxError(f"The inbox {self._path} could not be read or written ({name}).") from error
        except (OverflowError, UnicodeEncodeError) as error:
            raise InboxError(f"The inbox {self._path} cannot hold such a value.") from error


def _message(row: tuple[Any, ...]) -> Message:
    ident, headers, body, received_at, state, *rest = row
    pairs = tuple((name, value) for name, value in json.loads(headers))
    return Message(ident, pairs, bytes(body), received_at, State(state), *rest)
