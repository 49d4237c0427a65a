"""Hooks as the control API takes and gives them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, Field, RootModel

from gateway.model import CanaryBounds
from gateway.registry import HookChoice, HookDraft
from gateway.service.models.base import ApiModel, Time, listed, pointers, rfc3339, to_model
from gateway.service.models.fields import (
    MAX_LEASE_SECONDS,
    DeliveryForm,
    HookName,
    HookPath,
    Id,
    MaxConcurrency,
    NextCursor,
    OnOverload,
    Order,
    Policy,
    ReasonText,
    Retry,
    Text,
    TimeoutMs,
    Version,
    Words,
)
from gateway.service.models.plan_fields import (
    BatchRows,
    BoundsDraft,
    BoundsView,
    Cache,
    Coalesce,
    Condition,
    GranularityName,
    Keep,
    MaxGrowth,
    ModeName,
    OnViolationName,
    Percent,
    Reads,
    ResultSchema,
    RowCountName,
    RowsAt,
    StickyByName,
    Writes,
)

if TYPE_CHECKING:
    from gateway.model import Hook

__all__ = [
    "HookChange",
    "HookPage",
    "HookRequest",
    "HookSet",
    "HookView",
    "HooksChanged",
    "ManyToDisable",
    "ManyToEnable",
    "ToDisable",
    "ToEnable",
]

_ALL = "null: all that the envelope allows."


class HookRequest(ApiModel):
    """What an integration server says of one of its hooks."""

    name: HookName
    path: HookPath
    types: Words | None = Field(default=None, description=f"The query types it serves; {_ALL}", examples=[["search"]])
    capabilities: Words | None = Field(
        default=None, description=f"The capabilities it serves; {_ALL}", examples=[["prices"]]
    )
    tenants: Words | None = Field(default=None, description=f"The tenants it serves; {_ALL}", examples=[["acme"]])
    order: Order = 0
    timeout_ms: TimeoutMs | None = Field(default=None)
    failure_policy: Policy = "ignore"
    delivery: DeliveryForm = "structured"
    max_concurrency: MaxConcurrency | None = None
    on_overload: OnOverload = "wait"
    retry: Retry = False
    condition: Condition | None = None
    reads: Reads | None = None
    writes: Writes | None = None
    on_violation: OnViolationName = "fail"
    max_growth: MaxGrowth | None = None
    row_count: RowCountName | None = None
    keep: Keep | None = None
    result_schema: ResultSchema | None = None
    granularity: GranularityName = "result"
    rows_at: RowsAt | None = None
    batch_rows: BatchRows | None = None
    coalesce: Coalesce = False
    cache: Cache = True
    mode: ModeName = "active"
    percent: Percent | None = None
    sticky_by: StickyByName = "tenant"
    bounds: BoundsDraft | None = None

    def draft(self) -> HookDraft:
        """The same for the registry."""
        values = to_model(self.model_dump(exclude={"bounds"}))
        bounds = None if self.bounds is None else CanaryBounds(**self.bounds.model_dump())
        return HookDraft(**values, bounds=bounds)


class HookSet(RootModel[list[HookRequest]]):
    """All hooks of an integration: those not named here are removed, those of the same name keep their id."""

    root: list[HookRequest] = Field(max_length=1000)


class HookChange(ApiModel):
    """A merge patch (RFC 7396): what is left out stays; null, where allowed, is the default."""

    # The factories make a field optional without a default in the schema; their values are never read.
    name: HookName = Field(default_factory=str)
    path: HookPath = Field(default_factory=str)
    types: Words | None = Field(
        default_factory=lambda: None, description=f"The query types it serves; {_ALL}", examples=[["search"]]
    )
    capabilities: Words | None = Field(
        default_factory=lambda: None, description=f"The capabilities it serves; {_ALL}", examples=[["prices"]]
    )
    tenants: Words | None = Field(
        default_factory=lambda: None, description=f"The tenants it serves; {_ALL}", examples=[["acme"]]
    )
    order: Order = Field(default_factory=int)
    timeout_ms: TimeoutMs | None = Field(default_factory=lambda: None)
    failure_policy: Policy = Field(default_factory=lambda: "ignore")
    delivery: DeliveryForm = Field(default_factory=lambda: "structured")
    max_concurrency: MaxConcurrency | None = Field(default_factory=lambda: None)
    on_overload: OnOverload = Field(default_factory=lambda: "wait")
    retry: Retry = Field(default_factory=bool)
    condition: Condition | None = Field(default_factory=lambda: None)
    reads: Reads | None = Field(default_factory=lambda: None)
    writes: Writes | None = Field(default_factory=lambda: None)
    on_violation: OnViolationName = Field(default_factory=lambda: "fail")
    max_growth: MaxGrowth | None = Field(default_factory=lambda: None)
    row_count: RowCountName | None = Field(default_factory=lambda: None)
    keep: Keep | None = Field(default_factory=lambda: None)
    result_schema: ResultSchema | None = Field(default_factory=lambda: None)
    granularity: GranularityName = Field(default_factory=lambda: "result")
    rows_at: RowsAt | None = Field(default_factory=lambda: None)
    batch_rows: BatchRows | None = Field(default_factory=lambda: None)
    coalesce: Coalesce = Field(default_factory=bool)
    cache: Cache = Field(default_factory=bool)
    mode: ModeName = Field(default_factory=lambda: "active")
    percent: Percent | None = Field(default_factory=lambda: None)
    sticky_by: StickyByName = Field(default_factory=lambda: "tenant")
    bounds: BoundsDraft | None = Field(default_factory=lambda: None)

    def given(self) -> dict[str, Any]:
        """The fields that were sent, for the registry."""
        return to_model(self.model_dump(exclude_unset=True))


class HookView(ApiModel):
    """A hook: what its owner declared, and what it is doing."""

    id: Id
    integration_id: Id = Field(examples=["int_1c9d7x2k4m6p8q0r"])
    name: HookName
    path: HookPath
    types: list[str] | None = Field(description=f"The query types it serves; {_ALL}", examples=[["search"]])
    capabilities: list[str] | None = Field(description=f"The capabilities it serves; {_ALL}", examples=[["prices"]])
    tenants: list[str] | None = Field(description=f"The tenants it serves; {_ALL}", examples=[None])
    order: Order
    timeout_ms: int | None = Field(description="Its time limit; null: the gateway's default.", examples=[500])
    failure_policy: Policy
    delivery: DeliveryForm
    max_concurrency: int | None = Field(
        description="How many of its calls may be under way at once; null: the gateway's default.", examples=[20]
    )
    on_overload: OnOverload
    retry: Retry
    condition: str | None = Field(description="CEL: it is called only where this is true.", examples=[None])
    reads: list[str] | None = Field(description="What of the result is sent; null: all of it.", examples=[None])
    writes: list[str] | None = Field(description="What may be changed; null: whatever was read.", examples=[None])
    on_violation: OnViolationName
    max_growth: float | None = Field(description="How many times as large the result may get.", examples=[None])
    row_count: RowCountName | None = Field(description="How the number of rows may differ.", examples=[None])
    keep: list[str] | None = Field(description="What must be there afterwards as it was.", examples=[None])
    result_schema: dict[str, Any] | None = Field(description="What the result must meet afterwards.", examples=[None])
    granularity: GranularityName
    rows_at: str | None = Field(description="Where the array of rows is.", examples=[None])
    batch_rows: int | None = Field(
        description="How many rows a batch has; null: as the gateway thinks.", examples=[None]
    )
    coalesce: Coalesce
    cache: Cache
    mode: ModeName = Field(description="The mode in force: shadow after a canary stepped back; see reason.")
    percent: float | None = Field(description="For how many of 100 queries a canary is active.", examples=[None])
    sticky_by: StickyByName
    bounds: BoundsView | None = Field(description="Within what a canary must stay; null: the gateway's own bounds.")
    enabled: bool = Field(description="Whether it is called.", examples=[True])
    state: Literal["enabled", "disabled", "suspended"] = Field(description="What it is doing.", examples=["enabled"])
    generation: int = Field(description="The registry generation of its last change.", examples=[17])
    reason: str | None = Field(
        description="Why it is disabled or suspended, or why a canary stepped back to shadow.", examples=[None]
    )
    lease_expires_at: Time | None = Field(description="When it ends by itself, unless it is enabled again before.")
    version: Version
    created_at: Time
    updated_at: Time

    @classmethod
    def of(cls, hook: Hook) -> HookView:
        """The view of a hook."""
        return cls(
            id=hook.id,
            integration_id=hook.integration_id,
            name=hook.name,
            path=hook.path,
            types=listed(hook.types),
            capabilities=listed(hook.capabilities),
            tenants=listed(hook.tenants),
            order=hook.order,
            timeout_ms=hook.timeout_ms,
            failure_policy=hook.failure_policy.value,
            delivery=hook.delivery.value,
            max_concurrency=hook.max_concurrency,
            on_overload=hook.on_overload.value,
            retry=hook.retry,
            condition=hook.condition,
            reads=pointers(hook.reads),
            writes=pointers(hook.writes),
            on_violation=hook.on_violation.value,
            max_growth=hook.max_growth,
            row_count=None if hook.row_count is None else hook.row_count.value,
            keep=pointers(hook.keep),
            result_schema=None if hook.result_schema is None else json.loads(hook.result_schema),
            granularity=hook.granularity.value,
            rows_at=hook.rows_at,
            batch_rows=hook.batch_rows,
            coalesce=hook.coalesce,
            cache=hook.cache,
            mode=hook.mode_in_force.value,
            percent=hook.percent,
            sticky_by=hook.sticky_by.value,
            bounds=BoundsView.of(hook.bounds),
            enabled=hook.enabled,
            state=hook.state.value,
            generation=hook.generation,
            reason=_reason(hook),
            lease_expires_at=None if hook.lease_expires_at is None else rfc3339(hook.lease_expires_at),
            version=hook.version,
            created_at=rfc3339(hook.created_at),
            updated_at=rfc3339(hook.updated_at),
        )


class HookPage(ApiModel):
    """A page of hooks, sorted by integration name, order and name."""

    items: list[HookView] = Field(description="The hooks.")
    next_cursor: NextCursor


class HooksChanged(HookPage):
    """The hooks that a bulk change was about, as they are now."""

    generation: int = Field(description="The registry generation since which this holds.", examples=[18])


class ToEnable(ApiModel):
    """How to enable."""

    lease_seconds: float | None = Field(
        default=None,
        ge=1,
        le=MAX_LEASE_SECONDS,
        description="Disable it by itself after this time, unless it is enabled again before; null: no end.",
        examples=[300],
    )


class ToDisable(ApiModel):
    """How to disable."""

    drain: bool = Field(
        default=False, description="Answer only once no call made before is in flight any more.", examples=[True]
    )
    reason: ReasonText | None = Field(default=None)


class _Choice(ApiModel):
    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": [name]} for name in ("ids", "types", "capabilities")]}
    )

    ids: list[Text] = Field(
        default_factory=list,
        min_length=1,
        max_length=1000,
        description="These very hooks.",
        examples=[["hk_3f8k2m9q4r7t1v5x"]],
    )
    types: Words = Field(
        default_factory=list, description="Hooks that serve any of these query types.", examples=[["search"]]
    )
    capabilities: Words = Field(
        default_factory=list, description="Hooks that serve any of these capabilities.", examples=[["prices"]]
    )

    def choice(self) -> HookChoice:
        """The same for the registry: what is given must all fit."""
        return HookChoice(**{name: frozenset(getattr(self, name)) or None for name in ("ids", "types", "capabilities")})


class ManyToEnable(_Choice, ToEnable):
    """Which hooks to enable (at least one of ids, types, capabilities; all that are given must fit), and how."""


class ManyToDisable(_Choice, ToDisable):
    """Which hooks to disable (at least one of ids, types, capabilities; all that are given must fit), and how."""


def _reason(hook: Hook) -> str | None:
    if not hook.enabled:
        return hook.reason
    return hook.suspended if hook.suspended is not None else hook.stepped_back
