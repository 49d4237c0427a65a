"""The breakers of hooks: how they stand, and closing them by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.service.auth import Access
from gateway.service.endpoint import Answer, Call, Operation, Out
from gateway.service.models.base import Nothing
from gateway.service.models.breakers import BreakerStatus
from gateway.service.models.queries import ForIntegration
from gateway.service.scope import scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.registry import Registry
    from gateway.service.breakers import Breakers

__all__ = ["BreakerRoutes"]

_TAG: Final = "hooks"


class BreakerRoutes:
    """The operations on breakers."""

    def __init__(self, registry: Registry, breakers: Breakers) -> None:
        self._registry = registry
        self._breakers = breakers

    def operations(self) -> Sequence[Operation[Any, Any]]:
        """All of them, described."""
        one = "/v1/hooks/{hook_id}/breaker"
        return (
            Operation(
                "GET", one, self._read, "readBreaker", "Read the breaker of a hook",
                _TAG, Access.HOOKS, query=ForIntegration, body=Nothing, errors=(404,),
                description="Each worker has a breaker of its own: this is the worst of them, with the calls of all.",
                out={200: Out("The breaker.", BreakerStatus)},
            ),
            Operation(
                "POST", f"{one}/reset", self._reset, "resetBreaker", "Close the breaker of a hook",
                _TAG, Access.HOOKS, query=ForIntegration, body=Nothing, errors=(404,),
                description="It forgets what it has seen; calls in flight no longer count. In all workers.",
                out={200: Out("The breaker, closed.", BreakerStatus)},
            ),
        )  # fmt: skip

    async def _read(self, call: Call[ForIntegration, Nothing]) -> Answer:
        return Answer(await self._breakers.status(self._hook_id(call)))

    async def _reset(self, call: Call[ForIntegration, Nothing]) -> Answer:
        hook_id = self._hook_id(call)
        await self._breakers.reset(hook_id)
        return Answer(await self._breakers.status(hook_id))

    def _hook_id(self, call: Call[ForIntegration, Nothing]) -> str:
        """The id of the hook that the call names. Raises `NotFound`, also if it is not the caller's."""
        owner = scope(self._registry, call.caller, call.query)
        return self._registry.hook(call.ids["hook_id"], integration_id=owner).id
