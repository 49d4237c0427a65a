"""Why a result is as it is: what became of calls, what a query would meet, a call to try out, traces."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Any

from gateway.errors import Conflict, FieldError, InvalidInput, NotFound
from gateway.model import Reason, Result, Status
from gateway.pipeline.trial import MAX_SHOWN_BYTES
from gateway.service.auth import Access
from gateway.service.endpoint import Answer, Call, Operation, Out
from gateway.service.models.audit import seconds_of
from gateway.service.models.base import Nothing
from gateway.service.models.calls import EntryView, OutcomeList, OutcomePage
from gateway.service.models.queries import ForIntegration
from gateway.service.models.why import ExplainView, ToExplain, ToTry, TraceView, Tried, query_of
from gateway.service.paging import number_of
from gateway.service.scope import scope
from gateway.wire.nesting import DEPTH, depth_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.pipeline.insight import Insight
    from gateway.registry import Registry
    from gateway.service.processes import Processes

__all__ = ["WhyRoutes"]


class WhyRoutes:
    """The operations that answer the question why."""

    def __init__(self, registry: Registry, insight: Insight, processes: Processes) -> None:
        self._registry = registry
        self._insight = insight
        self._processes = processes

    def operations(self) -> Sequence[Operation[Any, Any]]:
        """All of them, described."""
        one = "/v1/hooks/{hook_id}"
        return (
            Operation(
                "GET", f"{one}/outcomes", self._outcomes, "listOutcomes", "List what became of a hook's replies lately",
                "hooks", Access.HOOKS, query=OutcomeList, body=Nothing, errors=(404,),
                description="Those of all workers. Several gateways on one store remember their own calls.",
                out={200: Out("A page of its outcomes, the latest first.", OutcomePage)},
            ),
            Operation(
                "POST", f"{one}/test", self._test, "testHook", "Call a hook for real and apply nothing",
                "hooks", Access.HOOKS, query=ForIntegration, body=ToTry, errors=(404, 409),
                description="Whether it is enabled or not. Neither its breaker nor its metrics know of it.",
                out={200: Out("What was sent, what came back, and what it would have meant.", Tried)},
            ),
            Operation(
                "POST", "/v1/explain", self._explain, "explainQuery", "Say which hooks a query would meet, and why",
                "queries", Access.HOOKS, query=ForIntegration, body=ToExplain, errors=(404,),
                description="No call is made. An integration is told of its own hooks only.",
                out={200: Out("The hooks that would run, in order, and the others with the reason.", ExplainView)},
            ),
            Operation(
                "GET", "/v1/traces/{trace_id}", self._trace, "readTrace", "Read the full trace of one query",
                "queries", Access.OPERATOR, query=Nothing, body=Nothing,
                description="That of a query with the header gateway-debug, by the gateway-trace-id of its answer. "
                "The last ones are kept, by the worker that answered the query, for as long as it lives.",
                out={200: Out("The trace.", TraceView)},
            ),
        )  # fmt: skip

    async def _outcomes(self, call: Call[OutcomeList, Nothing]) -> Answer:
        asked = call.query
        hook = self._registry.hook(call.ids["hook_id"], integration_id=scope(self._registry, call.caller, asked))
        statuses = _words("status", asked.status, [Status])
        reasons = _words("reason", asked.reason, [Reason])
        either = _words("outcome", asked.outcome, [Status, Reason])
        await self._processes.refresh()
        found = self._insight.journal.entries(
            hook.id,
            since=None if asked.since is None else seconds_of(asked.since),
            until=None if asked.until is None else seconds_of(asked.until),
            before=number_of(asked.cursor),
        )
        fitting = (
            each
            for each in found
            if (statuses is None or each.outcome.status in statuses)
            and (reasons is None or each.outcome.reason in reasons)
            and (either is None or each.outcome.status in either or each.outcome.reason in either)
        )
        entries = list(islice(fitting, asked.limit + 1))
        shown = entries[: asked.limit]
        following = str(shown[-1].number) if len(entries) > asked.limit else None
        items = [EntryView.of_entry(each, self._insight.journal.detail(each)) for each in shown]
        return Answer(OutcomePage(items=items, next_cursor=following))

    async def _test(self, call: Call[ForIntegration, ToTry]) -> Answer:
        hook_id, owner = call.ids["hook_id"], scope(self._registry, call.caller, call.query)
        hook = self._registry.hook(hook_id, integration_id=owner)
        if not (call.caller.operator or self._registry.integration(hook.integration_id).enabled):
            msg = "The operator has switched this integration off; none of its hooks is called."
            raise Conflict(msg)
        bound = await self._registry.to_try(hook_id, integration_id=owner)
        query = query_of(call.body.query, depth_of(call.headers.get(DEPTH)))
        trial = await self._insight.trials.run(bound, query, Result.of(call.body.result))
        return Answer(Tried.of(trial))

    async def _explain(self, call: Call[ForIntegration, ToExplain]) -> Answer:
        explainer = self._insight.explainer
        owner = scope(self._registry, call.caller, call.query)
        query = query_of(call.body.query, depth_of(call.headers.get(DEPTH)))
        found = explainer.explain(query, call.body.given(), owner)
        return Answer(ExplainView.of(found, self._registry.snapshot.generation, explainer.settings))

    async def _trace(self, call: Call[Nothing, Nothing]) -> Answer:
        trace_id, insight = call.ids["trace_id"], self._insight
        trace = insight.traces.get(trace_id)
        if trace is None and (elsewhere := await self._processes.trace(trace_id)) is not None:
            return Answer(elsewhere)
        if trace is None:
            msg = f"There is no trace {trace_id[:80]!r}; the process that answered the query keeps the last ones."
            raise NotFound(msg)
        calls = await asyncio.to_thread(trace.calls, insight.redaction, MAX_SHOWN_BYTES)
        return Answer(TraceView.of(trace, calls, insight.explainer.settings, insight.redaction))


def _words(name: str, given: str | None, kinds: list[type[Status | Reason]]) -> frozenset[str] | None:
    """The words in a list with commas, each of which has to be one of these kinds. Raises `InvalidInput`."""
    if given is None:
        return None
    known = [each.value for kind in kinds for each in kind]
    words = frozenset(word.strip() for word in given.split(","))
    if not words <= set(known):
        raise InvalidInput(FieldError(f"?{name}", f"must be one or more, with commas, of {', '.join(known)}"))
    return words
