"""The transport that hooks are called through: keep-alive pools of strict HTTP/1.1 connections."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.errors import CallError, ConnectFailed, TimedOut, TlsFailed
from gateway.transport.buffers import ReplyBuffers
from gateway.transport.connect import Connector, Resolves
from gateway.transport.http1 import Connection
from gateway.transport.request import FilledForm, HeadWriter
from gateway.transport.resolver import Resolver
from gateway.transport.write_round import WriteRound

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from gateway.transport.address import AddressGuard
    from gateway.transport.protocol import Endpoint, Limits, PoolKey, Response

__all__ = ["HttpTransport"]

_TICK: Final = 0.001  # seconds
# Since TLS 1.3, a client certificate is judged after the handshake, and not every server says that it minds.
_DROPPED_AT_ONCE: Final = (
    "The connection was closed right after the TLS handshake; the other side may not accept the client certificate."
)


class HttpTransport:
    """HTTP/1.1 calls with keep-alive, one deadline for all of a call, and every address judged.

    Connections are kept per pool and origin, at most `max_idle_per_pool` and `max_idle` in all, until
    `idle_seconds` after their last call began; the one used last is used first. A request on a kept
    connection that dies before any byte of a reply came is sent once more on a fresh connection, under
    the same deadline: the server had closed it for being idle. DNS answers are kept for
    `dns_ttl_seconds`; `resolver` replaces DNS.

    Replies that are incomplete take `max_buffered_bytes` in all, shared as `gateway.transport.buffers` says.

    Compression is not asked for: integration servers are mostly near, and undoing gzip takes more of the
    event loop's time than reading the bytes. A reply that is compressed nevertheless is decoded.

    Belongs to the event loop of its first call. `guard` judges new connections, so a changed allow list
    needs a new transport.
    """

    def __init__(
        self,
        guard: AddressGuard,
        *,
        ssl_context: ssl.SSLContext | None = None,
        resolver: Resolves | None = None,
        max_idle_per_pool: int = 64,
        max_idle: int = 1024,
        idle_seconds: float = 30.0,
        dns_ttl_seconds: float = 10.0,
        max_buffered_bytes: int = 256 * 1024 * 1024,
    ) -> None:
        self._buffers = ReplyBuffers(max_buffered_bytes)
        self._writes = WriteRound()
        self._resolver = resolver or Resolver(dns_ttl_seconds)
        self._connector = Connector(guard, self._resolver, ssl_context)
        self._max_idle_per_pool = max_idle_per_pool
        self._max_idle = max_idle
        self._idle_seconds = idle_seconds
        self._head_writer = HeadWriter()
        self._idle: dict[PoolKey, list[Connection]] = {}
        self._idle_count = 0
        self._open: set[Connection] = set()
        self._connecting: set[asyncio.Timeout] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._drained: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def open_connections(self) -> int:
        """How many connections are open or being made, idle ones included."""
        return len(self._open) + len(self._connecting)

    @property
    def idle_connections(self) -> int:
        """How many connections are kept for later calls."""
        return self._idle_count

    @property
    def buffered_bytes(self) -> int:
        """How many bytes of incomplete replies are counted now."""
        return self._buffers.total - self._buffers.free

    async def exchange(
        self,
        endpoint: Endpoint,
        method: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        *,
        deadline: float,
        limits: Limits,
    ) -> Response:
        """See `gateway.transport.Transport`."""
        try:
            loop = self._loop
            if loop is None:
                loop = self._loop = asyncio.get_running_loop()
            now = loop.time()
            if self._closed:
                raise ConnectFailed("The transport is closed.")
            if deadline <= now:
                raise TimedOut("The deadline had passed before the call began.")
            if isinstance(headers, FilledForm) and headers.form.endpoint is endpoint and method == "POST":
                head = headers.form.write(headers.values, len(body))
            else:
                head = self._head_writer.write(endpoint, method, headers, len(body))
            connection = self._take(endpoint.shared, now)
            reused = connection is not None
            while True:
                if connection is None:
                    connection = await self._connect(loop, endpoint, deadline)
                connection.used_at = now
                together = len(self._open) - self._idle_count > 1
                waiter = connection.send(head, body, deadline, limits, together=together)
                try:
                    return await waiter
                except ConnectFailed:
                    if not reused or connection.began or self._closed:
                        if endpoint.shows_certificate and not (reused or connection.began or self._closed):
                            raise TlsFailed(_DROPPED_AT_ONCE) from None
                        raise
                    reused, connection = False, None
                except asyncio.CancelledError:
                    connection.give_up(waiter)
                    raise
        except CallError:
            raise
        except Exception as error:
            raise CallError("The call failed by a fault of the gateway.") from error

    async def aclose(self) -> None:
        """Close every connection and return when all are gone. Exchanges in flight fail with `ConnectFailed`."""
        self._closed = True
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None
        loop = asyncio.get_running_loop()
        for scope in self._connecting:
            if not scope.expired():
                scope.reschedule(loop.time())
        for connection in list(self._open):
            connection.fail(ConnectFailed("The transport was closed."))
        self._idle.clear()
        self._idle_count = 0
        await self._resolver.aclose()
        while self.open_connections:
            if self._drained is None:
                self._drained = loop.create_future()
            await asyncio.shield(self._drained)

    async def _connect(self, loop: asyncio.AbstractEventLoop, endpoint: Endpoint, deadline: float) -> Connection:
        connection = Connection(loop, endpoint.shared, self._keep, self._forget, self._buffers, self._writes)
        scope = asyncio.timeout_at(deadline)
        try:
            async with scope:
                self._connecting.add(scope)
                await self._connector.connect(endpoint, connection)
        except TimeoutError:
            connection.abort()
            if self._closed:
                raise ConnectFailed("The transport was closed.") from None
            raise TimedOut("The deadline passed before a connection was made.") from None
        except BaseException:
            connection.abort()
            raise
        finally:
            self._connecting.discard(scope)
            self._tell_drained()
        if self._closed or not connection.usable:
            connection.abort()
            raise ConnectFailed("The connection was closed as soon as it was made.")
        self._open.add(connection)
        return connection

    # ------------------------------------------------------------ the pools

    def _take(self, key: PoolKey, now: float) -> Connection | None:
        stack = self._idle.get(key)
        while stack:
            connection = stack.pop()
            self._idle_count -= 1
            if connection.usable and now - connection.used_at < self._idle_seconds:
                return connection
            connection.abort()
        return None

    def _keep(self, connection: Connection) -> None:
        stack = self._idle.get(connection.key)
        if stack is None:
            stack = self._idle[connection.key] = []
        if self._closed or len(stack) >= self._max_idle_per_pool:
            connection.abort()
            return
        if self._idle_count >= self._max_idle:
            self._drop_one()
        stack.append(connection)
        self._idle_count += 1
        if self._sweep_timer is None:
            self._sweep_timer = asyncio.get_running_loop().call_later(self._idle_seconds, self._sweep)

    def _drop_one(self) -> None:
        """Close the connection that is idle longest in the pool that is there longest."""
        for stack in self._idle.values():
            if stack:
                stack.pop(0).abort()
                self._idle_count -= 1
                return

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        stack = self._idle.get(connection.key)
        if stack and connection in stack:
            stack.remove(connection)
            self._idle_count -= 1
        self._tell_drained()

    def _sweep(self) -> None:
        """Close what was idle too long, forget empty pools, and come back while there is any."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - self._idle_seconds + _TICK
        for key, stack in list(self._idle.items()):
            fresh = []
            for connection in stack:
                if connection.used_at > oldest:
                    fresh.append(connection)
                else:
                    self._idle_count -= 1
                    connection.abort()
            if fresh:
                self._idle[key] = fresh
            else:
                del self._idle[key]
        self._sweep_timer = loop.call_later(self._idle_seconds, self._sweep) if self._idle else None

    def _tell_drained(self) -> None:
        if self._drained is not None and not self.open_connections and not self._drained.done():
            self._drained.set_result(None)
