"""Tier one: integrations, by the operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.service.auth import Access
from gateway.service.endpoint import JSON, MERGE_PATCH, Answer, Call, Operation, Out
from gateway.service.etag import etag, expected_version, is_known
from gateway.service.models.base import Nothing
from gateway.service.models.integrations import (
    CredentialOrder,
    IntegrationChange,
    IntegrationPage,
    IntegrationRequest,
    IntegrationView,
    NewCredential,
    NewIntegration,
)
from gateway.service.models.queries import Paging
from gateway.service.paging import page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.model import Integration
    from gateway.registry import Health, HealthMonitor, Registry
    from gateway.relay.desk import Desk

__all__ = ["IntegrationRoutes"]

_TAG: Final = "integrations"
_ETAG: Final = {"ETag": "Its version, for If-Match and If-None-Match."}
_NO_STORE: Final = {"cache-control": "no-store"}


class IntegrationRoutes:
    """The operations on integrations and their credentials.

    `health`, where given, says how they are. `desk`, where given, has subscriptions of theirs.
    """

    def __init__(self, registry: Registry, health: HealthMonitor | None = None, desk: Desk | None = None) -> None:
        self._registry = registry
        self._health = health
        self._desk = desk

    def operations(self) -> Sequence[Operation[Any, Any]]:
        """All of them, described."""
        one = "/v1/integrations/{integration_id}"
        return (
            Operation(
                "POST", "/v1/integrations", self._register, "registerIntegration", "Register an integration server",
                _TAG, Access.OPERATOR, query=Nothing, body=IntegrationRequest, errors=(409, 503),
                out={201: Out("Registered. The credentials are shown this once.", NewIntegration,
                              headers={"Location": "Its path.", **_ETAG})},
            ),
            Operation(
                "GET", "/v1/integrations", self._list, "listIntegrations", "List the integrations",
                _TAG, Access.OPERATOR, query=Paging, body=Nothing,
                out={200: Out("A page of integrations, sorted by name.", IntegrationPage)},
            ),
            Operation(
                "GET", one, self._read, "readIntegration", "Read an integration",
                _TAG, Access.OWN_INTEGRATION, query=Nothing, body=Nothing, if_none_match=True,
                out={200: Out("The integration.", IntegrationView, headers=_ETAG),
                     304: Out("Not changed since.", media_type=None, headers=_ETAG)},
            ),
            Operation(
                "PATCH", one, self._change, "changeIntegration", "Change an integration",
                _TAG, Access.OPERATOR, query=Nothing, body=IntegrationChange, media_types=(MERGE_PATCH, JSON),
                if_match=True, errors=(409, 503),
                description="A narrower envelope takes effect on its hooks at once.",
                out={200: Out("The integration as it is now.", IntegrationView, headers=_ETAG)},
            ),
            Operation(
                "DELETE", one, self._remove, "removeIntegration", "Remove an integration, its hooks and subscriptions",
                _TAG, Access.OPERATOR, query=Nothing, body=Nothing, if_match=True, errors=(503,),
                out={204: Out("Removed.", media_type=None)},
            ),
            Operation(
                "POST", f"{one}/credentials", self._rotate, "rotateCredential", "Replace a credential of its",
                _TAG, Access.OPERATOR, query=Nothing, body=CredentialOrder, errors=(503,),
                description="During the grace, old and new hold both: calls carry a signature for each secret.",
                out={200: Out("The new credential, shown this once.", NewCredential)},
            ),
        )  # fmt: skip

    async def _register(self, call: Call[Nothing, IntegrationRequest]) -> Answer:
        made = await self._registry.register(call.body.draft(), actor=call.caller.actor)
        location = f"/v1/integrations/{made.integration.id}"
        headers = {"location": location, "etag": etag(made.integration.version), **_NO_STORE}
        return Answer(NewIntegration.made(made, self._health_of(made.integration)), 201, headers)

    async def _list(self, call: Call[Paging, Nothing]) -> Answer:
        items, following = page(
            sorted(self._registry.integrations(), key=_place), _place, cursor=call.query.cursor, limit=call.query.limit
        )
        return Answer(IntegrationPage(items=[self._view(each) for each in items], next_cursor=following))

    async def _read(self, call: Call[Nothing, Nothing]) -> Answer:
        integration = self._registry.integration(call.ids["integration_id"])
        # The version says nothing of its health, so with that there is always something new to tell.
        if self._health_of(integration) is None and is_known(call.headers, integration.version):
            return Answer(status=304, headers=_tagged(integration))
        return Answer(self._view(integration), headers=_tagged(integration))

    async def _change(self, call: Call[Nothing, IntegrationChange]) -> Answer:
        integration_id = call.ids["integration_id"]
        version = expected_version(call.headers, self._registry.integration(integration_id).version)
        changed = await self._registry.change_integration(
            integration_id, call.body.given(), version=version, actor=call.caller.actor
        )
        return Answer(self._view(changed), headers=_tagged(changed))

    async def _remove(self, call: Call[Nothing, Nothing]) -> Answer:
        integration_id = call.ids["integration_id"]
        version = expected_version(call.headers, self._registry.integration(integration_id).version)
        await self._registry.remove_integration(integration_id, version=version, actor=call.caller.actor)
        if self._desk is not None:
            await self._desk.subscriptions.remove_all(integration_id, actor=call.caller.actor)
        return Answer(status=204)

    async def _rotate(self, call: Call[Nothing, CredentialOrder]) -> Answer:
        what = call.body.what
        rotated = await self._registry.rotate(
            call.ids["integration_id"], what, grace_seconds=call.body.grace_seconds, actor=call.caller.actor
        )
        return Answer(NewCredential.made(what, rotated), headers=_NO_STORE)

    def _health_of(self, integration: Integration) -> Health | None:
        if self._health is None or integration.health_path is None:
            return None
        return self._health.of(integration.id)

    def _view(self, integration: Integration) -> IntegrationView:
        return IntegrationView.of(integration, self._health_of(integration))


def _place(integration: Integration) -> tuple[str, str]:
    return integration.name, integration.id


def _tagged(integration: Integration) -> dict[str, str]:
    return {"etag": etag(integration.version), "cache-control": "private, no-cache"}
