"""Sending requests to a query API behind the gateway."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Self

from gateway.errors import UpstreamFailed
from gateway.service.messages import value_of
from gateway.service.upstream.connect import Connector, tls_context
from gateway.service.upstream.limits import Limits
from gateway.service.upstream.request import IDEMPOTENT
from gateway.service.upstream.server import Server
from gateway.service.upstream.upload import COLLECTED, BytesBody, collected, upload
from gateway.transport.origin import Origin, parse_origin

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    from gateway.service.messages import Body, RequestHead, ResponseHead
    from gateway.service.upstream.answer import UpstreamAnswer
    from gateway.service.upstream.connection import Connection
    from gateway.service.upstream.health import UpstreamStatus

    Informational = Callable[[ResponseHead], Awaitable[None]]

__all__ = ["Upstream", "Upstreams"]


class Upstream:
    """One base URL. Requests to the same server share its connections, whatever their base paths are."""

    __slots__ = ("_base", "_pool", "_server", "authority")

    def __init__(self, server: Server, origin: Origin) -> None:
        self.authority = origin.authority.encode()
        self._server = server
        self._pool = server.pool
        self._base = origin.base

    def target(self, path_and_query: str) -> str:
        """What to ask for: the base path with the request's own path and query behind it."""
        return self._base + path_and_query

    async def send(
        self,
        head: RequestHead,
        body: Body | bytes | None,
        *,
        informational: Informational | None = None,
    ) -> UpstreamAnswer:
        """Send a request and wait for the head of its answer; who gets the answer calls its `release`.

        `head.target` is complete (see `target`), and `head.headers` has the `host` header. What it says of
        `content-length` and `transfer-encoding` is replaced: a body whose length is known has a `content-length`,
        others are chunked, with their trailers. A body of up to 64 KiB is sent in one write with the head. A longer one
        is sent while the answer may come already; one that is refused (300 and above) before its end is not sent on.
        With `expect: 100-continue` in `head`, the first piece of a body is not asked for before the upstream wants it,
        or a second has passed.

        `informational` is told of interim answers (1xx), but not of 100. After a connection that broke before a byte of
        the answer came, an idempotent request whose body is still here is sent again, on a new connection.

        Raises `UpstreamFailed`, and what `body` and `informational` raise.
        """
        server = self._server
        health = server.health
        server.requests += 1
        streamed: Body | None = None
        if body is None:
            request = server.heads.write(head, 0)
        elif not isinstance(body, bytes):
            length = body.length
            if length is not None and length <= COLLECTED and value_of(head.headers, b"expect") is None:
                body = await collected(body, length)
                request = server.heads.write(head, length) + body
            else:
                streamed = body
                request = server.heads.write(head, length)
        elif len(body) <= COLLECTED:
            request = server.heads.write(head, len(body)) + body
        else:
            request = server.heads.write(head, len(body))
            streamed = BytesBody(body)
        repeated = 0
        while True:
            began = reused = False
            try:
                if health.down and health.checked and not repeated:
                    raise server.is_down()
                connection = None if repeated else self._pool.take()
                if connection is None:
                    connection = await server.connection(fresh=repeated > 0)
                reused = connection.reused
                asked = connection.begin(request, head, whole=streamed is None)
                try:
                    if streamed is not None:
                        self._send_body(connection, head, streamed)
                    answer = await asked
                    while answer.following is not None:
                        if informational is not None and answer.head.status != 100:
                            await informational(answer.head)
                        answer = await answer.following
                except BaseException:
                    began = connection.began
                    connection.give_up(asked)
                    raise
            except UpstreamFailed as error:
                if began or error.reason != "broke_off" or not self._may_repeat(head, streamed, repeated):
                    error.place = str(server.origin)
                    server.failures[error.reason] += 1
                    raise
            else:
                # The upstream had given up the connection, and this is what it said then (RFC 9110, section 15.5.9).
                if answer.head.status != 408 or not reused or not self._may_repeat(head, streamed, repeated):
                    if not health.settled:
                        health.good()
                    return answer
                answer.release()
            repeated += 1
            if isinstance(body, bytes) and streamed is not None:
                streamed = BytesBody(body)

    def _may_repeat(self, head: RequestHead, streamed: Body | None, repeated: int) -> bool:
        """Whether a request that was sent `repeated` times beside the first is sent once more."""
        here = streamed is None or isinstance(streamed, BytesBody)
        return here and head.method in IDEMPOTENT and repeated < self._pool.limits.retries

    def _send_body(self, connection: Connection, head: RequestHead, body: Body) -> None:
        go_ahead = None
        if value_of(head.headers, b"expect") is not None:
            go_ahead = connection.loop.create_future()
        connection.uploading(connection.loop.create_task(upload(connection, body, go_ahead)), go_ahead)


class Upstreams:
    """All query APIs behind the gateway, each with its connections and its health. An async context.

    `context` secures connections to https upstreams; without it, the system's authorities are trusted. `clock` gives
    seconds and never goes back; `sleep` waits for seconds.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._limits = limits or Limits()
        self._context = context
        self._clock = clock
        self._sleep = sleep
        self._upstreams: dict[str, Upstream] = {}
        self._servers: dict[tuple[str, str], Server] = {}
        self._running = False

    async def __aenter__(self) -> Self:
        self._running = True
        for server in self._servers.values():
            server.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    def at(self, url: str) -> Upstream:
        """The upstream at a base URL: `http://…`, `https://…` or `http+unix:///path/to.sock`.

        On a unix socket, a base path may follow after a colon: `http+unix:///run/api.sock:/base`. Raises `ValueError`
        for what is no such URL, and `ConfigError` if there is no way to speak TLS.
        """
        found = self._upstreams.get(url)
        if found is None:
            origin = parse_origin(url)
            found = self._upstreams[url] = Upstream(self._server(origin), origin)
        return found

    def status(self) -> list[UpstreamStatus]:
        """How each server stands, in the order of their first use."""
        return [server.status() for server in self._servers.values()]

    def retire(self) -> None:
        """Others take over: look after the servers no more, and keep no connection. What is under way goes on."""
        for server in self._servers.values():
            server.retire()

    async def aclose(self) -> None:
        """Close all connections; requests under way fail."""
        self._running = False
        for server in self._servers.values():
            await server.aclose()

    def _server(self, origin: Origin) -> Server:
        key = (origin.scheme, origin.place)
        server = self._servers.get(key)
        if server is None:
            if origin.secure and self._context is None:
                self._context = tls_context()
            root = Origin(origin.scheme, origin.host, origin.port, origin.socket)
            connector = Connector(root, self._context)
            server = Server(root, connector, self._limits, clock=self._clock, sleep=self._sleep)
            self._servers[key] = server
            if self._running:
                server.start()
        return server
