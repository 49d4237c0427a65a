"""Listening to the calls of a hook from a machine that cannot be called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.errors import Conflict
from gateway.pipeline.listening import ListenMode
from gateway.service.auth import Access
from gateway.service.endpoint import Answer, Call, Operation, Out
from gateway.service.models.listening import ListenedView, ToListen
from gateway.service.models.queries import ForIntegration
from gateway.service.scope import scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.pipeline.listening import Listeners
    from gateway.registry import Registry
    from gateway.service.processes import Processes

__all__ = ["ListeningRoutes"]


class ListeningRoutes:
    """The operation of listeners. `processes` bring the calls of hooks here that somebody listens to."""

    def __init__(self, registry: Registry, listeners: Listeners, processes: Processes) -> None:
        self._registry = registry
        self._listeners = listeners
        self._processes = processes

    def operations(self) -> Sequence[Operation[Any, Any]]:
        """All of them, described."""
        return (
            Operation(
                "POST", "/v1/hooks/{hook_id}/listen", self._listen, "listenToHook", "Take a hook's calls, and answer",
                "development", Access.HOOKS, query=ForIntegration, body=ToListen, body_required=False,
                errors=(404, 409),
                description="By long polling. One listener at a time has a hook's calls; one that has not asked for "
                "15 s is forgotten.",
                out={200: Out("The calls that have come.", ListenedView)},
            ),
        )  # fmt: skip

    async def _listen(self, call: Call[ForIntegration, ToListen]) -> Answer:
        asked, owner = call.body, scope(self._registry, call.caller, call.query)
        hook = self._registry.hook(call.ids["hook_id"], integration_id=owner)
        if not (call.caller.operator or self._registry.integration(hook.integration_id).enabled):
            msg = "The operator has switched this integration off; none of its hooks is called."
            raise Conflict(msg)
        replies = [(each, each.content()) for each in asked.replies]
        listener = self._listeners.join(hook.id, ListenMode(asked.mode), asked.listener)
        late = [
            each.id
            for each, body in replies
            if not listener.reply(each.id, each.status, [(name, value) for name, value in each.headers], body)
        ]
        if asked.end:
            self._listeners.leave(listener)
            await self._processes.listen(hook.id, None)
            return Answer(ListenedView.of(listener.id, [], late))
        await self._processes.listen(hook.id, listener.mode)
        return Answer(ListenedView.of(listener.id, await listener.next_calls(asked.wait_seconds), late))
