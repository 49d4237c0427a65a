"""One thread that writes, and makes what was asked for at the same time last with one sync of the disk.

Each piece of work sees the database as the one before left it, and takes effect whole or not at all. What is told to
have lasted has: the answers are given after the commit.
"""

from __future__ import annotations

import asyncio
import sqlite3
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gateway.errors import StoreError
from gateway.stores.sqlite_file import as_store_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.stores.shared_file import WriteTurns

_T = TypeVar("_T")
_Work = tuple["Callable[[sqlite3.Connection], Any]", "asyncio.Future[Any]"]
# More at once would hold up other processes, and gain little.
_MOST_TOGETHER: Final = 256


class WriteThread:
    """Does the writing on the connection `db`, which is its own from `start` until `stop` is over.

    `forgotten` is called when something that a piece of work saw was undone.
    """

    def __init__(self, path: Path, db: sqlite3.Connection, turns: WriteTurns, forgotten: Callable[[], None]) -> None:
        self._path = path
        self._db = db
        self._turns = turns
        self._forgotten = forgotten
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._closed = False
        self._ended = asyncio.Event()
        self._thread = Thread(target=self._run, name="gateway-events", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[sqlite3.Connection], _T]) -> asyncio.Future[_T]:
        """Do `work` in a transaction, after all that was asked for before. Call it on the event loop.

        Its result comes when it lasts. What `work` raises undoes it. If the future is cancelled before its turn, the
        work is not done.
        """
        if self._closed:
            raise StoreError("The store is closed.")
        future: asyncio.Future[_T] = self._loop.create_future()
        self._queue.put((work, future))
        return future

    async def stop(self) -> None:
        """Do what was asked for, and no more."""
        self._closed = True
        self._queue.put(None)
        await self._ended.wait()
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch = [first]
            while len(batch) < _MOST_TOGETHER and not self._queue.empty():
                following = self._queue.get()
                if following is None:
                    self._queue.put(None)
                    break
                batch.append(following)
            batch = [each for each in batch if not each[1].cancelled()]
            if batch:
                self._loop.call_soon_threadsafe(_tell, batch, self._done(batch))
        self._loop.call_soon_threadsafe(self._ended.set)

    def _done(self, batch: list[_Work]) -> list[Any]:
        try:
            with self._turns.held():
                try:
                    return self._together(batch)
                except sqlite3.Error as error:
                    self._undo()
                    if len(batch) == 1:
                        return [as_store_error(self._path, error)]
                return [self._alone(each) for each in batch]
        except Exception as error:  # noqa: BLE001  whoever waits must hear of it, whatever it is
            return [error] * len(batch)

    def _alone(self, work: _Work) -> Any:
        """One piece of work that failed, or whose companion did: whatever is wrong concerns it only."""
        try:
            return self._together([work])[0]
        except sqlite3.Error as error:
            self._undo()
            return as_store_error(self._path, error)

    def _together(self, batch: list[_Work]) -> list[Any]:
        answers: list[Any] = []
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        for work, _ in batch:
            db.execute("SAVEPOINT work")
            try:
                answers.append(work(db))
            except sqlite3.Error:
                raise
            except Exception as error:  # noqa: BLE001  it is told to whoever asked
                db.execute("ROLLBACK TO work")
                self._forgotten()
                answers.append(_as_told(self._path, error))
            db.execute("RELEASE work")
        db.execute("COMMIT")
        return answers

    def _undo(self) -> None:
        self._forgotten()
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")


def _as_told(path: Path, error: Exception) -> Exception:
    if isinstance(error, OverflowError | UnicodeEncodeError):
        return StoreError(f"The database {path} cannot hold such a value; nothing was changed.")
    return error


def _tell(batch: list[_Work], answers: list[Any]) -> None:
    for (_, future), answer in zip(batch, answers, strict=True):
        if future.cancelled():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
