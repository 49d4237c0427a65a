"""The control API as one aiohttp application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from gateway import __version__
from gateway.observe.log import get_logger
from gateway.service import openapi
from gateway.service.auth import Authenticator
from gateway.service.breakers import Breakers
from gateway.service.endpoint import add_operations
from gateway.service.failed_auth import FailedAuth
from gateway.service.problem import problem_middleware
from gateway.service.processes import NoProcesses
from gateway.service.routes.audit import AuditRoutes
from gateway.service.routes.breakers import BreakerRoutes
from gateway.service.routes.calls import CallRoutes
from gateway.service.routes.configuration import ConfigurationRoutes
from gateway.service.routes.deliveries import DeliveryRoutes
from gateway.service.routes.events import EventRoutes
from gateway.service.routes.hooks import HookRoutes
from gateway.service.routes.integrations import IntegrationRoutes
from gateway.service.routes.listening import ListeningRoutes
from gateway.service.routes.meta import MetaRoutes
from gateway.service.routes.purge import PurgeRoutes
from gateway.service.routes.query import QueryRoutes
from gateway.service.routes.rollout import RolloutRoutes
from gateway.service.routes.subscriptions import SubscriptionRoutes
from gateway.service.routes.why import WhyRoutes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from gateway.observe.metrics import GatewayMetrics
    from gateway.pipeline import Protections, QueryPipeline, Reuse
    from gateway.pipeline.insight import Insight
    from gateway.registry import HealthMonitor, Registry
    from gateway.relay.desk import Desk
    from gateway.service.endpoint import Operation
    from gateway.service.processes import Processes
    from gateway.service.readiness import Report
    from gateway.service.reloading import Reloaded

__all__ = ["AUTHENTICATOR", "MAX_BODY_BYTES", "control_app", "control_document", "control_operations"]

MAX_BODY_BYTES: Final = 1024 * 1024
AUTHENTICATOR: Final = web.AppKey("authenticator", Authenticator)

_DESCRIPTION: Final = """\
Register integration servers, declare, enable and disable their hooks; publish events and subscribe to them.

Errors are `application/problem+json` (RFC 9457). Times are RFC 3339 in UTC; durations say their unit in \
the name. Unknown members and unknown query parameters are refused with 422."""

_log = get_logger(__name__)

_TAGS: Final = {
    "integrations": "Tier one: integration servers, by the operator.",
    "hooks": "Tier two: their webhooks, by the integration servers themselves.",
    "events": "Subscribing to events, publishing them, seeing and repeating their deliveries.",
    "development": "Writing hooks: recorded calls, sent again; calls brought to one's own machine.",
    "audit": "Who changed what.",
    "queries": "Running queries, and asking what they would meet.",
    "gateway": "The gateway itself.",
}

_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}

# Compressed bodies are refused, by `body`, rather than unpacked: they are small, and unpacking is a way to be large.
_HANDLER_ARGS: Final = {"auto_decompress": False}


def control_app(
    registry: Registry,
    *,
    operator_keys: Collection[str],
    metrics: GatewayMetrics,
    pipeline: QueryPipeline | None = None,
    protections: Protections | None = None,
    health: HealthMonitor | None = None,
    insight: Insight | None = None,
    reuse: Reuse | None = None,
    desk: Desk | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
    max_failed_auth: int = 20,
    failed_auth_window_seconds: float = 60.0,
    ready: Callable[[], Awaitable[Report | None]] | None = None,
    reload: Callable[[], Awaitable[Reloaded]] | None = None,
    processes: Processes | None = None,
) -> web.Application:
    """The control API over `registry`.

    `pipeline`: where one is given, `POST /v1/query` runs it. `protections`: where they are given, the breakers of hooks
    are shown and can be reset. `health`: where it is given, integrations are shown with it.
    `insight`: where it is given, there is what answers the question why. `reuse`: the cache that a purge is about.
    `desk`: where it is given, events can be
    published and subscribed to.
    `max_body_bytes` caps request bodies. After `max_failed_auth` wrong keys
    from one address within the window, it gets 429 (0: never).
    `processes` are others that answer queries, if there are any.
    `ready` returns if the gateway can do its work and raises a `GatewayError` if not; by
    default it asks the registry's store. `reload`: where it is given, it reads the configuration again.
    Raises `ConfigError` for an operator key that cannot be sent.
    """
    failures = FailedAuth(max_failed_auth, failed_auth_window_seconds, counted=metrics.auth_failed)
    keys = Authenticator(operator_keys, registry, failures)
    for number, fingerprint in enumerate(keys.fingerprints, start=1):
        _log.info("control.operator_key", number=number, fingerprint=fingerprint)
    app = web.Application(middlewares=[problem_middleware], client_max_size=max_body_bytes, handler_args=_HANDLER_ARGS)
    app[AUTHENTICATOR] = keys
    app.on_response_prepare.append(_harden)

    async def count(_request: web.Request, response: web.StreamResponse) -> None:
        metrics.http_request("control", response.status)

    app.on_response_prepare.append(count)
    operations = control_operations(
        registry,
        metrics=metrics,
        pipeline=pipeline,
        protections=protections,
        health=health,
        insight=insight,
        reuse=reuse,
        desk=desk,
        ready=ready,
        reload=reload,
        processes=processes,
    )
    add_operations(app, operations, keys)
    return app


def control_operations(
    registry: Registry,
    *,
    metrics: GatewayMetrics,
    pipeline: QueryPipeline | None = None,
    protections: Protections | None = None,
    health: HealthMonitor | None = None,
    insight: Insight | None = None,
    reuse: Reuse | None = None,
    desk: Desk | None = None,
    ready: Callable[[], Awaitable[Report | None]] | None = None,
    reload: Callable[[], Awaitable[Reloaded]] | None = None,
    processes: Processes | None = None,
) -> list[Operation[Any, Any]]:
    """Every operation of the control API, described and ready to be called."""
    processes = processes or NoProcesses()
    breakers = None if protections is None else Breakers(protections, processes)
    operations: list[Operation[Any, Any]] = [
        *IntegrationRoutes(registry, health, desk).operations(),
        *HookRoutes(registry, breakers).operations(),
        *PurgeRoutes(registry, reuse, processes).operations(),
    ]
    operations += RolloutRoutes(registry).operations()
    if breakers is not None:
        operations += BreakerRoutes(registry, breakers).operations()
    if insight is not None:
        operations += WhyRoutes(registry, insight, processes).operations()
        operations += CallRoutes(registry, insight, processes).operations()
        operations += ListeningRoutes(registry, insight.listeners, processes).operations()
    if desk is not None:
        operations += SubscriptionRoutes(registry, desk.subscriptions).operations()
        operations += EventRoutes(registry, desk.events).operations()
        operations += DeliveryRoutes(registry, desk.subscriptions).operations()
    operations += AuditRoutes(registry).operations()
    if pipeline is not None:
        operations += QueryRoutes(pipeline, None if insight is None else insight.traces).operations()
    if reload is not None:
        operations += ConfigurationRoutes(reload).operations()
    meta = MetaRoutes(registry, metrics, ready or registry.ping, lambda: control_document(operations), processes)
    operations += meta.operations()
    return operations


def control_document(operations: Sequence[Operation[Any, Any]]) -> dict[str, Any]:
    """The OpenAPI document of the control API."""
    return openapi.document(
        operations, version=__version__, name="Query hook gateway", description=_DESCRIPTION, tags=_TAGS
    )


async def _harden(_request: web.Request, response: web.StreamResponse) -> None:
    """Headers that hold for every answer, unless a handler said otherwise."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["server"] = "gateway"
