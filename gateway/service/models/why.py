"""Questions about queries and hooks, and their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from gateway.model import Query, Result
from gateway.service.models.base import ApiModel, Time, rfc3339
from gateway.service.models.calls import (
    DiffView,
    ExchangeView,
    OutcomeView,
    ReplyView,
    RequestView,
    reply_of,
    request_of,
    told,
)
from gateway.service.models.fields import HookName, Id, IntegrationName, Policy
from gateway.service.models.queries import QueryRequest

if TYPE_CHECKING:
    from gateway.pipeline.chain import ChainSettings
    from gateway.pipeline.explain import Explained
    from gateway.pipeline.trace import Trace, TracedCall
    from gateway.pipeline.trial import Trial
    from gateway.registry import BoundHook
    from gateway.wire.redaction import Redaction

__all__ = ["ExplainView", "ToExplain", "ToTry", "TraceView", "Tried", "query_of"]

_RESULT = {"rows": [["KEF", "IS"]]}


def query_of(asked: QueryRequest, depth: int = 0) -> Query:
    """The query that was asked."""
    return Query(
        type=asked.type,
        capability=asked.capability,
        tenant=asked.tenant,
        params=asked.params,
        context=asked.context,
        depth=depth,
    )


class ToExplain(ApiModel):
    """A query, and if need be its result."""

    query: QueryRequest = Field(description="The query.")
    result: Any = Field(
        default=None, description="The result of the data-query phase, where conditions need it.", examples=[_RESULT]
    )

    def given(self) -> Result | None:
        """The result, if there is one."""
        return Result.of(self.result) if "result" in self.model_fields_set else None


class ToTry(ApiModel):
    """A query and its result, to call a hook with."""

    query: QueryRequest = Field(description="The query.")
    result: Any = Field(description="What the data-query phase would have produced.", examples=[_RESULT])


class LimitsView(ApiModel):
    """What holds for a call, the envelope and the gateway's own limits taken into account."""

    timeout_ms: int = Field(description="The time limit of a call.", examples=[500])
    max_concurrency: int = Field(description="How many calls may be under way at once.", examples=[100])
    max_result_bytes: int = Field(description="The largest result that is sent.", examples=[8388608])
    failure_policy: Policy
    may_reject: bool = Field(description="Whether it may reject the query.", examples=[False])
    signed_replies: bool = Field(
        description="Whether a reply without a valid signature is a failure.", examples=[False]
    )

    @classmethod
    def of(cls, bound: BoundHook, settings: ChainSettings) -> LimitsView:
        """The limits of a hook in a chain with these settings."""
        return cls(
            timeout_ms=round(min(bound.timeout, settings.budget) * 1000),
            max_concurrency=bound.max_concurrency,
            max_result_bytes=settings.max_result_bytes,
            failure_policy="fail" if bound.fail else "ignore",
            may_reject=bound.may_reject,
            signed_replies=bound.signed_replies,
        )


class HookTold(ApiModel):
    """A hook, and whose it is."""

    hook: HookName
    hook_id: Id
    integration: IntegrationName
    integration_id: Id = Field(examples=["int_1c9d7x2k4m6p8q0r"])
    mode: str = Field(description="How it would run: active, shadow or canary.", examples=["active"])


class RunsView(HookTold):
    """A hook that would run."""

    limits: LimitsView = Field(description="What would hold for the call.")
    note: str | None = Field(description="What else there is to say.", examples=[None])


class RunsNotView(HookTold):
    """A hook that would not run, and why."""

    reason: str = Field(description="What stands in the way first.", examples=["tenant"])
    detail: str = Field(
        description="The same in a sentence.", examples=["it serves 'globex', and the query's tenant is 'acme'"]
    )


class ExplainView(ApiModel):
    """What a query would mean for each hook."""

    generation: int = Field(description="The registry generation that this is about.", examples=[17])
    budget_ms: float = Field(description="The time that all hooks together may take.", examples=[2000.0])
    would_run: list[RunsView] = Field(description="The hooks that would run, in order.")
    would_not_run: list[RunsNotView] = Field(description="The other ones, and why not.")

    @classmethod
    def of(cls, found: list[Explained], generation: int, settings: ChainSettings) -> ExplainView:
        """The view of what was explained."""
        return cls(
            generation=generation,
            budget_ms=settings.budget * 1000,
            would_run=[
                RunsView(**_hook(each), limits=LimitsView.of(each.bound, settings), note=each.note)
                for each in found
                if each.reason is None and each.bound is not None
            ],
            would_not_run=[
                RunsNotView(**_hook(each), reason=each.reason.value, detail=each.detail or "")
                for each in found
                if each.reason is not None
            ],
        )


def _hook(each: Explained) -> dict[str, Any]:
    hook, integration = each.hook, each.integration
    return {
        "hook": hook.name,
        "hook_id": hook.id,
        "integration": integration.name,
        "integration_id": integration.id,
        "mode": each.mode.value,
    }


class Tried(ApiModel):
    """What became of a call that was made to try a hook out. Nothing was applied."""

    request: RequestView | None = Field(description="What was sent; null if it did not come to that.")
    reply: ReplyView | None = Field(description="What came back; null without a whole reply.")
    outcome: OutcomeView = Field(description="What would have become of it.")
    diff: list[Any] | None = Field(
        description="What the reply would have changed in the result: a JSON Patch; null where that is not told.",
        examples=[[{"op": "add", "path": "/count", "value": 2}]],
    )
    diff_note: str | None = Field(description="Where there is no diff, why.", examples=[None])
    problem: dict[str, Any] | None = Field(
        description="The problem document of a hook that rejected the query.", examples=[None]
    )
    more: list[ExchangeView] = Field(description="Further exchanges, where the result is sent in batches.")

    @classmethod
    def of(cls, trial: Trial) -> Tried:
        """The view of a trial."""
        exchanges = [call.exchange for call in trial.calls]
        first = exchanges[0] if exchanges else None
        return cls(
            request=request_of(first),
            reply=reply_of(first),
            outcome=OutcomeView.of(trial.outcome),
            diff=trial.diff.operations,
            diff_note=trial.diff.note,
            problem=trial.problem,
            more=[ExchangeView.of(each) for each in exchanges[1:]],
        )


class TracedCallView(ExchangeView):
    """One call of the traced query."""

    outcome: OutcomeView = Field(description="What became of this call.")
    diff: DiffView = Field(description="What its reply changes of what was sent.")

    @classmethod
    def of_call(cls, call: TracedCall) -> TracedCallView:
        """The view of a call."""
        return cls(
            request=request_of(call.exchange),
            reply=reply_of(call.exchange),
            outcome=OutcomeView.of(call.outcome),
            diff=DiffView.of(call.diff),
        )


class TracedHookView(OutcomeView):
    """One hook of the traced query: its outcome, its limits, and its calls."""

    limits: LimitsView | None = Field(description="What held for its calls; null if it was not called.")
    calls: list[TracedCallView] = Field(description="The calls that were made, with what was sent and came back.")


class QueryAsked(ApiModel):
    """The traced query."""

    id: str = Field(description="Its id.", examples=["q_5b1f0c9de2a4a7731"])
    type: str = Field(description="Its type.", examples=["search"])
    capability: str | None = Field(description="Its capability.", examples=["prices"])
    tenant: str | None = Field(description="Its tenant.", examples=["acme"])
    params: Any = Field(description="Its params.", examples=[{"country": "IS"}])
    context: Any = Field(description="Its context.", examples=[None])


class TraceView(ApiModel):
    """The full story of one query."""

    id: str = Field(description="As in the header gateway-trace-id.", examples=["tr_3f8k2m9q4r7t1v5x"])
    at: Time = Field(description="When it began.", examples=["2026-01-31T12:00:00.000Z"])
    query: QueryAsked | None = Field(description="What was asked; null if no hook was selected.")
    hooks: list[TracedHookView] = Field(description="Its hooks, in order.")
    calls_left_out: int = Field(
        description="How many further calls were made that the trace has no room for.", examples=[0]
    )

    @classmethod
    def of(cls, trace: Trace, calls: list[TracedCall], settings: ChainSettings, redaction: Redaction) -> TraceView:
        """The view of a trace whose calls are these."""
        query = trace.query
        by_hook: dict[str, list[TracedCall]] = {}
        for call in calls:
            by_hook.setdefault(call.hook.hook_id, []).append(call)
        hooks = []
        for outcome in trace.outcomes:
            made = by_hook.pop(outcome.hook_id, [])
            hooks.append(
                TracedHookView(
                    **told(outcome),
                    limits=LimitsView.of(made[0].hook, settings) if made else None,
                    calls=[TracedCallView.of_call(call) for call in made],
                )
            )
        return cls(
            id=trace.id,
            at=rfc3339(trace.at),
            query=None
            if query is None
            else QueryAsked(
                id=query.id,
                type=query.type,
                capability=query.capability,
                tenant=query.tenant,
                **redaction.query(query.params, query.context),
            ),
            hooks=hooks,
            calls_left_out=trace.left_out,
        )
