"""Forgetting what was kept of a hook's replies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.service.auth import Access
from gateway.service.endpoint import Answer, Call, Operation, Out
from gateway.service.models.base import Nothing
from gateway.service.models.purge import Purged
from gateway.service.models.queries import ForIntegration
from gateway.service.scope import scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.pipeline import Reuse
    from gateway.registry import Registry
    from gateway.service.processes import Processes

__all__ = ["PurgeRoutes"]

_TAG: Final = "hooks"


class PurgeRoutes:
    """The operation that purges a hook.

    `reuse` is the cache of the process, where it has one; `processes` have others.
    """

    def __init__(self, registry: Registry, reuse: Reuse | None, processes: Processes) -> None:
        self._registry = registry
        self._reuse = reuse
        self._processes = processes

    def operations(self) -> Sequence[Operation[Any, Any]]:
        """It, described."""
        return (
            Operation(
                "POST", "/v1/hooks/{hook_id}/purge", self._purge, "purgeHook", "Forget the replies of a hook",
                _TAG, Access.HOOKS, query=ForIntegration, body=Nothing, errors=(404, 503),
                description="No reply to a call made before is used again for a query that starts after the answer, "
                "in whichever process: the hook has another generation.",
                out={200: Out("The generation that it has now.", Purged)},
            ),
        )  # fmt: skip

    async def _purge(self, call: Call[ForIntegration, Nothing]) -> Answer:
        owner = scope(self._registry, call.caller, call.query)
        hook = await self._registry.purge(call.ids["hook_id"], integration_id=owner, actor=call.caller.actor)
        purged = await self._processes.purge(hook.id)
        purged += 0 if self._reuse is None else self._reuse.purge(hook.id)
        return Answer(Purged(id=hook.id, generation=hook.generation, purged=purged))
