"""Notifications in one SQLite file, beside the registry's: durable, and shared by any number of processes.

One thread writes, and lets what comes at the same time share one transaction; another one reads, and waits for
nobody. Processes take turns at writing (`gateway.stores.shared_file`).
"""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeVar

from gateway.errors import StoreError
from gateway.stores import delivery_reads, delivery_rows, event_rows, lane_rows, upkeep_rows
from gateway.stores.event_schema import EVENT_MIGRATIONS, EVENTS_APPLICATION_ID
from gateway.stores.migrations import check_schema, migrate
from gateway.stores.sealing import Vault
from gateway.stores.shared_file import WriteTurns
from gateway.stores.signal import Signal
from gateway.stores.sqlite_file import check_places, create_private, inspect, told
from gateway.stores.subscription_rows import SubscriptionRows, schemes
from gateway.stores.write_thread import WriteThread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from gateway.model.delivery import Attempt, Delivery, Recovery
    from gateway.model.event import Event
    from gateway.model.subscription import Pause, Subscription
    from gateway.stores.events import (
        Backlog,
        Claimed,
        Completion,
        CursorMove,
        DeliveryQuery,
        EventQuery,
        Finished,
        Publication,
        Published,
        SubscriptionChanges,
        SubscriptionQuery,
    )
    from gateway.stores.sealing import EncryptionKeys

_T = TypeVar("_T")
BUSY_SECONDS: Final = 5.0
_CACHE_KIB: Final = 16_384


def events_path(path: Path) -> Path:
    """The file of the notifications that belongs to the registry in the file `path`: `gateway-events.db`."""
    return path.with_name(f"{path.stem}-events{path.suffix}")


@asynccontextmanager
async def open_sqlite_events(
    path: Path, *, busy_seconds: float = BUSY_SECONDS, keys: EncryptionKeys | None = None
) -> AsyncIterator[SqliteEventStore]:
    """The notifications in the file at `path`, made if need be, open until the context ends.

    `busy_seconds` is how long to wait for other processes. With `keys`, the secrets and headers of subscriptions are
    kept encrypted: those that are plain, or encrypted with an older key, are encrypted anew now, all or none. Raises
    a subclass of `StoreError`, and `ConfigError` if the library for encryption is not installed.
    """
    files = _Files(path, busy_seconds, Vault(keys))
    reading = ThreadPoolExecutor(1, thread_name_prefix="gateway-events-reader")
    loop = asyncio.get_running_loop()
    try:
        # On the thread that reads, for opening may wait. It is over before anything else is asked of that thread.
        await loop.run_in_executor(reading, files.open)
        writing = WriteThread(files.path, files.writer, files.turns, files.forget)
    except BaseException:
        reading.submit(files.close)  # behind an opening whose caller was cancelled
        reading.shutdown(wait=False)
        raise
    try:
        yield SqliteEventStore(files, writing, reading)
    finally:
        await asyncio.shield(_closed(files, writing, reading))


async def _closed(files: _Files, writing: WriteThread, reading: ThreadPoolExecutor) -> None:
    await writing.stop()
    await asyncio.get_running_loop().run_in_executor(reading, files.close)
    reading.shutdown()


class _Files:
    """The connections, and what their rows are read with."""

    def __init__(self, path: Path, busy_seconds: float, vault: Vault) -> None:
        self.path = path.resolve()  # the locks are beside the file itself, not beside a link to it
        self._busy_seconds = busy_seconds
        self._vault = vault
        self.turns = WriteTurns(self.path, busy_seconds)
        self.subscriptions = SubscriptionRows(vault)  # those that were read while writing
        self.readable = SubscriptionRows(vault)
        self.events = event_rows.EventRows()
        self.resealed = 0
        self._open, self._opened = ExitStack(), False
        self.writer: sqlite3.Connection
        self.reader: sqlite3.Connection

    def open(self) -> None:
        with ExitStack() as stack, told(self.path):
            check_places(self.path)
            if self.path.exists() and not self.path.with_name(self.path.name + ".lock").exists():
                inspect(self.path, self._check, whole=False)  # before leaving a lock beside something that is not ours
            self.turns.open()
            stack.callback(self.turns.close)
            with self.turns.held():
                create_private(self.path)
                inspect(self.path, self._check, whole=False)
                self.writer = self._connect(stack)
                (mode,) = self.writer.execute("PRAGMA journal_mode = WAL").fetchone()
                if mode != "wal":
                    raise StoreError(f"The database {self.path} cannot have a write-ahead log there; use a local disk.")
                self.writer.execute("PRAGMA synchronous = FULL")
                self.writer.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
                self.writer.execute("PRAGMA secure_delete = ON")  # subscriptions have secrets
                migrate(self.writer, EVENT_MIGRATIONS, EVENTS_APPLICATION_ID)
                self._reseal()
                self.reader = self._connect(stack)
                self.reader.execute("PRAGMA query_only = ON")
                self._open, self._opened = stack.pop_all(), True

    def _connect(self, stack: ExitStack) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=self._busy_seconds, isolation_level=None, check_same_thread=False)
        stack.callback(db.close)
        return db

    def _check(self, db: sqlite3.Connection) -> None:
        check_schema(db, EVENT_MIGRATIONS, EVENTS_APPLICATION_ID)
        self._vault.check(schemes(db))

    def _reseal(self) -> None:
        db = self.writer
        if not self._vault.encrypts or all(self._vault.is_present(scheme) for scheme in schemes(db)):
            return
        db.execute("BEGIN IMMEDIATE")
        try:
            self.resealed = self.subscriptions.reseal(db)
            db.execute("COMMIT")
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the log holds the pages as they were

    def forget(self) -> None:
        """What was read while writing was undone."""
        self.subscriptions.forget()
        self.events.forget()

    def close(self) -> None:
        """Close the connections. The last process moves the log into the file."""
        with self._open, suppress(StoreError):
            if self._opened:
                with self.turns.held():
                    self.reader.close()
                    self.writer.close()
            self._opened = False


class SqliteEventStore:
    """An `EventStore` in one SQLite file. Made by `open_sqlite_events`. For one event loop."""

    def __init__(self, files: _Files, writing: WriteThread, reading: ThreadPoolExecutor) -> None:
        self._files = files
        self._writing = writing
        self._reading = reading
        self.signal = Signal()

    @property
    def resealed(self) -> int:
        """How many subscriptions had their secrets encrypted anew when the store was opened."""
        return self._files.resealed

    def _write(self, work: Callable[[sqlite3.Connection], _T]) -> asyncio.Future[_T]:
        return self._writing.submit(work)

    async def _write_and_tell(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        answer = await self._writing.submit(work)
        self.signal.fire()
        return answer

    async def read(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """What `work` reads, from one state of the database. Raises `StoreError`."""

        def reading() -> _T:
            db = self._files.reader
            with told(self._files.path):
                db.execute("BEGIN")
                try:
                    return work(db)
                finally:
                    db.execute("COMMIT")

        try:
            return await asyncio.get_running_loop().run_in_executor(self._reading, reading)
        except RuntimeError:
            raise StoreError("The store is closed.") from None

    # ------------------------------------------------------------ subscriptions

    async def add_subscription(self, subscription: Subscription) -> None:
        """Add it. Raises `Conflict`."""
        await self._write(lambda db: self._files.subscriptions.add(db, subscription))

    async def change_subscription(self, subscription: Subscription) -> None:
        """Replace it. Raises `NotFound` and `StaleGeneration`."""
        await self._write_and_tell(lambda db: self._files.subscriptions.change(db, subscription))

    async def remove_subscription(self, subscription_id: str) -> bool:
        """Remove it; whether it was there."""
        return await self._write(lambda db: self._files.subscriptions.remove(db, subscription_id))

    async def subscription(self, subscription_id: str) -> Subscription | None:
        """The one with this id."""
        return await self.read(lambda db: self._files.readable.get(db, subscription_id))

    async def subscriptions(self, query: SubscriptionQuery) -> list[Subscription]:
        """Those that fit, sorted by id."""
        return await self.read(lambda db: self._files.readable.find(db, query))

    async def subscription_changes(self, since: int) -> SubscriptionChanges:
        """What is different since the version `since`."""
        return await self.read(lambda db: self._files.readable.changes(db, since))

    async def pause(self, subscription_id: str, pause: Pause) -> Subscription:
        """Keep its deliveries from now on. Raises `NotFound`."""
        return await self._write_and_tell(lambda db: self._files.subscriptions.pause(db, subscription_id, pause))

    async def resume(self, subscription_id: str, now: float) -> Subscription:
        """Deliver again what was kept. Raises `NotFound`."""
        return await self._write_and_tell(lambda db: self._files.subscriptions.resume(db, subscription_id, now))

    # ------------------------------------------------------------ events

    async def publish(
        self, publications: Sequence[Publication], *, version: int, now: float, cursor: CursorMove | None = None
    ) -> list[Published]:
        """Make events and deliveries last. Raises `StaleGeneration` and `CursorMoved`."""
        events = self._files.events
        return await self._write_and_tell(lambda db: events.publish(db, publications, version, now, cursor))

    async def event(self, event_id: str) -> Event | None:
        """The one with this id."""
        return await self.read(lambda db: event_rows.get_event(db, event_id))

    async def events(self, query: EventQuery) -> list[Event]:
        """Those that fit."""
        return await self.read(lambda db: event_rows.find_events(db, query))

    async def cursor(self, name: str) -> str | None:
        """Where the cursor of this name is."""
        return await self.read(lambda db: event_rows.get_cursor(db, name))

    # ------------------------------------------------------------ deliveries

    async def claim(self, *, now: float, lease_until: float, limit: int) -> list[Claimed]:
        """Up to `limit` deliveries for the caller alone."""
        rows = self._files.subscriptions
        return await self._write(lambda db: delivery_rows.claim(db, rows, now, lease_until, limit))

    async def finish(self, completions: Sequence[Completion], *, now: float) -> list[Finished]:
        """Record attempts and what follows from them."""
        return await self._write_and_tell(lambda db: delivery_rows.finish(db, completions, now))

    async def release(self, claims: Sequence[Claimed]) -> None:
        """Give back what was claimed and not attempted."""
        await self._write_and_tell(lambda db: delivery_rows.release(db, claims))

    async def next_due(self, now: float) -> float | None:
        """When `claim` can give something."""
        return await self.read(lambda db: lane_rows.next_due(db, now))

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """The one with this id."""
        return await self.read(lambda db: delivery_reads.read_delivery(db, delivery_id))

    async def deliveries(self, query: DeliveryQuery) -> list[Delivery]:
        """Those that fit, the newest first."""
        return await self.read(lambda db: delivery_reads.find_deliveries(db, query))

    async def attempts(self, delivery_id: str) -> list[Attempt]:
        """All attempts at it, the first one first."""
        return await self.read(lambda db: delivery_reads.read_attempts(db, delivery_id))

    async def redeliver(self, delivery_id: str, *, now: float) -> Delivery:
        """Make it due at once. Raises `NotFound` and `Conflict`."""
        return await self._write_and_tell(lambda db: delivery_rows.redeliver(db, delivery_id, now))

    async def start_recovery(self, subscription_id: str, *, since: float, now: float) -> Recovery:
        """Note which dead letters are wanted. Raises `NotFound`."""
        return await self._write_and_tell(lambda db: upkeep_rows.start_recovery(db, subscription_id, since, now))

    async def recover(self, limit: int, *, now: float) -> Recovery | None:
        """One step of the oldest recovery that is not done."""
        return await self._write_and_tell(lambda db: upkeep_rows.recover(db, limit, now))

    async def recovery(self, recovery_id: str) -> Recovery | None:
        """How far it is."""
        return await self.read(lambda db: upkeep_rows.read_recovery(db, recovery_id))

    async def backlog(self, subscription_id: str | None = None) -> list[Backlog]:
        """What is open, of one or of each subscription."""
        return await self.read(lambda db: delivery_reads.read_backlog(db, subscription_id))

    async def purge(self, *, before: float, dead_before: float, limit: int) -> int:
        """Forget what is old enough; how many records that were."""
        return await self._write(lambda db: upkeep_rows.purge(db, before, dead_before, limit))

    async def ping(self) -> None:
        """Read the version. Raises `StoreError`."""
        await self.read(lambda db: db.execute("SELECT version FROM subscriptions_meta").fetchone())
