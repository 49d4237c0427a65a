"""Routes out of the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config import Selector
from gateway.service.proxy.asked import Take
from gateway.service.proxy.routes import MediaTypes, Route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config import RouteSettings
    from gateway.wire.path_pattern import PathPattern

__all__ = ["route_of"]


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
    )


def _take(selector: Selector, pattern: PathPattern) -> Take:
    kind = selector.kind
    assert kind is not None  # a Selector has exactly one
    what = getattr(selector, kind)
    return Take(kind, pattern.names[what] if kind == "path" and isinstance(what, str) else what)
