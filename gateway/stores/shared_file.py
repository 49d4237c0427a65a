"""An SQLite file that several processes write to, one at a time.

SQLite before 3.51.3 can damage a file when two connections write to it or move its write-ahead log at the same
moment (https://sqlite.org/wal.html#walreset). So whoever does either holds a lock on a file beside the database; the
operating system lets go of it when a process dies. Reading needs no lock.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from gateway.errors import StoreLocked, StoreReadOnly

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FIRST_PAUSE: Final = 0.0002
_LONGEST_PAUSE: Final = 0.005


class WriteTurns:
    """Whose turn it is to write to the database at `path`. For one thread.

    Two locks: who wants to write takes the second (`.turn`) while waiting for the first (`.lock`). So a process that
    writes again and again cannot keep out another that waits.
    """

    def __init__(self, path: Path, wait_seconds: float) -> None:
        self._path = path
        self._wait = wait_seconds
        self._lock = self._turn = -1

    def open(self) -> None:
        """Make the lock files if need be. Raises `StoreReadOnly`."""
        self._lock, self._turn = (_opened(self._path.with_name(self._path.name + end)) for end in (".lock", ".turn"))

    def close(self) -> None:
        """Let go of everything."""
        for handle in (self._lock, self._turn):
            if handle >= 0:
                os.close(handle)
        self._lock = self._turn = -1

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the only one who writes. Raises `StoreLocked` if it takes too long to become that."""
        deadline = time.monotonic() + self._wait
        self._take(self._turn, deadline)
        try:
            self._take(self._lock, deadline)
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _take(self, handle: int, deadline: float) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise StoreLocked(
                        f"The database {self._path} is locked by another process; nothing was changed. "
                        "See whether a gateway or relay on it hangs.",
                    ) from None
            else:
                return
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        reason = (error.strerror or "unknown").lower()
        raise StoreReadOnly(f"The lock file {path} cannot be opened: {reason}. Change its permissions.") from None
