"""A gateway that any thread may use: opened when it is needed, and anew in a process that was forked."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
import time
import weakref
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gateway.config import Settings
from gateway.errors import GatewayError, HookFailed, NotOpen
from gateway.model import Reason, Status
from gateway.observe.log import get_logger
from gateway.pipeline import Answer
from gateway.pipeline.outcomes import outcome_of
from gateway.service.embedding import embedded_gateway
from gateway.stores import parse_store_url
from gateway.sync.pipeline import SyncPipeline
from gateway.sync.thread import LoopThread

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from gateway.model import Query, Result
    from gateway.registry import BoundHook
    from gateway.runtime import Gateway
    from gateway.service.embedding import Prepare
    from gateway.sync.pipeline import DataQuery, PostQuery, PreQuery

__all__ = ["SyncGateway", "open_gateway"]

T = TypeVar("T")

log = get_logger("sync")

OPEN_SECONDS: Final = 30.0
CLOSE_SECONDS: Final = 20.0
RETRY_SECONDS: Final = 5.0
_GRACE_SECONDS: Final = 1.0

_FORKED: Final = "The gateway was opened before this process was forked. "
_OPEN_AFTER: Final = "Open it after the fork"
_OWN: Final = (
    ", or give each process store.url = 'memory:' and hooks declared by prepare, or run the gateway standalone."
)


class SyncGateway:
    """A gateway for threads. It opens when it is first used, or with `open`, and closes with `close` or the program.

    `settings` are all defaults if they are not given. `prepare(gateway)`, plain or async, is called in the gateway's
    event loop each time it has been opened: there a program declares integrations and hooks in code. `control` serves
    the control API on the address of the setting `control.listen`. `ssl_context` is for calls to integration servers.

    No call waits longer than the budget of a chain (`calls.budget_ms`) and `grace_seconds` more, whatever happens to
    the gateway's thread; the result is then as it was, and the outcome of each hook `failed`, `timeout`.

    In a process that was forked after the gateway had been opened, one with the store `memory:` and `prepare` opens
    anew, by itself; any other raises `NotOpen`, for a registry has one owner.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        prepare: Prepare | None = None,
        control: bool = False,
        ssl_context: ssl.SSLContext | None = None,
        grace_seconds: float = _GRACE_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings: Final = settings or Settings()
        self._prepare = prepare
        self._control = control
        self._ssl_context = ssl_context
        self._limit = self.settings.calls.budget_ms / 1000 + grace_seconds
        self._now = now
        self._lock = threading.Lock()
        self._open: tuple[LoopThread[Gateway], Gateway] | None = None
        self._lost: str | None = None  # why it may not be opened again
        self._failed: tuple[GatewayError, float] | None = None  # and until when that counts
        _ALL.add(self)

    # ------------------------------------------------------------ opening and closing

    def open(self) -> None:
        """Open it now, if it is not open.

        Raises `StoreError`, `ConfigError`, `ListenFailed`, `NotOpen`, and what `prepare` raises.
        """
        self._present()

    @property
    def is_open(self) -> bool:
        """Whether it is open now, in this process."""
        opened = self._open
        return opened is not None and opened[0].alive

    @property
    def inner(self) -> Gateway:
        """The gateway that is kept open; all but its registry's snapshot is for its own event loop, see `call`.

        Raises as `open` does.
        """
        return self._present()[1]

    def close(self) -> None:
        """Close it, for good; the results of queries in flight are as they were."""
        with self._lock:
            self._lost = "The gateway was closed."
            opened, self._open = self._open, None
        _OPEN.discard(self)
        if opened is not None and not opened[0].stop(CLOSE_SECONDS):
            log.error("sync.not_closed", seconds=CLOSE_SECONDS)

    def _present(self) -> tuple[LoopThread[Gateway], Gateway]:
        opened = self._open
        if opened is not None and opened[0].alive:
            return opened
        if not self._lock.acquire(timeout=OPEN_SECONDS):
            raise NotOpen(f"The gateway did not open within {OPEN_SECONDS:g} s.")
        try:
            return self._reopened()
        finally:
            self._lock.release()

    def _reopened(self) -> tuple[LoopThread[Gateway], Gateway]:
        if self._open is not None:
            if self._open[0].alive:
                return self._open
            self._open = None  # its loop ended by itself; a registry in memory went with it
            if self._prepare is None and self._in_memory():
                self._lost = "The gateway's event loop has ended, and its registry in memory with it."
        if self._lost is not None:
            raise NotOpen(self._lost)
        if self._failed is not None and self._now() < self._failed[1]:
            raise self._failed[0]
        thread = LoopThread(self._opening)
        try:
            self._open = thread, thread.start(OPEN_SECONDS)
        except GatewayError as error:
            self._failed = error, self._now() + RETRY_SECONDS
            raise
        self._failed = None
        _OPEN.add(self)
        return self._open

    def _opening(self) -> Any:
        return embedded_gateway(
            self.settings, prepare=self._prepare, control=self._control, ssl_context=self._ssl_context
        )

    def _in_memory(self) -> bool:
        return parse_store_url(self.settings.store.url).path is None

    def _forked(self) -> None:
        """Here, in the new process, there is neither the thread nor may anything of it be touched."""
        self._lock = threading.Lock()
        self._failed = None
        if self._open is None:
            return
        _OPEN.discard(self)
        _NOT_OURS.append(self._open)  # to let go of it would close what the other process works with
        self._open = None
        if not self._in_memory():
            self._lost = _FORKED + f"The database {self.settings.store.url} has one owner. " + _OPEN_AFTER + _OWN
        elif self._prepare is None:
            self._lost = _FORKED + "Its registry in memory is the other process's. " + _OPEN_AFTER + _OWN

    # ------------------------------------------------------------ queries

    def is_wanted(self, query: Query) -> bool:
        """Whether any hook is enabled for `query`. Raises as `open` does."""
        return bool(self._hooks(self._present()[1], query))

    def run(self, query: Query, result: Result, *, debug: str | None = None) -> Answer:
        """The answer to `query`, whose data-query phase produced `result`.

        `debug` is the value of the caller's header `gateway-debug`. Raises `HookFailed` if a hook failed whose policy
        is `fail`, `QueryRejected` if one rejected the query and may do so, and `NotOpen`, and as `open` does. What
        interrupts the wait, such as Ctrl+C, cancels the call in flight.
        """
        thread, gateway = self._present()
        _not_here(thread)
        hooks = self._hooks(gateway, query)
        if not hooks and debug is None:
            return Answer(result)
        begun = perf_counter()
        future = thread.submit(lambda: _run(gateway, query, result, debug))
        try:
            future.exception(self._limit)
        except (TimeoutError, concurrent.futures.CancelledError):
            pass
        finally:
            future.cancel()
        return self._answer(future, hooks, result, begun)

    async def run_async(self, query: Query, result: Result, *, debug: str | None = None) -> Answer:
        """As `run`, for callers on an event loop of their own."""
        opened = self._open
        if opened is None or not opened[0].alive:
            opened = await asyncio.to_thread(self._present)
        thread, gateway = opened
        if thread.is_here:
            return await _run(gateway, query, result, debug)
        hooks = self._hooks(gateway, query)
        if not hooks and debug is None:
            return Answer(result)
        begun = perf_counter()
        future = thread.submit(lambda: _run(gateway, query, result, debug))
        waiting = asyncio.wrap_future(future)
        try:
            done, _ = await asyncio.wait([waiting], timeout=self._limit)
        finally:
            future.cancel()
        if done and not waiting.cancelled():
            waiting.exception()  # seen: it is raised below
        return self._answer(future, hooks, result, begun)

    def pipeline(
        self,
        data_query: DataQuery,
        *,
        pre_query: Sequence[PreQuery] = (),
        post_query: Sequence[PostQuery] = (),
    ) -> SyncPipeline:
        """The three phases of a query as plain functions, which run in the calling thread."""
        return SyncPipeline(self.run, data_query, pre_query=pre_query, post_query=post_query)

    def call(self, work: Callable[[Gateway], Coroutine[Any, Any, T]], *, seconds: float = OPEN_SECONDS) -> T:
        """What `work(gateway)` returns, run in the gateway's event loop: for the registry and all else that is async.

        Raises what it raises, and `TimeoutError` after `seconds`.
        """
        thread, gateway = self._present()
        _not_here(thread)
        future = thread.submit(lambda: work(gateway))
        try:
            return future.result(seconds)
        finally:
            future.cancel()

    def _hooks(self, gateway: Gateway, query: Query) -> tuple[BoundHook, ...]:
        return gateway.registry.snapshot.select(query.type, query.capability, query.tenant)

    def _answer(
        self, future: concurrent.futures.Future[Answer], hooks: Sequence[BoundHook], result: Result, begun: float
    ) -> Answer:
        """What the loop answered; where it did not, every hook has failed."""
        if not future.cancelled():
            try:
                return future.result()
            except NotOpen:  # it ended in between
                pass
        seconds = perf_counter() - begun
        log.error("sync.no_answer", seconds=round(seconds, 1), hooks=len(hooks))
        detail = "The gateway's event loop did not answer in time."
        outcomes = tuple(outcome_of(hook, Status.FAILED, Reason.TIMEOUT, begun=begun, detail=detail) for hook in hooks)
        for number, outcome in enumerate(outcomes, 1):
            if outcome.fatal:
                raise HookFailed(outcome.hook, Reason.TIMEOUT, outcomes=outcomes[:number])
        return Answer(result, outcomes, None, seconds * 1000)


@contextmanager
def open_gateway(
    settings: Settings | None = None,
    *,
    prepare: Prepare | None = None,
    control: bool = False,
    ssl_context: ssl.SSLContext | None = None,
) -> Iterator[SyncGateway]:
    """A `SyncGateway` that is open until the context ends. Raises as its `open` does."""
    gateway = SyncGateway(settings, prepare=prepare, control=control, ssl_context=ssl_context)
    try:
        gateway.open()
        yield gateway
    finally:
        gateway.close()


async def _run(gateway: Gateway, query: Query, result: Result, debug: str | None) -> Answer:
    with gateway.debug.tracing(debug):
        return await gateway.chain.run(query, result)


def _not_here(thread: LoopThread[Gateway]) -> None:
    if thread.is_here:
        raise RuntimeError("In the gateway's own event loop, await gateway.chain.run instead of blocking it.")


_ALL: Final[weakref.WeakSet[SyncGateway]] = weakref.WeakSet()
_OPEN: Final[set[SyncGateway]] = set()
_NOT_OURS: Final[list[object]] = []


def _close_all() -> None:
    for gateway in list(_OPEN):
        gateway.close()


def _after_fork() -> None:
    for gateway in list(_ALL):
        gateway._forked()  # noqa: SLF001 - the other half of this class


os.register_at_fork(after_in_child=_after_fork)
# Before the executors, on whose threads a store closes, end: atexit would be too late. Those of concurrent.futures
# end by the same means.
threading._register_atexit(_close_all)  # type: ignore[attr-defined]  # noqa: SLF001  # not in the stubs
