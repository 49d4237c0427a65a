"""The whole pipeline behind one call, where a data source is configured."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final

from gateway.model import Query
from gateway.pipeline import provenance
from gateway.pipeline.debug import HEADER
from gateway.service.auth import Access
from gateway.service.endpoint import JSON, Answer, Call, Operation, Out
from gateway.service.models.base import Nothing
from gateway.service.models.queries import QueryRequest
from gateway.wire.nesting import DEPTH, depth_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.pipeline import QueryPipeline, Traces

__all__ = ["QueryRoutes"]

_TAG: Final = "queries"


class QueryRoutes:
    """Running a query. `traces`, where they are given, take the traces of those who ask for one."""

    def __init__(self, pipeline: QueryPipeline, traces: Traces | None = None) -> None:
        self._pipeline = pipeline
        self._traces = traces

    def operations(self) -> Sequence[Operation[Any, Any]]:
        """The one operation, described."""
        headers = {
            "gateway-hooks": "What became of each hook, in order (RFC 8941 list); absent if there were none.",
            "Server-Timing": "How long each took; absent if there were none.",
            "gateway-trace-id": "The id of the trace, if the request had a header gateway-debug (with any value).",
        }
        return (
            Operation(
                "POST", "/v1/query", self._run, "runQuery", "Run the whole pipeline",
                _TAG, Access.OPERATOR, query=Nothing, body=QueryRequest, errors=(502, 503, 504),
                description="502, 504: a hook with failure policy 'fail' failed. 422 also: a hook rejected the query.",
                out={200: Out("The result, as its bytes are.", media_type=JSON, headers=headers)},
            ),
        )  # fmt: skip

    async def _run(self, call: Call[Nothing, QueryRequest]) -> Answer:
        asked = call.body
        query = Query(
            type=asked.type,
            capability=asked.capability,
            tenant=asked.tenant,
            params=asked.params,
            context=asked.context,
            depth=depth_of(call.headers.get(DEPTH)),
            traceparent=call.headers.get("traceparent"),
            tracestate=call.headers.get("tracestate"),
        )
        traced = self._traces is not None and call.headers.get(HEADER)
        with self._traces.tracing() if self._traces is not None and traced else nullcontext():
            answer = await self._pipeline.run(query)
        return Answer(answer.result.body, headers=provenance.headers(answer), content_type=answer.result.content_type)
