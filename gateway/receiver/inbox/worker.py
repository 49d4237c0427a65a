"""Lets handlers work off what is new: with leases, time limits, and retries that wait longer and longer."""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import HandlingFailed, InboxError
from gateway.receiver.log import EventLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.receiver.inbox.message import Message
    from gateway.receiver.inbox.store import InboxStore

    MessageHandler = Callable[[Message], Any]
    """Handles a message, as a coroutine or not. What it returns does not matter; what it raises is a failure."""

__all__ = ["InboxWorker", "WorkerSettings"]

_MARGIN: Final = 30.0  # of a lease beyond the time limit, in seconds
_PRUNE_EVERY: Final = 3600.0
_LONGEST_ERROR: Final = 500

_log = EventLog("inbox")


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How messages are handled. Times in seconds.

    `concurrency`: how many at once. `timeout`: how long a handler may take; ordinary functions go on in their thread.
    `max_attempts`: after how many a message has failed. Between them `first_wait` passes, doubled each time, at most
    `longest_wait`, and half of it by chance. `poll`: how often to look for what other processes added. `keep`: for how
    long a processed message is remembered; must be longer than its sender repeats it. `stop_seconds`:
    how long the worker waits at its end for what is under way.
    """

    concurrency: int = 4
    timeout: float = 60.0
    max_attempts: int = 10
    first_wait: float = 1.0
    longest_wait: float = 3600.0
    poll: float = 1.0
    keep: float = 30 * 86_400.0
    stop_seconds: float = 10.0


class InboxWorker:
    """Handles the messages of `store`, each by what `handler_of` gives for it, if anything.

    `now` gives seconds since 1970, `chance` numbers from 0 to 1. `went` is told how each attempt ended.
    """

    def __init__(
        self,
        store: InboxStore,
        handler_of: Callable[[Message], MessageHandler | None],
        settings: WorkerSettings,
        *,
        went: Callable[[str], None],
        now: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._handler_of = handler_of
        self._settings = settings
        self._went = went
        self._now = now
        self._chance = chance
        self._wake = asyncio.Event()
        self._pool = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="inbox")
        self._stopping = False
        self._pruned_at: float | None = None

    def wake(self) -> None:
        """There is something new."""
        self._wake.set()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Work until the context ends; what is under way then has `stop_seconds` to end, and is else tried again."""
        tasks = [asyncio.create_task(self._run(), name="inbox") for _ in range(self._settings.concurrency)]
        try:
            yield
        finally:
            self._stopping = True
            self._wake.set()
            _, left = await asyncio.wait(tasks, timeout=self._settings.stop_seconds)
            for task in left:
                task.cancel()
            await asyncio.wait(tasks)
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        while not self._stopping:
            try:
                if await self.step(1):
                    continue
                await self._prune()
            except InboxError as error:
                _log.warning("inbox.not_usable", why=error.detail)
            try:
                async with asyncio.timeout(self._settings.poll):
                    await self._wake.wait()
            except TimeoutError:
                continue
            if not self._stopping:
                self._wake.clear()

    async def step(self, limit: int) -> int:
        """Handle at most `limit` messages that are due; how many there were. Raises `InboxError`."""
        lease = self._settings.timeout + _MARGIN
        claimed = await asyncio.to_thread(self._store.claim, self._now(), lease, limit)
        await asyncio.gather(*(self._one(message) for message in claimed))
        return len(claimed)

    async def _one(self, message: Message) -> None:
        most = self._settings.max_attempts
        if message.attempts > most:  # its handler ended the whole process each time
            await self._end(message, "failed", f"its handler began {most} times and never came to an end")
            return
        handler = self._handler_of(message)
        try:
            if handler is not None:
                async with asyncio.timeout(self._settings.timeout):
                    await self._handled(handler, message)
        except asyncio.CancelledError:
            if inspect.iscoroutinefunction(handler):  # a thread goes on, and its message stays held
                with suppress(InboxError):
                    # Not in a thread: whoever cancels does not wait for another turn.
                    self._store.again(message, self._now(), "the worker was stopped")
            raise
        except HandlingFailed as error:
            await self._end(message, "failed", error.detail)
        except Exception as error:  # noqa: BLE001  the handler is someone else's code
            why = "it took too long" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
            _log.error("inbox.attempt_failed", exc_info=error, id=message.id, attempt=message.attempts)
            await self._end(message, "failed" if message.attempts >= most else "again", why)
        else:
            await self._end(message, "processed", "")

    async def _handled(self, handle: MessageHandler, message: Message) -> None:
        if inspect.iscoroutinefunction(handle):
            await handle(message)
            return
        returned = await asyncio.get_running_loop().run_in_executor(self._pool, handle, message)
        if inspect.isawaitable(returned):
            await returned

    async def _end(self, message: Message, went: str, why: str) -> None:
        now, why = self._now(), why[:_LONGEST_ERROR].encode("utf-8", "replace").decode()
        store = self._store
        if went == "processed":
            held = await asyncio.to_thread(store.processed, message, now)
        elif went == "failed":
            held = await asyncio.to_thread(store.failed, message, now, why)
            _log.error("inbox.failed", id=message.id, attempts=message.attempts, why=why)
        else:
            wait = min(self._settings.longest_wait, self._settings.first_wait * 2.0 ** min(message.attempts - 1, 40))
            held = await asyncio.to_thread(store.again, message, now + wait * (0.5 + self._chance() / 2), why)
        self._went(went if held else "lost_lease")
        if not held:
            _log.warning("inbox.lost_lease", id=message.id)

    async def _prune(self) -> None:
        now = self._now()
        if self._pruned_at is None or now - self._pruned_at > _PRUNE_EVERY:
            self._pruned_at = now
            await asyncio.to_thread(self._store.prune, now - self._settings.keep)
