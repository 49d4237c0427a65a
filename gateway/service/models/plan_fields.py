"""The fields of hooks and envelopes on conditions, scope, post-conditions, rows, reuse and roll-out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from gateway.service.models.base import WHOLE, ApiModel

if TYPE_CHECKING:
    from gateway.model import CanaryBounds

__all__ = [
    "BatchRows",
    "BoundsDraft",
    "BoundsView",
    "Cache",
    "Coalesce",
    "Condition",
    "GranularityName",
    "Keep",
    "MaxCacheSeconds",
    "MaxGrowth",
    "ModeName",
    "Modes",
    "OnViolationName",
    "Percent",
    "Reads",
    "ResultSchema",
    "RowCountName",
    "RowsAt",
    "StickyByName",
    "Writes",
]

_Pointer = Annotated[str, Field(max_length=1000)]

# The registry checks pointers, conditions and schemas, with sentences of its own.
Condition = Annotated[
    str,
    Field(
        max_length=2000,
        description="CEL over `query` (type, capability, tenant, params, context) and, if need be, `result`: "
        "the hook is called only where it is true.",
        examples=['query.tenant == "acme"'],
    ),
]
Reads = Annotated[
    list[_Pointer],
    Field(
        min_length=1,
        max_length=64,
        description="What of the result is sent: JSON Pointers, `*` for any element or member. null: all of it.",
        examples=[["/rows/*/price"]],
    ),
]
Writes = Annotated[
    list[_Pointer],
    Field(
        max_length=64,
        description="What of the result may be changed: JSON Pointers like those of reads. null: whatever was read.",
        examples=[["/rows/*/price"]],
    ),
]
OnViolationName = Annotated[
    Literal["fail", "drop"],
    Field(
        description="What becomes of a change outside writes: the reply is a failure, or that change is left out.",
        examples=["fail"],
    ),
]
MaxGrowth = Annotated[
    float,
    Field(ge=1, le=1_000_000, description="The result may get at most this many times as large.", examples=[1.5]),
]
RowCountName = Annotated[
    Literal["same", "may_shrink", "may_grow"],
    Field(description="How the number of rows at rows_at may differ afterwards.", examples=["same"]),
]
RowsAt = Annotated[
    str,
    Field(
        max_length=1000,
        description='Where the array of rows is: a JSON Pointer without `*`; "" is the document itself.',
        examples=["/rows"],
    ),
]
Keep = Annotated[
    list[_Pointer],
    Field(
        min_length=1,
        max_length=64,
        description="What must be there afterwards as it was: JSON Pointers like those of reads.",
        examples=[["/rows/*/id"]],
    ),
]
ResultSchema = Annotated[
    dict[str, Any],
    Field(
        description="A JSON Schema (2020-12) that the result must meet afterwards. A change replaces it as a whole.",
        examples=[{"type": "object", "required": ["rows"]}],
    ),
]
GranularityName = Annotated[
    Literal["result", "rows"],
    Field(description="What one call carries: the result, or a batch of the rows at rows_at.", examples=["result"]),
]
BatchRows = Annotated[
    int,
    Field(
        ge=1,
        le=100_000,
        description="How many rows a batch has at most; null: as many as the gateway thinks fit.",
        examples=[500],
    ),
    WHOLE,
]
Coalesce = Annotated[
    bool,
    Field(
        description="Whether calls for concurrent queries may share one exchange (CloudEvents batch).", examples=[False]
    ),
]
Cache = Annotated[
    bool,
    Field(description="Whether replies may be used again for as long as their Cache-Control says.", examples=[True]),
]
ModeName = Annotated[
    Literal["active", "shadow", "canary"],
    Field(
        description="active: replies are applied; shadow: they are only looked at; canary: active for percent of the "
        "queries, skipped for the others.",
        examples=["active"],
    ),
]
Modes = Annotated[
    list[Literal["active", "shadow", "canary"]],
    Field(min_length=1, max_length=3, description="The modes that its hooks may have.", examples=[["shadow"]]),
]
Percent = Annotated[
    float, Field(ge=0, le=100, description="For how many of 100 queries a canary is active.", examples=[5])
]
StickyByName = Annotated[
    Literal["tenant", "query"],
    Field(
        description="What has the same lot each time: a tenant (a query without one by itself), or equal queries.",
        examples=["tenant"],
    ),
]
MaxCacheSeconds = Annotated[
    float,
    Field(
        ge=0,
        le=31_536_000,
        description="For how long replies may be used again at most; null: as long as the gateway allows.",
        examples=[300],
    ),
]
_FailurePercent = Annotated[float, Field(ge=0, le=100, description="How many of 100 calls may fail.", examples=[5])]
_P95Ms = Annotated[float, Field(ge=0, le=3_600_000, description="What 95 % of the calls must take.", examples=[200])]
_ChangePercent = Annotated[
    float, Field(ge=0, le=100, description="How many of 100 calls may change the result.", examples=[50])
]
_MinCalls = Annotated[
    int,
    Field(ge=1, le=1_000_000, description="Nothing is concluded from fewer calls than these.", examples=[20]),
    WHOLE,
]


class BoundsDraft(ApiModel):
    """Within what a canary must stay, lest it steps back to shadow. In a change, what is left out stays."""

    failure_percent: _FailurePercent | None = None
    p95_ms: _P95Ms | None = None
    change_percent: _ChangePercent | None = None
    min_calls: _MinCalls = 20


class BoundsView(ApiModel):
    """Within what a canary must stay, lest it steps back to shadow; null is no bound."""

    failure_percent: float | None = Field(description="How many of 100 calls may fail.", examples=[5])
    p95_ms: float | None = Field(description="What 95 % of the calls must take.", examples=[200])
    change_percent: float | None = Field(description="How many of 100 calls may change the result.", examples=[None])
    min_calls: int = Field(description="Nothing is concluded from fewer calls than these.", examples=[20])

    @classmethod
    def of(cls, bounds: CanaryBounds | None) -> BoundsView | None:
        """The view of a hook's bounds, if it has any."""
        if bounds is None:
            return None
        return cls(
            failure_percent=bounds.failure_percent,
            p95_ms=bounds.p95_ms,
            change_percent=bounds.change_percent,
            min_calls=bounds.min_calls,
        )
