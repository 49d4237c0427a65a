"""The registry in one SQLite file: durable when `commit` returns, also against a kill or a power cut.

One thread holds the only connection and does everything in order. Readers of the registry never come
here: they have the snapshot. So there is nothing to gain from more connections, and SQLite before 3.51.3
can damage a file when two of them write or checkpoint at once (https://sqlite.org/wal.html).
"""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeVar

from gateway.errors import StoreError
from gateway.stores.audit_rows import read_audit, write_audit
from gateway.stores.migrations import check_schema, migrate
from gateway.stores.protocol import AuditRetention
from gateway.stores.rows import gateway_secret, read_generation, read_state, reseal, schemes, write_change
from gateway.stores.sealing import PLAIN, Vault
from gateway.stores.sqlite_file import prepared_file, told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from gateway.model import AuditEntry
    from gateway.stores.protocol import AuditQuery, RegistryChange, RegistryState
    from gateway.stores.sealing import EncryptionKeys

_T = TypeVar("_T")
BUSY_SECONDS: Final = 2.0


@asynccontextmanager
async def open_sqlite(
    path: Path,
    *,
    busy_seconds: float = BUSY_SECONDS,
    keys: EncryptionKeys | None = None,
    retention: AuditRetention | None = None,
) -> AsyncIterator[SqliteStore]:
    """The store in the file at `path`, made if need be, open until the context ends.

    `busy_seconds` is how long to wait for another process that holds the database. With `keys`, secrets are
    kept encrypted: those that are plain, or encrypted with an older key, are encrypted anew now, all or none.
    `retention` says how much of the audit log is kept. Raises a subclass of `StoreError`, and `ConfigError` if
    the library for encryption is not installed; a file that was there is unchanged then.
    """
    database = _Database(path, busy_seconds, Vault(keys), retention or AuditRetention())
    thread = ThreadPoolExecutor(1, thread_name_prefix="gateway-store")
    store = SqliteStore(database, thread)
    try:
        await store.on_thread(database.open)
        yield store
    finally:
        try:
            # Behind whatever is still to be done, also behind an opening whose caller was cancelled.
            await asyncio.shield(store.on_thread(database.close))
        finally:
            thread.shutdown()


class SqliteStore:
    """A `RegistryStore` in one SQLite file. Made by `open_sqlite`."""

    def __init__(self, database: _Database, thread: ThreadPoolExecutor) -> None:
        self._database = database
        self._thread = thread

    async def load(self) -> RegistryState:
        """Everything, consistent, sorted by id. Raises `StoreError`."""
        return await self.on_thread(self._database.load)

    async def commit(self, change: RegistryChange) -> None:
        """Make the change last. See `RegistryStore.commit`.

        A cancelled call whose turn has come is carried out whole; one that still waits for its turn is dropped.
        """
        await self.on_thread(lambda: self._database.commit(change))

    @property
    def resealed(self) -> int:
        """How many secrets were encrypted anew when the store was opened."""
        return self._database.resealed

    async def note(self, entries: Sequence[AuditEntry]) -> None:
        """Add entries to the audit log. Raises `StoreError`."""
        await self.on_thread(lambda: self._database.note(entries))

    async def audit(self, query: AuditQuery) -> list[AuditEntry]:
        """The entries of the audit log that fit, the newest first. Raises `StoreError`."""
        return await self.on_thread(lambda: self._database.audit(query))

    async def pepper(self) -> bytes:
        """32 random bytes, made once and kept. Raises `StoreError`."""
        return await self.on_thread(self._database.pepper)

    async def ping(self) -> None:
        """Read the generation. Raises `StoreError`."""
        await self.on_thread(self._database.ping)

    def on_thread(self, work: Callable[[], _T]) -> asyncio.Future[_T]:
        """Do `work` on the store's thread, after all that was asked for before."""
        try:
            return asyncio.get_running_loop().run_in_executor(self._thread, work)
        except RuntimeError:
            raise StoreError("The store is closed.") from None


class _Database:
    """The connection, and all that is done with it. Every method runs on the store's thread."""

    def __init__(self, path: Path, busy_seconds: float, vault: Vault, retention: AuditRetention) -> None:
        self._path = path
        self._busy_seconds = busy_seconds
        self._vault = vault
        self._retention = retention
        self.resealed = 0
        self._open = ExitStack()
        self._db: sqlite3.Connection | None = None

    def open(self) -> None:
        self._path = self._path.resolve()  # the lock is beside the file itself, not beside a link to it
        with ExitStack() as stack, told(self._path):
            stack.enter_context(prepared_file(self._path, self._check))
            db = sqlite3.connect(self._path, timeout=self._busy_seconds, isolation_level=None)
            stack.callback(db.close)
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA secure_delete = ON")  # what was a secret once must not stay in the file's free space
            (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise StoreError(f"The database {self._path} cannot have a write-ahead log there; use a local disk.")
            migrate(db)
            self._reseal(db)
            self._db = db
            self._open = stack.pop_all()

    def _check(self, db: sqlite3.Connection) -> None:
        check_schema(db)
        self._vault.check(schemes(db))

    def _reseal(self, db: sqlite3.Connection) -> None:
        present = schemes(db)
        if not self._vault.encrypts or all(self._vault.is_present(scheme) for scheme in present if scheme != "digest"):
            return
        if PLAIN in present:
            # Earlier versions left the secrets that they removed in the free space. First, so that it is done
            # again if it comes to an end before the rest has happened.
            db.execute("VACUUM")
        db.execute("BEGIN IMMEDIATE")
        try:
            self.resealed = reseal(db, self._vault)
            db.execute("COMMIT")
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the log holds the pages as they were

    def close(self) -> None:
        if self._db is not None:
            with suppress(sqlite3.Error):  # what cannot be moved stays in the log, and is found there at the next start
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db = None
        self._open.close()

    def load(self) -> RegistryState:
        with self._transaction("BEGIN") as db:
            return read_state(db, self._vault)

    def commit(self, change: RegistryChange) -> None:
        with self._transaction("BEGIN IMMEDIATE") as db:
            write_change(db, change, self._vault, self._retention)

    def note(self, entries: Sequence[AuditEntry]) -> None:
        with self._transaction("BEGIN IMMEDIATE") as db:
            write_audit(db, entries, self._retention)

    def audit(self, query: AuditQuery) -> list[AuditEntry]:
        with self._transaction("BEGIN") as db:
            return read_audit(db, query)

    def pepper(self) -> bytes:
        with self._transaction("BEGIN IMMEDIATE") as db:
            return gateway_secret(db, self._vault, "pepper")

    def ping(self) -> None:
        with self._transaction("BEGIN") as db:
            read_generation(db)

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        db = self._db
        if db is None:
            raise StoreError("The store is closed.")
        with told(self._path):
            try:
                db.execute(begin)
                yield db
                db.execute("COMMIT")
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")
