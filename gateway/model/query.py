"""What was asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.model.ids import query_id


@dataclass(frozen=True, slots=True)
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
