"""The control API of a gateway on bound sockets."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

from gateway.service.control import AUTHENTICATOR, control_app
from gateway.service.data_source import HttpDataSource
from gateway.service.parts import CertificatePart, ChainPart, DebugKeysPart, OperatorsPart, certificate_of
from gateway.service.readiness import Readiness
from gateway.service.site import serve_sockets

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import AsyncIterator, Sequence

    from gateway.pipeline import QueryPipeline
    from gateway.runtime import Gateway
    from gateway.service.processes import Processes
    from gateway.service.reloading import Reloader

__all__ = ["serving_control"]


@asynccontextmanager
async def serving_control(
    gateway: Gateway,
    keys: Sequence[str],
    sockets: Sequence[socket.socket],
    *,
    readiness: Readiness | None = None,
    reloader: Reloader | None = None,
    at_once: asyncio.Event | None = None,
    processes: Processes | None = None,
) -> AsyncIterator[None]:
    """Serve the control API of `gateway` on bound sockets until the context ends. `keys` are the operators'.

    With a `reloader` there is a call that reloads, and what is served here takes part in it. At the end, calls in
    flight are answered first, unless `at_once` is set. `processes` are others that answer queries.
    Raises `ConfigError` for a certificate that cannot be used.
    """
    settings = gateway.settings
    async with AsyncExitStack() as stack:
        pipeline: QueryPipeline | None = None
        if settings.data_source.url is not None:
            session = await stack.enter_async_context(
                aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
            )
            pipeline = gateway.pipeline(HttpDataSource(session, settings.data_source.url))
        certificate = certificate_of("control", settings.control)
        readiness = readiness or Readiness(gateway.registry.ping, gateway.events.ping)
        app = control_app(
            gateway.registry,
            operator_keys=keys,
            metrics=gateway.metrics,
            pipeline=pipeline,
            protections=gateway.protections,
            health=gateway.health,
            insight=gateway.insight,
            desk=gateway.desk,
            ready=readiness,
            reload=reloader.reload if reloader is not None else None,
            reuse=gateway.reuse,
            processes=processes,
            max_body_bytes=settings.control.max_body_bytes,
            max_failed_auth=settings.control.max_failed_auth,
            failed_auth_window_seconds=settings.control.failed_auth_window_seconds,
        )
        gateway.debug.accept(keys)
        if certificate is not None:
            readiness.certificates.append(certificate)
            await stack.enter_async_context(certificate.watched())
        if reloader is not None:
            reloader.parts += [
                CertificatePart("control", certificate, lambda settings: settings.control),
                OperatorsPart(app[AUTHENTICATOR]),
                DebugKeysPart(gateway.debug, keys),
                ChainPart(gateway),
            ]
        context = None if certificate is None else certificate.context
        await stack.enter_async_context(serve_sockets(app, sockets, ssl_context=context, at_once=at_once))
        yield
