"""The standalone gateway on bound sockets: served, changed while it runs, drained.

Whoever has a data path and sockets serves queries with it: the one process of `gateway serve`, and each worker.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Final, Self

from gateway.service.access_log import access_log, noting
from gateway.service.front import Front, FrontSettings
from gateway.service.parts import CertificatePart, ChainPart, certificate_of
from gateway.service.proxy import handler_of, opened_upstreams, pseudonym
from gateway.service.readiness import KnownUpstream
from gateway.service.reloading import Change
from gateway.service.site import SHUTDOWN_SECONDS

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Sequence

    from gateway.config import Settings
    from gateway.runtime_data_path import DataPath
    from gateway.service.access_log import AccessLog
    from gateway.service.front import Access, Handler
    from gateway.service.readiness import Readiness
    from gateway.service.reloading import Reloader
    from gateway.service.upstream import Upstreams

__all__ = ["Queries", "serving_queries"]

_LIMITS: Final = frozenset(f"server.{limit.name}" for limit in fields(FrontSettings))
_ACCESS: Final = frozenset({"server.access_log", "server.access_log_query"})
_ROUTES: Final = frozenset({"upstream", "routes", "trusted_proxies"})
_LARGEST: Final = "calls.max_result_bytes"


class Queries:
    """The standalone gateway of one process while it is served.

    It takes new routes, upstreams, limits and log settings while connections are open: a request ends as it began.
    """

    def __init__(self, gateway: DataPath, name: str | None = None) -> None:
        self._gateway = gateway
        self._settings = gateway.settings
        self._name = name or pseudonym()  # the same one over every reload, so that a circle is noticed
        self._upstreams = opened_upstreams(self._settings)
        self._retired: list[Upstreams] = []
        log = access_log(self._settings.server)
        self._front = Front(
            self._handler(self._settings, self._upstreams, log),
            FrontSettings.of(self._settings.server),
            tallies=gateway.metrics.http_requests("gateway"),
            access=_written(log),
        )

    async def __aenter__(self) -> Self:
        await self._upstreams.__aenter__()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._front.drain(SHUTDOWN_SECONDS)
        for upstreams in (*self._retired, self._upstreams):
            await upstreams.aclose()

    @property
    def front(self) -> Front:
        """The server that clients speak to."""
        return self._front

    def upstreams(self) -> list[KnownUpstream]:
        """What is known of the query APIs."""
        return [KnownUpstream(each.url, each.state.value, each.why) for each in self._upstreams.status()]

    async def stop_accepting(self) -> None:
        """Take no further connections; those that are open live on. Idempotent."""
        await self._front.stop_accepting()

    def end_connections(self) -> None:
        """From now on, each answer is the last one on its connection. New connections are still taken."""
        self._front.end_connections()

    async def drain(self, seconds: float) -> int:
        """Answer what is in flight, for at most `seconds`; returns how many requests were broken off."""
        return await self._front.drain(seconds)

    async def prepare(self, settings: Settings, changed: frozenset[str]) -> Change:
        """What of `settings` can be taken: see `gateway.service.reloading`. Raises `ConfigError`."""
        applied = frozenset(
            key for key in changed if key in _LIMITS | _ACCESS | _ROUTES | {_LARGEST} or key.startswith("upstreams.")
        )
        if not applied:
            return Change()
        # Of [calls], only the largest result is asked for here.
        taken = self._settings.model_copy(
            update={name: getattr(settings, name) for name in (*_ROUTES, "upstreams", "server", "calls")}
        )
        moved = any(key.startswith("upstreams.") for key in applied) or _urls(taken) != _urls(self._settings)
        upstreams = opened_upstreams(taken) if moved else self._upstreams

        async def apply() -> None:
            log = access_log(taken.server)
            handler = self._handler(taken, upstreams, log)
            before = self._upstreams
            if upstreams is not before:
                await upstreams.__aenter__()
            self._settings, self._upstreams = taken, upstreams
            self._front.handler = handler
            self._front.access = _written(log)
            self._front.settings = FrontSettings.of(taken.server)
            if upstreams is not before:
                before.retire()
                self._retired.append(before)
                await self._close_retired()

        return Change(applied, apply)

    async def _close_retired(self) -> None:
        """Forget upstreams of earlier configurations that no request is under way to."""
        for upstreams in list(self._retired):
            if not any(status.open or status.waiting for status in upstreams.status()):
                self._retired.remove(upstreams)
                await upstreams.aclose()

    def _handler(self, settings: Settings, upstreams: Upstreams, log: AccessLog | None) -> Handler:
        handler = handler_of(self._gateway, settings, upstreams, self._name)
        return handler if log is None else noting(handler)


@asynccontextmanager
async def serving_queries(
    gateway: DataPath,
    sockets: Sequence[socket.socket],
    *,
    readiness: Readiness | None = None,
    reloader: Reloader | None = None,
    name: str | None = None,
) -> AsyncIterator[Queries]:
    """Serve the routes of `gateway.settings` on bound sockets, which stay the caller's, until the context ends.

    What is not drained before is given a few seconds then. `readiness` gets to know what is served here, and `reloader`
    what of it can be changed. `name` is the gateway's in `via`, by default a new one.
    Raises `ConfigError` for a certificate that cannot be used.
    """
    settings = gateway.settings
    certificate = certificate_of("server", settings.server)
    async with AsyncExitStack() as stack:
        queries = await stack.enter_async_context(Queries(gateway, name))
        if certificate is not None:
            await stack.enter_async_context(certificate.watched())
        if readiness is not None:
            readiness.upstreams = queries.upstreams
            readiness.certificates += [] if certificate is None else [certificate]
        if reloader is not None:
            reloader.parts += [
                CertificatePart("server", certificate, lambda settings: settings.server),
                ChainPart(gateway),
                queries,
            ]
        for each in sockets:
            await queries.front.listen(each, ssl_context=None if certificate is None else certificate.context)
        yield queries


def _written(log: AccessLog | None) -> Callable[[Access], None] | None:
    return None if log is None else log.write


def _urls(settings: Settings) -> set[str]:
    return {route.upstream for route in settings.effective_routes()}
