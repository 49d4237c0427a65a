"""The standalone gateway out of the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config import Selector
from gateway.service.proxy.asked import Take
from gateway.service.proxy.handler import proxy_handler
from gateway.service.proxy.routes import MediaTypes, Route
from gateway.service.upstream import Limits, Upstreams, tls_context

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config import RouteSettings, Settings, UpstreamSettings
    from gateway.runtime_data_path import DataPath
    from gateway.service.front import Handler
    from gateway.wire.path_pattern import PathPattern

__all__ = ["handler_of", "limits_of", "opened_upstreams", "route_of"]


def handler_of(path: DataPath, settings: Settings, upstreams: Upstreams, name: str) -> Handler:
    """What answers requests as `settings` say, with the hooks of `path`. `name` is the gateway's in `via`."""

    def is_wanted(kind: str, capability: str | None, tenant: str | None) -> bool:
        return bool(path.registry.snapshot.select(kind, capability, tenant))

    return proxy_handler(
        [route_of(route) for route in settings.effective_routes()],
        upstreams,
        path.chain,
        is_wanted=is_wanted,
        max_result_bytes=settings.calls.max_result_bytes,
        name=name,
        trusted_proxies=settings.trusted_proxies,
        debug=path.debug,
        failed=path.metrics.upstream_failed,
    )


def opened_upstreams(settings: Settings) -> Upstreams:
    """The upstreams of all routes, as an async context. Raises `ConfigError` if there is no way to speak TLS."""
    context = None
    if settings.upstreams.ca_file is not None:
        context = tls_context(settings.upstreams.ca_file)
    upstreams = Upstreams(limits_of(settings.upstreams), context=context)
    for route in settings.effective_routes():
        upstreams.at(route.upstream)
    return upstreams


def limits_of(settings: UpstreamSettings) -> Limits:
    """`[upstreams]` in seconds and bytes."""
    return Limits(
        connect=settings.connect_timeout_ms / 1000,
        answer=settings.answer_timeout_seconds,
        idle=settings.idle_timeout_seconds,
        write=settings.write_timeout_seconds,
        wait=settings.wait_ms / 1000,
        connections=settings.max_connections,
        keep_alive=settings.keep_alive_seconds,
        head=settings.max_header_bytes,
        retries=settings.retries,
        down_after=settings.down_after_failures,
        down=settings.down_ms / 1000,
        longest_down=settings.max_down_ms / 1000,
        health_path=settings.health_path,
        health_interval=settings.health_interval_seconds,
        health_timeout=settings.health_timeout_ms / 1000,
    )


def route_of(settings: RouteSettings) -> Route:
    """The route that `settings` describe."""
    pattern = settings.pattern
    params: Take | Mapping[str, Take] | None = None
    if isinstance(settings.params, Selector):
        params = _take(settings.params, pattern)
    elif settings.params is not None:
        params = {name: _take(selector, pattern) for name, selector in settings.params.items()}
    return Route(
        pattern=pattern,
        upstream=settings.upstream,
        conditions=tuple(
            (name.encode(), None if value == "*" else value.encode()) for name, value in settings.headers.items()
        ),
        methods=frozenset(settings.methods),
        type=_take(settings.type, pattern),
        capability=_take(settings.capability, pattern) if settings.capability else None,
        tenant=_take(settings.tenant, pattern) if settings.tenant else None,
        params=params,
        result_at=settings.result_at,
        result_status=frozenset(settings.result_status),
        result_types=MediaTypes(settings.result_types),
        revalidate=settings.caching == "revalidate",
        pass_host=settings.pass_host,
        only_queries=settings.only_queries,
    )


def _take(selector: Selector, pattern: PathPattern) -> Take:
    kind = selector.kind
    assert kind is not None  # a Selector has exactly one
    what = getattr(selector, kind)
    return Take(kind, pattern.names[what] if kind == "path" and isinstance(what, str) else what)
