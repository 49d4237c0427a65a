"""On whose behalf a call about hooks is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.service.auth import no_integration

if TYPE_CHECKING:
    from gateway.registry import Registry
    from gateway.service.auth import Caller
    from gateway.service.models.queries import ForIntegration

__all__ = ["scope"]


def scope(registry: Registry, caller: Caller, query: ForIntegration) -> str | None:
    """The one integration that the call is about; `None` for an operator's call about all.

    Raises `NotFound` for an integration that is not there, or not the caller's own.
    """
    if query.integration is None:
        return caller.integration_id
    if caller.integration_id not in (None, query.integration):
        raise no_integration(query.integration)
    return registry.integration(query.integration).id
