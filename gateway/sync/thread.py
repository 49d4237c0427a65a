"""An event loop in a thread of its own, which keeps something open there that other threads use."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from gateway.errors import NotOpen
from gateway.observe.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

T = TypeVar("T")
R = TypeVar("R")

log = get_logger("sync")


class LoopThread(Generic[T]):
    """Opens the context of `opening` on a new event loop in a new thread, and closes it there.

    Nobody waits for it without a limit: what is in flight when the loop ends, for whatever reason, ends with `NotOpen`.
    For one start and one stop.
    """

    def __init__(self, opening: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        self._opening = opening
        self._opened: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._in_flight: dict[concurrent.futures.Future[Any], Coroutine[Any, Any, Any]] = {}
        self._lock = threading.Lock()
        self._over = False
        # Not to be waited for when the program ends: whoever started it stops it.
        self._thread = threading.Thread(target=self._live, name="gateway", daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._end: asyncio.Event

    @property
    def alive(self) -> bool:
        """Whether work can be given to it."""
        return self._thread.is_alive() and not self._over

    @property
    def is_here(self) -> bool:
        """Whether the calling thread is the loop's own, which must not wait for itself."""
        return threading.get_ident() == self._thread.ident

    def start(self, seconds: float) -> T:
        """Start, and return what was opened. Raises what opening raises, and `NotOpen` after `seconds`."""
        self._thread.start()
        try:
            concurrent.futures.wait([self._opened], seconds)
            if not self._opened.done():
                raise NotOpen(f"The gateway did not open within {seconds:g} s.")
            return self._opened.result()
        except BaseException:
            self.stop(0)
            raise

    def submit(self, work: Callable[[], Coroutine[Any, Any, R]]) -> concurrent.futures.Future[R]:
        """Begin `work()` on the loop. Raises `NotOpen` if the loop has ended."""
        coroutine = work()
        with self._lock:  # held by the loop's thread only for the moment in which it ends
            if self._over:
                coroutine.close()
                raise NotOpen("The gateway is not open: its event loop has ended.")
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
            self._in_flight[future] = coroutine
        future.add_done_callback(self._landed)
        return future

    def stop(self, seconds: float) -> bool:
        """Close what is open and end the thread; whether that was done within `seconds`."""
        with self._lock:
            if not self._over and hasattr(self, "_end"):
                self._loop.call_soon_threadsafe(self._end.set)
        if not self.is_here:
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def _landed(self, future: concurrent.futures.Future[Any]) -> None:
        self._in_flight.pop(future, None)

    def _live(self) -> None:
        try:
            # asyncio's own loop: libuv's pool of threads is not safe under fork (it is joined when a child ends).
            with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
                runner.run(self._keep())
        except BaseException as error:  # noqa: BLE001 - the end of a thread: nobody above could be told
            if self._opened.done():
                log.error("sync.loop_ended", error=type(error).__name__)  # noqa: TRY400 - no trace of foreign code
            else:
                self._opened.set_exception(error)
        finally:
            self._finish()

    async def _keep(self) -> None:
        with self._lock:
            self._loop = asyncio.get_running_loop()
            self._end = asyncio.Event()
        try:
            async with self._opening() as opened:
                if self._opened.set_running_or_notify_cancel():
                    self._opened.set_result(opened)
                await self._end.wait()
        finally:
            with self._lock:
                self._over = True  # nothing new; what is in flight is cancelled when the loop ends

    def _finish(self) -> None:
        with self._lock:
            self._over = True
            left = list(self._in_flight.items())
        for future, coroutine in left:
            if not future.done():
                coroutine.close()
                future.set_exception(NotOpen("The gateway was closed before the query was answered."))
