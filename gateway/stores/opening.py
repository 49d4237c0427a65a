"""From a store URL to an open store."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.stores.events import EventStore
    from gateway.stores.protocol import AuditRetention, RegistryStore
    from gateway.stores.sealing import EncryptionKeys

_SQLITE: Final = "sqlite:///"
_FORMS: Final = "use sqlite:///relative.db, sqlite:////absolute.db or memory:"


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """A store's address, taken apart: a file for SQLite, no path for memory."""

    path: Path | None = None


def parse_store_url(url: str) -> StoreUrl:
    """`memory:`, `sqlite:///relative.db` or `sqlite:////absolute.db`. Raises `ValueError`.

    Its text completes the sentence "The store's URL …" and names the way out.
    """
    if url == "memory:":
        return StoreUrl()
    if url.startswith(_SQLITE):
        name = url.removeprefix(_SQLITE)
        if not name or name.endswith("/") or any(c in name for c in "?#\0"):
            raise ValueError(f"must name a file after sqlite:///, without ? and #; {_FORMS}")
        return StoreUrl(Path(name))
    if url.startswith(("postgres:", "postgresql:")):
        raise ValueError(f"names PostgreSQL, which this version cannot use as a store; {_FORMS}")
    raise ValueError(f"names no store that is known; {_FORMS}")


@asynccontextmanager
async def open_store(
    url: str, *, keys: EncryptionKeys | None = None, retention: AuditRetention | None = None
) -> AsyncIterator[RegistryStore]:
    """The store at `url`, open until the context ends.

    `keys` encrypt what is secret in it (memory needs none), `retention` says how much of the audit log is kept.
    Raises a subclass of `StoreError` that says why not, and `ConfigError` if the library for encryption is absent.
    """
    path = _path_in(url)
    if path is None:
        from gateway.stores.memory import MemoryStore

        yield MemoryStore(retention=retention)
        return
    from gateway.stores.sqlite import open_sqlite

    async with open_sqlite(path, keys=keys, retention=retention) as store:
        yield store


@asynccontextmanager
async def open_event_store(url: str, *, keys: EncryptionKeys | None = None) -> AsyncIterator[EventStore]:
    """The notifications of the store at `url`, open until the context ends.

    With SQLite they are in a file of their own beside the registry's, which several processes may have open. Raises
    as `open_store`.
    """
    path = _path_in(url)
    if path is None:
        from gateway.stores.memory_events import MemoryEventStore

        yield MemoryEventStore()
        return
    from gateway.stores.sqlite_events import events_path, open_sqlite_events

    async with open_sqlite_events(events_path(path), keys=keys) as store:
        yield store


def _path_in(url: str) -> Path | None:
    try:
        return parse_store_url(url).path
    except ValueError as error:
        raise StoreError(f"The store's URL {error}.") from None
