"""A worker: a process that answers queries with the registry of its supervisor.

It has the whole data path and nothing else: no store, no control API, no notifications. Nothing that a query needs is
asked of the supervisor; what there is to tell is collected by it, off the path of queries.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import AsyncExitStack
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import ConfigError
from gateway.observe.log import configure_logging, get_logger
from gateway.observe.metrics import GatewayMetrics
from gateway.pipeline.listening import ListenMode
from gateway.pipeline.trial import MAX_SHOWN_BYTES
from gateway.registry.following import FollowingRegistry
from gateway.runtime_data_path import address_guard, data_path, registry_rules
from gateway.service import garbage
from gateway.service.parts import DebugKeysPart, LogPart
from gateway.service.queries import serving_queries
from gateway.service.readiness import Readiness
from gateway.service.reloading import Reloader
from gateway.service.site import SHUTDOWN_SECONDS
from gateway.service.workers import messages
from gateway.service.workers.link import Link
from gateway.service.workers.listening import ListenedTransport
from gateway.service.workers.messages import BreakerSeen, CallNews, Ended, Gone, News, Prepared, Ready, SteppedBack
from gateway.service.workers.samples import Samples
from gateway.service.workers.share import settings_of, share_of
from gateway.transport.client import HttpTransport

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from gateway.config import LogSettings
    from gateway.pipeline.journal import Detail, Entry
    from gateway.runtime_data_path import DataPath, Steps
    from gateway.service.queries import Queries
    from gateway.service.reloading import Change

__all__ = ["work"]

log = get_logger("workers")

_LAST_WORDS_SECONDS: Final = 5.0


async def work(end: socket.socket, sockets: Sequence[socket.socket]) -> None:
    """Be a worker that answers queries on `sockets`, until the supervisor at the other end of `end` says so or is gone.

    SIGTERM ends it in the same way; SIGINT and SIGHUP, which a terminal sends to all processes, are the supervisor's
    matter.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    for number in (signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, lambda: None)
    worker = Worker(stop)
    link = worker.link
    await link.open(end)
    ending = loop.create_task(_then(link.closed, stop))
    try:
        await worker.run(sockets)
    finally:
        link.close()
        try:
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await link.closed.wait()
        except TimeoutError:  # the supervisor does not read any more
            log.warning("worker.link_not_flushed")
        ending.cancel()


async def _then(event: asyncio.Event, following: asyncio.Event) -> None:
    await event.wait()
    following.set()


class Worker:
    """What the supervisor says to a worker, and what it does about it. Ends when `stop` is set."""

    def __init__(self, stop: asyncio.Event) -> None:
        self.link = Link(messages.ToWorker, self.received)
        self._stop = stop
        self._welcomed = asyncio.Event()
        self._serving = asyncio.Event()
        self._collecting = asyncio.Lock()
        self._readiness = Readiness()
        self._changes: list[Change] = []
        self._seconds = SHUTDOWN_SECONDS
        self._told = 0  # the number of the last entry of the journal that the supervisor knows
        self._path: DataPath | None = None
        self._queries: Queries | None = None
        self._name = ""

    async def run(self, sockets: Sequence[socket.socket]) -> None:
        """Answer queries on `sockets`."""
        if not await self._first(self._welcomed):
            return
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._transport.aclose)
            path, self._steps = await stack.enter_async_context(
                data_path(
                    self._settings,
                    self._registry,
                    self._transport,
                    self._calls,
                    GatewayMetrics(),
                    breakers=[self],
                    now=time.time,
                )
            )
            path.debug.accept(self._operator_keys)
            self._path, self._samples = path, Samples(path.metrics.families)
            self.link.tell(Ready())
            if not await self._first(self._serving):
                return
            queries = self._queries = await stack.enter_async_context(
                serving_queries(path, sockets, readiness=self._readiness, reloader=self._reloader, name=self._name)
            )
            self._reloader.parts += [DebugKeysPart(path.debug, self._operator_keys), LogPart(self._configure_log)]
            log.info("worker.serves")
            garbage.settle()
            await self._stop.wait()
            broken_off = await queries.drain(self._seconds)
            log.info("worker.ends", broken_off=broken_off)
            await self._collect()
            self.link.tell(Ended(broken_off))

    async def _first(self, event: asyncio.Event) -> bool:
        """Whether `event` comes before the end."""
        waiting = [asyncio.ensure_future(each.wait()) for each in (event, self._stop)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
        return event.is_set() and not self._stop.is_set()

    # ------------------------------------------------------------ the supervisor says

    def received(self, message: Any) -> Any:
        """Do what `message` says; the answer, if it wants one."""
        match message:
            case messages.Show(update):
                self._registry.take(update)
            case messages.Collect():
                return self._collect()
            case messages.Welcome():
                self._welcome(message)
            case messages.Serve():
                self._serving.set()
            case messages.EndConnections():
                if self._queries is not None:
                    self._queries.end_connections()
            case messages.Stop(seconds):
                self._seconds = seconds
                self._stop.set()
            case messages.Prepare(document, changed):
                return self._prepare(document, frozenset(changed))
            case messages.Apply(discard):
                return self._apply(discard=discard)
            case messages.Drain(hook_ids):
                return self._registry.drained(hook_ids)
            case messages.Listen(hook_id, mode):
                self._listen(hook_id, mode)
            case _:
                return None if self._path is None else self._asked(self._path, message)
        return None

    def _asked(self, path: DataPath, message: Any) -> Any:
        match message:
            case messages.Purge(hook_id):
                return path.reuse.purge(hook_id)
            case messages.ReadBreaker(hook_id):
                return self._breaker(path, hook_id)
            case messages.ResetBreaker(hook_id):
                found = path.protections.present(hook_id)
                if found is not None:
                    found.breaker.reset()
                return None
            case messages.FindTrace(trace_id):
                return self._trace(path, self._steps, trace_id)
        raise AssertionError(message)  # the link decodes nothing else

    def _welcome(self, said: messages.Welcome) -> None:
        settings = share_of(settings_of(said.settings), said.workers)
        self._name = said.name
        self._always = {"worker": said.number, "pid": os.getpid()}
        self._configure_log(settings.log)
        self._workers = said.workers
        self._settings = settings
        self._reloader = Reloader(settings, lambda: settings)
        self._operator_keys = said.operator_keys
        guard = address_guard(settings)
        self._transport = HttpTransport(guard, max_buffered_bytes=settings.calls.max_buffered_bytes)
        self._calls = ListenedTransport(self._transport, self.link.ask)
        self._registry = FollowingRegistry(registry_rules(settings, guard, processes=said.workers), self)
        self._registry.take(said.registry)
        for hook_id, mode in said.listened.items():
            self._listen(hook_id, mode)
        self._welcomed.set()

    def _configure_log(self, wanted: LogSettings) -> None:
        configure_logging(wanted.format, wanted.level, sys.stderr, always=self._always)

    async def _prepare(self, document: dict[str, Any], changed: frozenset[str]) -> Prepared:
        """What the parts of this worker make of new settings. Raises `ConfigError`; then nothing is prepared."""
        await self._apply(discard=True)
        settings = share_of(settings_of(document), self._workers)
        try:
            for part in self._reloader.parts:
                self._changes.append(await part.prepare(settings, changed))
        except ConfigError:
            await self._apply(discard=True)
            raise
        return Prepared(
            sorted(frozenset[str]().union(*(each.applied for each in self._changes))),
            [name for each in self._changes for name in each.renewed],
        )

    async def _apply(self, *, discard: bool) -> None:
        """Take what was prepared, or forget it."""
        changes, self._changes = self._changes, []
        for change in changes:
            step = change.discard if discard else change.apply
            if step is not None:
                await step()

    def _listen(self, hook_id: str, mode: str | None) -> None:
        if mode is None:
            self._calls.modes.pop(hook_id, None)
        else:
            self._calls.modes[hook_id] = ListenMode(mode)

    def _breaker(self, path: DataPath, hook_id: str) -> BreakerSeen | None:
        found = path.protections.present(hook_id)
        if found is None:
            return None
        hook, bulkhead = found.hook, found.bulkhead
        view = found.breaker.view()
        return BreakerSeen(hook_id, hook.fresh_since, hook.endpoint.url, view, bulkhead.in_use, bulkhead.waiting)

    async def _trace(self, path: DataPath, steps: Steps, trace_id: str) -> bytes | None:
        trace = path.traces.get(trace_id)
        if trace is None:
            return None
        # The models of the control API take as long to load as a tenth of a worker's start, and are rarely needed here.
        from gateway.service.models.why import TraceView

        calls = await asyncio.to_thread(trace.calls, steps.redaction, MAX_SHOWN_BYTES)
        return TraceView.of(trace, calls, steps.chain, steps.redaction).model_dump_json().encode()

    async def _collect(self) -> float:
        """Tell what happened since the last time; the seconds that this took."""
        path = self._path
        if path is None:
            return 0.0
        async with self._collecting:
            begun = perf_counter()
            path.metrics.tidy()
            families, ended = await asyncio.to_thread(self._samples.news)
            entries = path.journal.after(self._told)
            self._told = path.journal.number
            upstreams = [(each.url, each.state, each.why) for each in self._readiness.upstreams()]
            self.link.tell(News([_call_news(*each) for each in entries], families, ended, upstreams))
            return perf_counter() - begun

    # ------------------------------------------------------------ the data path says

    def gone(self, hook_id: str, generation: int) -> None:
        """Tell the supervisor that a hook is gone."""
        self.link.tell(Gone(hook_id, generation))

    def stepped_back(self, hook_id: str, generation: int, why: str) -> None:
        """Tell the supervisor that a canary left its bounds."""
        self.link.tell(SteppedBack(hook_id, generation, why))

    def breaker_changed(self, integration: str, hook: str, hook_id: str, state: str, why: str) -> None:  # noqa: ARG002
        """Tell the supervisor how the breaker of a hook stands now, once whatever changes it is through with that."""
        asyncio.get_running_loop().call_soon(partial(self._tell_breaker, hook_id))

    def _tell_breaker(self, hook_id: str) -> None:
        seen = None if self._path is None else self._breaker(self._path, hook_id)
        if seen is not None:
            self.link.tell(seen)


def _call_news(entry: Entry, detail: Detail | None) -> CallNews:
    exchange = diff = None
    if detail is not None:
        exchange, diff = detail.exchange, detail.diff
    return CallNews(
        entry.at,
        _text(entry.query_id),
        _text(entry.type),
        None if entry.capability is None else _text(entry.capability),
        None if entry.tenant is None else _text(entry.tenant),
        entry.outcome,
        entry.would_be,
        exchange,
        None if diff is None else diff.patch,
        None if diff is None else diff.note,
    )


def _text(given: str) -> str:
    """`given`, of which a client may have made anything: without what no UTF-8 can say."""
    return given if given.isascii() else given.encode("utf-8", "replace").decode()
