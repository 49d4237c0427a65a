"""What was asked."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from gateway.model.ids import query_id


@dataclass(frozen=True, slots=True, init=False)
class Query:
    """One question put to a query API.

    `type` is the webhook type (`question`, `search`, `form`, or any name the operator defines).
    `capability` is the routing key: which piece of handler logic fits. `params` and `context` are any
    JSON values. `depth` counts the gateway calls that this query is nested in. `traceparent` and
    `tracestate` are the caller's W3C trace context, if it sent one.
    """

    type: str
    capability: str | None = None
    tenant: str | None = None
    params: Any = None
    context: Any = None
    id: str = field(default_factory=query_id)
    depth: int = 0
    traceparent: str | None = None
    tracestate: str | None = None

    def __init__(
        self,
        type: str,  # noqa: A002  the field's name
        capability: str | None = None,
        tenant: str | None = None,
        params: Any = None,
        context: Any = None,
        id: str | None = None,  # noqa: A002  the field's name
        depth: int = 0,
        traceparent: str | None = None,
        tracestate: str | None = None,
    ) -> None:
        _set_type(self, type)
        _set_capability(self, capability)
        _set_tenant(self, tenant)
        _set_params(self, params)
        _set_context(self, context)
        _set_id(self, query_id() if id is None else id)
        _set_depth(self, depth)
        _set_traceparent(self, traceparent)
        _set_tracestate(self, tracestate)


# What sets a field, as for any frozen dataclass; found once, because a query is made for every request.
(
    _set_type, _set_capability, _set_tenant, _set_params, _set_context, _set_id, _set_depth, _set_traceparent,
    _set_tracestate,
) = [getattr(Query, it.name).__set__ for it in fields(Query)]  # fmt: skip
