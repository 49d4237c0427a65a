"""Publishing from inside the caller's own transaction: an event is told of if, and only if, the transaction commits.

The event goes into a table of the caller's own SQLite database, and from there into the event store. (The pattern is
the "transactional outbox", https://microservices.io/patterns/data/transactional-outbox.html.) Its id is made in the
transaction, and the store takes an id once: so a crash anywhere on the way neither loses an event nor doubles it.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from contextlib import asynccontextmanager, closing, suppress
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import ConfigError, StoreError
from gateway.model.event import Event
from gateway.model.ids import event_id
from gateway.observe.log import get_logger
from gateway.relay.publisher import NewEvent, PublisherSettings, checked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.relay.publisher import Publisher

__all__ = ["Outbox", "OutboxDrain"]

log = get_logger("relay")

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_COLUMNS: Final = "id, type, data, time, key, subject, integration_id, tenant, traceparent"


class Outbox:
    """The table `table` in a database of the caller's.

    Every method works on the caller's connection, and commits nothing.
    """

    def __init__(self, table: str = "gateway_outbox", *, settings: PublisherSettings | None = None) -> None:
        if not _NAME.match(table):
            raise ConfigError(
                "An outbox's table must have a name of letters, digits and _, not beginning with a digit."
            )
        self._table = table
        self._settings = settings or PublisherSettings()

    def create(self, db: sqlite3.Connection) -> None:
        """Make the table, if there is none."""
        db.execute(
            f"CREATE TABLE IF NOT EXISTS {self._table} (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, "
            "type TEXT NOT NULL, data BLOB NOT NULL, time REAL NOT NULL, key TEXT, subject TEXT, integration_id TEXT, "
            "tenant TEXT, traceparent TEXT)"
        )

    def publish(
        self,
        db: sqlite3.Connection,
        event: str,
        data: Any = None,
        *,
        key: str | None = None,
        subject: str | None = None,
        integration_id: str | None = None,
        tenant: str | None = None,
        traceparent: str | None = None,
        now: Callable[[], float] = time.time,
    ) -> str:
        """Note an event within the present transaction; its id. Parameters as of `Publisher.publish`.

        Raises `InvalidInput` for what cannot be published, and what SQLite raises.
        """
        new = NewEvent(event, data, key, None, subject, integration_id, tenant, traceparent)
        body = checked(new, self._settings)
        made = event_id()
        db.execute(
            f"INSERT INTO {self._table} ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608  a checked name
            (made, event, body, now(), key, subject, integration_id, tenant, traceparent),
        )
        return made

    def waiting(self, db: sqlite3.Connection, limit: int, source: str) -> list[Event]:
        """The oldest events that were committed and not passed on yet."""
        rows = db.execute(
            f"SELECT {_COLUMNS} FROM {self._table} ORDER BY number LIMIT ?",  # noqa: S608  a checked name
            (limit,),
        )
        return [
            Event(
                made,
                name,
                body,
                at,
                source,
                key,
                subject,
                publisher="embedded",
                integration_id=integration_id,
                tenant=tenant,
                traceparent=traceparent,
            )
            for made, name, body, at, key, subject, integration_id, tenant, traceparent in rows
        ]

    def forget(self, db: sqlite3.Connection, events: list[Event]) -> None:
        """These were passed on."""
        db.executemany(f"DELETE FROM {self._table} WHERE id = ?", [(event.id,) for event in events])  # noqa: S608


class OutboxDrain:
    """Passes on what is in an outbox, in order. Several at once do no harm.

    `connect` gives a new connection to the caller's database; it is used on another thread, and closed.
    """

    def __init__(
        self, outbox: Outbox, connect: Callable[[], sqlite3.Connection], publisher: Publisher, *, at_once: int = 500
    ) -> None:
        self._outbox = outbox
        self._connect = connect
        self._publisher = publisher
        self._at_once = at_once
        self._wanted = asyncio.Event()

    def nudge(self) -> None:
        """Something was committed: look now."""
        self._wanted.set()

    async def drain(self) -> int:
        """Pass on what is there; how many events that were.

        Raises `StoreError`: then what was not passed on is still there.
        """
        count = 0
        while events := await asyncio.to_thread(self._waiting):
            await self._publisher.store(events)
            await asyncio.to_thread(self._forget, events)
            count += len(events)
        return count

    def _waiting(self) -> list[Event]:
        try:
            with closing(self._connect()) as db:
                return self._outbox.waiting(db, self._at_once, self._publisher.source)
        except sqlite3.Error as error:
            raise StoreError(f"The outbox cannot be read: {error}. Nothing is lost; it is tried again.") from error

    def _forget(self, events: list[Event]) -> None:
        try:
            with closing(self._connect()) as db, db:
                self._outbox.forget(db, events)
        except sqlite3.Error as error:
            raise StoreError(f"The outbox cannot be written: {error}. Nothing is lost; it is tried again.") from error

    @asynccontextmanager
    async def draining(self, *, every: float = 1.0) -> AsyncIterator[OutboxDrain]:
        """Pass on whatever comes until the context ends, within `every` seconds, or at once after a `nudge`."""
        task = asyncio.create_task(self._run(every))
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self, every: float) -> None:
        well = True
        while True:
            self._wanted.clear()
            try:
                await self.drain()
            except StoreError as error:
                if well:
                    log.warning("outbox.stuck", detail=error.detail)
                well = False
            else:
                if not well:
                    log.info("outbox.flows")
                well = True
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), every)
