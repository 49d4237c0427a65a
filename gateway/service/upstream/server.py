"""One server behind the gateway: its connections, its health, and who looks after it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

from gateway.errors import UpstreamFailed
from gateway.service.messages import RequestHead
from gateway.service.upstream.health import Health, UpstreamStatus
from gateway.service.upstream.pool import Pool
from gateway.service.upstream.request import HeadWriter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.service.upstream.connect import Connector
    from gateway.service.upstream.connection import Connection
    from gateway.service.upstream.limits import Limits
    from gateway.transport.origin import Origin

__all__ = ["Server"]

_NO_CONNECTION: Final = frozenset({"refused", "dns", "tls", "timeout", "broke_off"})
_HEALTH_ANSWER: Final = (
    1024 * 1024
)  # bytes of a health check's answer that are read, so that the connection can be kept


class Server:
    """What several base URLs on one server share. `sleep` waits for seconds."""

    def __init__(
        self,
        origin: Origin,
        connector: Connector,
        limits: Limits,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.origin = origin
        self.pool = Pool(connector, limits)
        self.health = Health(str(origin), limits, clock)
        self.heads = HeadWriter()
        self.requests = 0
        self.failures: Counter[str] = Counter()
        self._limits = limits
        self._sleep = sleep
        self._watch: asyncio.Task[None] | None = None
        self._ended = False

    def start(self) -> None:
        """Begin with the health checks, if there are to be any."""
        if self._limits.health_path is not None and self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self._check_for_ever())

    async def aclose(self) -> None:
        """End what looks after it, and close all connections."""
        self.pool.close()
        await self._end_watch()

    def retire(self) -> None:
        """Look after it no more, and keep no connection."""
        self._ended = True
        self.pool.retire()
        if self._watch is not None:
            self._watch.cancel()

    def status(self) -> UpstreamStatus:
        """How it stands."""
        health, pool = self.health, self.pool
        return UpstreamStatus(
            url=str(self.origin),
            state=health.state,
            since=health.since,
            why=health.why,
            open=pool.open,
            idle=pool.idle,
            waiting=pool.waiting,
            requests=self.requests,
            failures=dict(self.failures),
        )

    async def connection(self, *, fresh: bool) -> Connection:
        """A new connection, or, unless it has to be `fresh`, one that just became free. Raises `UpstreamFailed`."""
        health = self.health
        if health.down:
            raise self.is_down()
        try:
            connection = await self.pool.get(fresh=fresh)
        except UpstreamFailed as error:
            if error.reason in _NO_CONNECTION:
                self.failed(error.detail)
            raise
        if not health.settled:
            health.good()
        return connection

    def is_down(self) -> UpstreamFailed:
        """The error for a request that is not even tried."""
        pause = self.health.pause()
        return UpstreamFailed(
            f"The query API behind the gateway is down: {self.health.why} The gateway tries it again in {pause:.1f} s.",
            reason="down",
            retry_after=pause,
        )

    def failed(self, why: str, *, checked: bool = False) -> None:
        """No connection could be made, or a health check failed."""
        if self.health.bad(why, checked=checked) and self._watch is None and not self._ended:
            self._watch = asyncio.get_running_loop().create_task(self._try_until_up())

    # ------------------------------------------------------------ looking after it

    async def _try_until_up(self) -> None:
        """Make a connection now and then, so that no request has to find out."""
        health = self.health
        try:
            while health.down:
                await self._sleep(health.pause())
                try:
                    connection = await self.pool.get()
                except UpstreamFailed as error:
                    if error.reason in _NO_CONNECTION:
                        health.bad(error.detail)
                        continue
                    return
                health.good()
                self.pool.put(connection)
        finally:
            self._watch = None

    async def _check_for_ever(self) -> None:
        health, limits = self.health, self._limits
        while True:
            error = await self._check()
            if error is None:
                health.good(checked=True)
            else:
                self.failed(error, checked=True)
            await self._sleep(min(health.pause(), limits.health_interval) if health.down else limits.health_interval)

    async def _check(self) -> str | None:
        """What is wrong with it; `None` if it answers well."""
        limits = self._limits
        headers = [(b"host", self.origin.authority.encode()), (b"user-agent", b"query-hook-gateway")]
        head = RequestHead("GET", limits.health_path or "/", headers)
        request = HeadWriter().write(head, 0)
        try:
            async with asyncio.timeout(limits.health_timeout):
                connection = self.pool.take() or await self.pool.get()
                asked = connection.begin(request, head, whole=True)
                try:
                    answer = await asked
                    while answer.following is not None:
                        answer = await answer.following
                except BaseException:
                    connection.give_up(asked)
                    raise
                try:
                    await answer.whole(_HEALTH_ANSWER)
                finally:
                    answer.release()
        except TimeoutError:
            return (
                f"The health check was not answered within {limits.health_timeout:g} s (upstreams.health_timeout_ms)."
            )
        except UpstreamFailed as error:
            return error.detail
        if answer.head.status < 400:
            return None
        return f"The health check was answered with {answer.head.status}."

    async def _end_watch(self) -> None:
        self._ended = True
        watch = self._watch
        if watch is not None:
            watch.cancel()
            await asyncio.wait((watch,))
            self._watch = None
