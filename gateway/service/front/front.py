"""The server: its listening sockets, its connections, and what they share."""

from __future__ import annotations

import asyncio
import socket
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from gateway.model.ids import IdSource
from gateway.observe.log import get_logger
from gateway.observe.request_series import Tallies
from gateway.service.front.access import NO_NOTES, Access
from gateway.service.front.connection import Connection
from gateway.service.front.refusal import RequestRefused, problem_body
from gateway.service.front.writing import HttpDate
from gateway.transport.write_round import WriteRound

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from gateway.service.front.exchange import Exchange, Handler
    from gateway.service.front.settings import FrontSettings

__all__ = ["Front"]

_BACKLOG: Final = 1024
_SWEEP_SECONDS: Final = 1.0
_TLS_END_SECONDS: Final = 5.0
_CLIENT_GONE: Final = 499  # in the access log only, as nginx writes it
_TOLD_OFF: Final = 64  # connections beyond the limit that are told so; more are closed without a word

_RETRY_SOON: Final = ((b"retry-after", b"1"),)

_request_id = IdSource("req")
_log = get_logger(__name__)


class Front:
    """Serves HTTP/1.1 on any number of sockets and hands requests to `handler`, in one task for each connection.

    `handler` may be replaced at any time; requests in flight keep the one that they began with. Once a request is over,
    it is counted in `tallies`, and `access`, which may be replaced too, is told of it. `clock` gives seconds, and only
    its differences count. The numbers `in_flight`, `accepted`, `requests` and `refusals` may be read at any time.
    """

    def __init__(
        self,
        handler: Handler,
        settings: FrontSettings,
        *,
        tallies: Tallies | None = None,
        access: Callable[[Access], None] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.handler = handler
        self.settings = settings
        self.access = access
        self.clock = clock
        self.date = HttpDate()
        self.writes = WriteRound()
        self.is_draining = False
        self.ends_connections = False  # each answer is the last one on its connection
        self.in_flight = 0  # requests that are being handled
        self.accepted = 0  # connections, ever
        self.requests = 0  # handled to their end, ever
        self.refusals = 0  # what was no request, or one too many, ever
        self._tallies = Tallies() if tallies is None else tallies
        self._connections: set[Connection] = set()
        self._servers: list[asyncio.AbstractServer] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._gone: asyncio.Event = asyncio.Event()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    async def listen(self, sock: socket.socket, *, ssl_context: ssl.SSLContext | None = None) -> None:
        """Accept connections on `sock`, which is bound, until `stop_accepting`; may be called for several."""
        loop = asyncio.get_running_loop()
        scheme = "http"
        if ssl_context is not None:
            scheme = "https"
            ssl_context.set_alpn_protocols(["http/1.1"])
        shared: dict[str, Any] = {"sock": sock, "backlog": _BACKLOG}
        if ssl_context is not None:
            shared["ssl"] = ssl_context
            shared["ssl_handshake_timeout"] = self.settings.head_timeout_seconds
            shared["ssl_shutdown_timeout"] = _TLS_END_SECONDS

        def connection() -> Connection:
            return Connection(self, loop, scheme)

        if sock.family == socket.AF_UNIX:
            server = await loop.create_unix_server(connection, **shared)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a peer that vanished is noticed some day
            server = await loop.create_server(connection, **shared)
        self._servers.append(server)

    async def stop_accepting(self) -> None:
        """Close the listening sockets. Connections that are open go on."""
        for server in self._servers:
            server.close()
        self._servers.clear()

    def end_connections(self) -> None:
        """From now on, each answer is the last one on its connection. New connections are still taken."""
        self.ends_connections = True

    async def drain(self, seconds: float) -> int:
        """Answer what is in flight, take no more, and close; what is left after `seconds` is broken off.

        Returns how many requests were broken off.
        """
        await self.stop_accepting()
        self.is_draining = self.ends_connections = True
        for connection in list(self._connections):
            connection.begin_draining()
        broken_off = 0
        if not await self._all_gone(seconds):
            broken_off = self.in_flight
            for connection in list(self._connections):
                connection.abort()
            await self._all_gone(_SWEEP_SECONDS)
        self.stop_sweeping()
        return broken_off

    def sweep(self) -> None:
        """Act on what is overdue. Runs by itself about once a second while there are connections."""
        now = self.clock()
        for connection in list(self._connections):
            connection.check(now)

    # ------------------------------------------------------------ for the connections

    def admit(self, connection: Connection) -> RequestRefused | None:
        """A connection has been made; an error if it is one too many.

        Such a client is answered rather than left waiting in the backlog: a load balancer can then turn to another
        instance at once.
        """
        self.accepted += 1
        self._connections.add(connection)
        if self._sweeper is None:
            self._sweep_later(connection.loop)
        beyond = len(self._connections) - self.settings.max_connections
        if beyond > _TOLD_OFF:
            connection.abort()
        if beyond > 0:
            return RequestRefused(
                503, "The server has as many connections as it may have (server.max_connections).", _RETRY_SOON
            )
        if self.is_draining:
            return RequestRefused(
                503, "The server is about to stop; another connection may reach another one.", _RETRY_SOON
            )
        return None

    def forget(self, connection: Connection) -> None:
        """A connection is gone."""
        self._connections.discard(connection)
        if not self._connections and not self.in_flight:
            self._gone.set()

    def finished(self, exchange: Exchange, connection: Connection, now: float) -> None:
        """A request has been handled, one way or another."""
        self.in_flight -= 1
        self.requests += 1
        status = exchange.status or _CLIENT_GONE
        self._tallies[status].count += 1
        if self.access is not None:
            head = exchange.head
            self.access(
                Access(
                    head.method,
                    head.target,
                    status,
                    exchange.bytes_in,
                    exchange.bytes_out,
                    now - exchange.started,
                    connection.client,
                    head.minor,
                    connection.scheme,
                    exchange.ended,
                    exchange.notes,
                )
            )
        if not self._connections and not self.in_flight:
            self._gone.set()

    def refused(self, refusal: RequestRefused, connection: Connection, size: int) -> None:
        """Something was answered that is no request, or is one too many."""
        self.refusals += 1
        _log.debug("front.refused", status=refusal.status, detail=refusal.detail, client=connection.client)
        self._tallies[refusal.status].count += 1
        if self.access is not None:
            self.access(
                Access(
                    "-", "-", refusal.status, 0, size, 0.0, connection.client, 1, connection.scheme, True, NO_NOTES
                )
            )  # fmt: skip

    def broken(self, exchange: Exchange, error: Exception) -> bytes:
        """A handler raised: log it, and return what the client is told."""
        instance = f"urn:gateway:request:{_request_id()}"
        _log.error(
            "front.broken", request=instance, method=exchange.head.method, path=exchange.head.path,
            error=type(error).__name__, exc_info=error,
        )  # fmt: skip
        detail = "Something is broken in the gateway itself; its log has more under this instance."
        return problem_body(500, detail, instance)

    def unanswered(self, exchange: Exchange) -> bytes:
        """A handler returned without a whole answer: log it, and return what the client is told."""
        instance = f"urn:gateway:request:{_request_id()}"
        _log.error(
            "front.unanswered", request=instance, method=exchange.head.method, path=exchange.head.path,
            begun=exchange.begun,
        )  # fmt: skip
        detail = "The gateway did not answer this request; its log has more under this instance."
        return problem_body(500, detail, instance)

    # ------------------------------------------------------------ time

    def stop_sweeping(self) -> None:
        """Look after connections no more, until there is another one."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def _sweep_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweeper = loop.call_later(_SWEEP_SECONDS, self._sweep_again, loop)

    def _sweep_again(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweeper = None
        if self._connections:
            self._sweep_later(loop)
            self.sweep()

    async def _all_gone(self, seconds: float) -> bool:
        if self._connections or self.in_flight:
            self._gone.clear()
            try:
                await asyncio.wait_for(self._gone.wait(), seconds)
            except TimeoutError:
                return False
        return True
