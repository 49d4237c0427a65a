"""Taking a hook a step further on its way to going live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.registry.rollout import promotion
from gateway.service.auth import Access
from gateway.service.endpoint import Answer, Call, Operation, Out
from gateway.service.etag import etag, expected_version
from gateway.service.models.hooks import HookView
from gateway.service.models.queries import ForIntegration
from gateway.service.models.rollout import ToPromote
from gateway.service.scope import scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.registry import Registry

__all__ = ["RolloutRoutes"]


class RolloutRoutes:
    """Promotion."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def operations(self) -> Sequence[Operation[Any, Any]]:
        """The one operation, described."""
        return (
            Operation(
                "POST", "/v1/hooks/{hook_id}/promote", self._promote, "promoteHook", "Take a hook a step further",
                "hooks", Access.HOOKS, query=ForIntegration, body=ToPromote, body_required=False, errors=(409, 503),
                if_match=True,
                description="From shadow to canary, to a larger share, to active; within the modes of its envelope. A "
                "canary that stepped back tries again.",
                out={200: Out("The hook in its new mode.", HookView, headers={"ETag": "Its version, for If-Match."})},
            ),
        )  # fmt: skip

    async def _promote(self, call: Call[ForIntegration, ToPromote]) -> Answer:
        registry, owner = self._registry, scope(self._registry, call.caller, call.query)
        hook = registry.hook(call.ids["hook_id"], integration_id=owner)
        version = expected_version(call.headers, hook.version) or hook.version
        envelope = registry.integration(hook.integration_id).envelope
        fields = promotion(hook, envelope, call.body.step(), call.body.percent)
        changed = await registry.change_hook(
            hook.id, fields, integration_id=owner, version=version, actor=call.caller.actor
        )
        return Answer(HookView.of(changed), headers={"etag": etag(changed.version)})
