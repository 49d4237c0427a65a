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
from gateway.stores.migrations import migrate
from gateway.stores.rows import read_generation, read_state, write_change
from gateway.stores.sqlite_file import prepared_file, told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from gateway.stores.protocol import RegistryChange, RegistryState

_T = TypeVar("_T")
BUSY_SECONDS: Final = 2.0


@asynccontextmanager
async def open_sqlite(path: Path, *, busy_seconds: float = BUSY_SECONDS) -> AsyncIterator[SqliteStore]:
    """The store in the file at `path`, made if need be, open until the context ends.

    `busy_seconds` is how long to wait for another process that holds the database. Raises a subclass of
    `StoreError`; a file that was there is unchanged then.
    """
    database = _Database(path, busy_seconds)
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

    def __init__(self, path: Path, busy_seconds: float) -> None:
        self._path = path
        self._busy_seconds = busy_seconds
        self._open = ExitStack()
        self._db: sqlite3.Connection | None = None

    def open(self) -> None:
        self._path = self._path.resolve()  # the lock is beside the file itself, not beside a link to it
        with ExitStack() as stack, told(self._path):
            stack.enter_context(prepared_file(self._path))
            db = sqlite3.connect(self._path, timeout=self._busy_seconds, isolation_level=None)
            stack.callback(db.close)
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA synchronous = FULL")
            (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise StoreError(f"The database {self._path} cannot have a write-ahead log there; use a local disk.")
            migrate(db)
            self._db = db
            self._open = stack.pop_all()

    def close(self) -> None:
        if self._db is not None:
            with suppress(sqlite3.Error):  # what cannot be moved stays in the log, and is found there at the next start
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db = None
        self._open.close()

    def load(self) -> RegistryState:
        with self._transaction("BEGIN") as db:
            return read_state(db)

    def commit(self, change: RegistryChange) -> None:
        with self._transaction("BEGIN IMMEDIATE") as db:
            write_change(db, change)

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
