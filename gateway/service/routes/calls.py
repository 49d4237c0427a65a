"""Single recorded calls: looking at one, and sending it again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import Conflict, NotFound
from gateway.pipeline.listening import REPLAYED
from gateway.pipeline.replay import Recorded, below
from gateway.service.auth import Access
from gateway.service.endpoint import Answer, Call, Operation, Out
from gateway.service.models.base import Nothing
from gateway.service.models.calls import EntryView, reply_of
from gateway.service.models.queries import ForIntegration
from gateway.service.models.replay import ReplayView, ToReplay
from gateway.service.problem import Refused
from gateway.service.scope import scope
from gateway.wire.nesting import DEPTH, depth_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.pipeline.insight import Insight
    from gateway.pipeline.journal import Entry
    from gateway.registry import Registry
    from gateway.service.processes import Processes

__all__ = ["CallRoutes"]

_TAG: Final = "development"


class CallRoutes:
    """The operations on calls that the journal remembers."""

    def __init__(self, registry: Registry, insight: Insight, processes: Processes) -> None:
        self._registry = registry
        self._insight = insight
        self._processes = processes

    def operations(self) -> Sequence[Operation[Any, Any]]:
        """All of them, described."""
        one = "/v1/calls/{call_id}"
        return (
            Operation(
                "GET", one, self._read, "readCall", "Read what became of one call",
                _TAG, Access.HOOKS, query=ForIntegration, body=Nothing,
                description="By its `webhook-id`. An integration sees those of its own hooks.",
                out={200: Out("The call, with what was kept of request and reply.", EntryView)},
            ),
            Operation(
                "POST", f"{one}/replay", self._replay, "replayCall", "Send a recorded call again and apply nothing",
                _TAG, Access.HOOKS, query=ForIntegration, body=ToReplay, body_required=False, errors=(403, 409),
                description="Freshly signed and under a new id, with the very body that was recorded. 409: the body "
                "was not kept whole, and none is given. Breaker and metrics know nothing of it.",
                out={200: Out("What was sent, what came back, and what differs from then.", ReplayView)},
            ),
        )  # fmt: skip

    async def _read(self, call: Call[ForIntegration, Nothing]) -> Answer:
        entry = await self._entry(call.ids["call_id"], scope(self._registry, call.caller, call.query))
        return Answer(EntryView.of_entry(entry, self._insight.journal.detail(entry)))

    async def _replay(self, call: Call[ForIntegration, ToReplay]) -> Answer:
        registry, replays, to = self._registry, self._insight.replays, call.body.to
        call_id, owner = call.ids["call_id"], scope(registry, call.caller, call.query)
        entry = await self._entry(call_id, owner)
        hook = registry.hook(entry.outcome.hook_id, integration_id=owner)
        integration = registry.integration(hook.integration_id)
        if not (call.caller.operator or integration.enabled):
            msg = "The operator has switched this integration off; none of its hooks is called."
            raise Conflict(msg)
        detail = self._insight.journal.detail(entry)
        recorded = Recorded.of(entry, detail, None if call.body.body is None else call.body.body.encode())
        bound = await registry.to_try(hook.id, integration_id=owner)
        if to is not None:
            endpoint = replays.endpoint(to, bound)
            if not (call.caller.operator or below(endpoint, integration.base_url)):
                raise Refused(403, "Only the operator may send a call anywhere but below the integration's base_url.")
            bound = replace(bound, endpoint=endpoint)
        recorded = replace(recorded, query=replace(recorded.query, depth=depth_of(call.headers.get(DEPTH))))
        token = REPLAYED.set(True)
        try:
            replayed = await replays.run(bound, recorded)
        finally:
            REPLAYED.reset(token)
        return Answer(ReplayView.of(call_id, replayed, reply_of(recorded.reply)))

    async def _entry(self, call_id: str, owner: str | None) -> Entry:
        """The entry of a call, if it is one of this integration's hooks."""
        await self._processes.refresh()
        entry = self._insight.journal.get(call_id)
        try:
            if entry is not None:
                self._registry.hook(entry.outcome.hook_id, integration_id=owner)
                return entry
        except NotFound:
            pass
        msg = f"There is no call {call_id[:80]!r}; the process that made it remembers the last ones."
        raise NotFound(msg)
