"""The file of an SQLite store: judged before it is touched, locked while it is used, and its errors as sentences."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from gateway.errors import StoreCorrupt, StoreError, StoreLocked, StoreReadOnly, StoreSealed, StoreTooNew

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_MAGIC: Final = b"SQLite format 3\0"
_UNTOUCHED: Final = "The file was not touched."
_FIND_OUT: Final = "Stop the other process, or give this one its own database (store.url)."
_held: Final[set[int]] = set()  # the lock files that this process has open


@contextmanager
def prepared_file(path: Path, check: Callable[[sqlite3.Connection], None]) -> Iterator[None]:
    """Hold the lock on the database file at `path`, which is there (perhaps empty) and ours when the block begins.

    `check` may refuse what the file holds. Raises a subclass of `StoreError` if it cannot be used;
    a file that was there is unchanged then.
    """
    lock = path.with_name(path.name + ".lock")
    check_places(path)
    if path.exists() and not lock.exists():
        inspect(path, check)  # before leaving so much as a lock file beside something that is not ours
    with _locked(lock, path):
        create_private(path)
        inspect(path, check)
        yield


def check_places(path: Path) -> None:
    """Raise `StoreError` or `StoreReadOnly` if there can be no database at `path`."""
    folder = path.parent
    if not folder.is_dir():
        raise StoreError(f"The database {path} cannot be made: there is no directory {folder}. Make it first.")
    if path.exists() and not path.is_file():
        raise StoreError(f"The database {path} cannot be used: it is not a file.")
    for place in (path, folder):
        # A file without any "w" is meant to stay as it is, also where the superuser could write to it.
        if place.exists() and (not os.access(place, os.W_OK) or not place.stat().st_mode & 0o222):
            what = f"its directory {folder}" if place is folder else "the file"
            raise StoreReadOnly(
                f"The database {path} cannot be written to: {what} is read-only. "
                "Change its permissions, or use another file (store.url).",
            )


def inspect(path: Path, check: Callable[[sqlite3.Connection], None], *, whole: bool = True) -> None:
    """Judge an existing file without changing it; with `whole`, look at every page of it.

    Raises `StoreCorrupt`, `StoreTooNew`, `StoreLocked` or `StoreSealed`, as `check` does.
    """
    try:
        with path.open("rb") as file:
            beginning = file.read(len(_MAGIC))
    except OSError as error:
        raise StoreError(f"The database {path} cannot be read: {(error.strerror or 'unknown').lower()}.") from None
    if not beginning:
        return
    if beginning != _MAGIC:
        raise StoreCorrupt(f"{path} is not an SQLite database. {_UNTOUCHED} Use another file (store.url).")
    # After a kill, the schema may be in the write-ahead log only. Without a log, `immutable` keeps SQLite from
    # making one beside a file that may not be ours.
    log = path.with_name(path.name + "-wal")
    mode = "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"
    with told(path), closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?{mode}", uri=True)) as db:
        try:
            check(db)
        except StoreSealed as error:
            raise StoreSealed(f"The database {path} {error.detail}. {_UNTOUCHED}") from None
        except StoreTooNew as error:
            raise StoreTooNew(f"The database {path} {error.detail}. {_UNTOUCHED} Use that version.") from None
        except StoreCorrupt as error:
            raise StoreCorrupt(f"{path} {error.detail}. {_UNTOUCHED} Use another file (store.url).") from None
        if whole and db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise StoreCorrupt(f"The database {path} is damaged. {_UNTOUCHED} Restore it from a copy.")


@contextmanager
def _locked(lock: Path, path: Path) -> Iterator[None]:
    owner = os.getpid()
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        reason = (error.strerror or "unknown").lower()
        raise StoreReadOnly(f"The lock file {lock} cannot be opened: {reason}. Change its permissions.") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(handle, 20, 0).decode("ascii", "replace").strip()
            who = f"process {holder}" if holder.isdigit() else "another process"
            raise StoreLocked(f"The database {path} is in use by {who}. {_FIND_OUT}") from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        _held.add(handle)
        yield  # the lock file stays: to remove it would let two processes lock two files of one name
    finally:
        if handle in _held or os.getpid() == owner:
            _held.discard(handle)
            os.close(handle)


def _let_go() -> None:
    """In a process that was forked: the lock is the other one's, and must not outlive it here."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_let_go)


def create_private(path: Path) -> None:
    """Make the file, if there is none, so that only its owner reads the secrets in it (the log inherits this)."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except FileExistsError:
        return
    except OSError as error:
        raise StoreError(f"The database {path} cannot be made: {(error.strerror or 'unknown').lower()}.") from None


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into a `StoreError` that a user understands."""
    try:
        yield
    except sqlite3.Error as error:
        raise as_store_error(path, error) from error
    except (OverflowError, UnicodeEncodeError) as error:
        raise StoreError(f"The database {path} cannot hold such a value; nothing was changed.") from error


def as_store_error(path: Path, error: sqlite3.Error) -> StoreError:
    """What SQLite raised, as a sentence for a user."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    match primary:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreLocked(f"The database {path} is locked by another process; nothing was changed. {_FIND_OUT}")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return StoreReadOnly(f"The database {path} cannot be written to; nothing was changed. Check permissions.")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return StoreCorrupt(f"The database {path} is damaged; nothing was changed. Restore it from a copy.")
        case sqlite3.SQLITE_FULL:
            return StoreError(f"There is no room left for the database {path}; nothing was changed. Make room first.")
        case sqlite3.SQLITE_CONSTRAINT:
            return StoreError("Names must be unique and a hook's integration must be there; nothing was changed.")
        case _:
            name = getattr(error, "sqlite_errorname", type(error).__name__)
            return StoreError(f"The database {path} could not be read or written ({name}); nothing was changed.")
