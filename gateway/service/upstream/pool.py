"""The connections to one upstream: kept for the next request, never more than there may be."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from gateway.errors import UpstreamFailed
from gateway.service.upstream.connection import Connection
from gateway.service.upstream.heads import KnownHeads
from gateway.transport.write_round import WriteRound

if TYPE_CHECKING:
    from gateway.service.upstream.connect import Connector
    from gateway.service.upstream.limits import Limits

__all__ = ["Pool"]

_ASK_AFTER: Final = 0.5  # seconds idle; a connection used just now is hardly closed, and to ask costs a system call
_TICK: Final = 0.001  # seconds


class Pool:
    """Connections to one upstream, `limits.connections` at most; the one used last is used first.

    Whoever gets a connection from `take` or `get` begins an exchange on it or aborts it. It comes back by itself
    through `put` when the answer is whole, and leaves through `forget` when it is closed.
    """

    def __init__(self, connector: Connector, limits: Limits) -> None:
        self.limits: Final = limits
        self.known_heads: Final = KnownHeads()
        self.writes: Final = WriteRound()
        self._connector = connector
        self._open: set[Connection] = set()
        self._places = 0  # taken: by open connections, and by those being made
        self._idle: list[Connection] = []
        # Those in line get a connection, or None: a place to make one in.
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False
        self._retired = False

    @property
    def open(self) -> int:
        """How many connections are open or being made, idle ones included."""
        return self._places

    @property
    def idle(self) -> int:
        """How many connections are kept for later requests."""
        return len(self._idle)

    @property
    def busy(self) -> int:
        """How many connections have an exchange, or are being made for one."""
        return self._places - len(self._idle)

    @property
    def waiting(self) -> int:
        """How many requests wait for a connection."""
        return len(self._waiting)

    def take(self) -> Connection | None:
        """A kept connection, if there is one that can still be used."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            now = connection.loop.time()
            for_seconds = now - connection.since
            connection.since = now
            if for_seconds < connection.kept_for and (for_seconds < _ASK_AFTER or not connection.stale()):
                return connection
            connection.abort()
        return None

    async def get(self, *, fresh: bool = False) -> Connection:
        """A new connection, or, unless it has to be `fresh`, one that became free in the meantime.

        Raises `UpstreamFailed`.
        """
        if self._closed:
            raise _closed()
        if fresh and self._idle and self._places >= self.limits.connections:
            self._idle[0].abort()
        while self._places >= self.limits.connections:
            connection = await self._in_line()
            if connection is None:
                return await self._connect()
            if fresh:
                self._open.discard(connection)  # its place is kept
                connection.abort()
                return await self._connect()
            if connection.open:
                return connection
        self._places += 1
        return await self._connect()

    def put(self, connection: Connection) -> None:
        """The exchange on `connection` is over, and it may have another one."""
        if self._retired or not connection.kept_for:
            connection.abort()
            return
        connection.since = connection.loop.time()
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = connection.loop.call_later(self.limits.keep_alive, self._sweep)

    def forget(self, connection: Connection) -> None:
        """`connection` is closed."""
        if connection in self._open:
            self._open.remove(connection)
            self._free_place()
        if connection in self._idle:
            self._idle.remove(connection)

    def retire(self) -> None:
        """Keep no connection any more: idle ones are closed now, others when their answer is whole."""
        self._retired = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connection in list(self._idle):
            connection.abort()

    def close(self) -> None:
        """Close all connections; requests under way fail."""
        self._closed = True
        self.retire()
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(_closed())
        self._waiting.clear()
        for connection in list(self._open):
            connection.fail(_closed())

    async def _in_line(self) -> Connection | None:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Connection | None] = loop.create_future()
        self._waiting.append(waiter)
        timer = loop.call_later(self.limits.wait, self._give_up, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                got = waiter.result()
                if got is None:
                    self._free_place()
                elif got.open:
                    self.put(got)
            raise
        finally:
            timer.cancel()
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def _give_up(self, waiter: asyncio.Future[Connection | None]) -> None:
        if not waiter.done():
            limits = self.limits
            waiter.set_exception(
                UpstreamFailed(
                    f"All {limits.connections} connections to the query API behind the gateway were in use for "
                    f"{limits.wait:g} s (upstreams.max_connections, upstreams.wait_ms).",
                    reason="busy",
                    retry_after=1.0,
                )
            )

    def _free_place(self) -> None:
        """A place is free: for the next in line, if there is one."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._places -= 1

    async def _connect(self) -> Connection:
        """Make a connection in a place that is taken for it."""
        limits = self.limits
        connection = Connection(asyncio.get_running_loop(), self)
        try:
            async with asyncio.timeout(limits.connect):
                await self._connector.connect(connection)
        except TimeoutError:
            self._failed_to_make(connection)
            raise UpstreamFailed(
                f"No connection to the query API behind the gateway within {limits.connect:g} s "
                "(upstreams.connect_timeout_ms).",
                timed_out=True,
            ) from None
        except BaseException:
            self._failed_to_make(connection)
            raise
        if self._closed or not connection.open:
            self._failed_to_make(connection)
            raise UpstreamFailed(
                "The query API behind the gateway closed the connection as soon as it was made.", reason="broke_off"
            )
        self._open.add(connection)
        return connection

    def _failed_to_make(self, connection: Connection) -> None:
        connection.abort()
        self._free_place()

    def _sweep(self) -> None:
        """Close what was idle too long, and come back while there is any."""
        loop = asyncio.get_running_loop()
        now = loop.time() + _TICK
        for connection in list(self._idle):
            if now - connection.since >= connection.kept_for:
                connection.abort()
        self._sweeper = None
        if self._idle:
            first = min([connection.since + connection.kept_for for connection in self._idle])
            self._sweeper = loop.call_at(first, self._sweep)


def _closed() -> UpstreamFailed:
    return UpstreamFailed("The gateway is ending.", reason="failed")
