"""The standalone gateway of a supervisor: served by its workers, and told of as if it were served here."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from gateway.service.parts import CertificatePart, certificate_of
from gateway.service.workers.supervisor import supervising

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Sequence

    from gateway.runtime import Gateway
    from gateway.service.readiness import Readiness
    from gateway.service.reloading import Reloader
    from gateway.service.workers.crew import Crew
    from gateway.service.workers.supervisor import Supervisor

__all__ = ["served_by_workers"]


@asynccontextmanager
async def served_by_workers(
    gateway: Gateway,
    crew: Crew,
    groups: Sequence[Sequence[socket.socket]],
    *,
    readiness: Readiness,
    reloader: Reloader | None,
) -> AsyncIterator[Supervisor]:
    """Have `crew` answer the queries of `gateway`, a worker for each group of sockets, until the context ends.

    It is entered once the workers are ready. `readiness` and `reloader` as in `serving_queries`. Raises `ConfigError`
    for a certificate that cannot be used, and `WorkersFailed`.
    """
    settings = gateway.settings
    async with AsyncExitStack() as stack:
        # Read here, too: a certificate that cannot be used is told at once, and `/readyz` knows when it ends.
        certificate = certificate_of("server", settings.server)
        if certificate is not None:
            await stack.enter_async_context(certificate.watched())
            readiness.certificates.append(certificate)
        supervisor = await stack.enter_async_context(supervising(gateway, crew, groups))
        readiness.check(supervisor.check)
        readiness.upstreams = crew.upstreams
        if reloader is not None:
            reloader.parts += [CertificatePart("server", certificate, lambda settings: settings.server), crew]
        await supervisor.started()
        yield supervisor
