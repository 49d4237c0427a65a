"""The fields that several documents share, each with its words, bounds and an example."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from gateway.service.models.base import WHOLE

__all__ = [
    "MAX_LEASE_SECONDS",
    "BaseUrl",
    "DeliveryForm",
    "Enabled",
    "HealthPath",
    "HookName",
    "HookPath",
    "Id",
    "IntegrationName",
    "MaxConcurrency",
    "MaxTimeoutMs",
    "NextCursor",
    "OnOverload",
    "Order",
    "Policy",
    "Priority",
    "ReasonText",
    "Retry",
    "Text",
    "TimeoutMs",
    "Version",
    "Words",
]

MAX_LEASE_SECONDS: Final = 30 * 86400
_MOST: Final = 2**31 - 1

Text = Annotated[str, Field(min_length=1, max_length=200)]


def _told(description: str, *examples: Any, **schema: Any) -> Any:
    return Field(description=description, examples=list(examples), json_schema_extra=schema or None)


# The registry checks what `json_schema_extra` states here, with sentences of its own.
IntegrationName = Annotated[
    str,
    _told(
        "Unique among the integrations: letters, digits, spaces and _.:@+- .",
        "prices",
        minLength=1,
        maxLength=100,
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9_ .:@+-]*[A-Za-z0-9_])?$",
    ),
]
HookName = Annotated[str, _told("Unique within its integration.", "price-fx", pattern="^[a-z][a-z0-9_.-]{0,62}$")]
BaseUrl = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2000,
        description="Where its hooks are: the path of a hook is put behind it. https, unless the gateway allows http.",
        examples=["https://hooks.example.com/query"],
    ),
]
HookPath = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1000,
        description="Absolute; put behind the integration's base_url.",
        examples=["/price-fx"],
    ),
]
HealthPath = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1000,
        description="Absolute; where the integration answers health checks.",
        examples=["/health"],
    ),
]
Words = Annotated[list[Text], Field(min_length=1, max_length=1000)]
Priority = Annotated[
    int,
    Field(
        ge=-_MOST,
        le=_MOST,
        description="Integrations run by priority, higher first, then by name.",
        examples=[10],
    ),
    WHOLE,
]
Order = Annotated[
    int,
    Field(
        ge=-_MOST,
        le=_MOST,
        description="The hooks of one integration run in this order, lower first, then by name.",
        examples=[1],
    ),
    WHOLE,
]
TimeoutMs = Annotated[
    int,
    Field(
        ge=1,
        le=3_600_000,
        description="The time limit of a call, everything included. At most the envelope's and the gateway's own.",
        examples=[500],
    ),
    WHOLE,
]
MaxTimeoutMs = Annotated[
    int,
    Field(
        ge=1,
        le=3_600_000,
        description="The highest time limit that a hook may have. At most the gateway's own ceiling.",
        examples=[2000],
    ),
    WHOLE,
]
MaxConcurrency = Annotated[
    int,
    Field(
        ge=1,
        le=10_000,
        description="How many of its calls may be under way at once. At most the gateway's number, the default.",
        examples=[20],
    ),
    WHOLE,
]
OnOverload = Annotated[
    Literal["wait", "skip"],
    _told(
        "What a call does when that many are under way: wait for a place within the deadline, or fail at once.", "wait"
    ),
]
Retry = Annotated[
    bool,
    _told(
        "Whether a call that found no connection is made once more, with the same webhook-id, within the deadline.",
        False,
    ),
]
Policy = Annotated[
    Literal["ignore", "fail"],
    _told("What a hook's failure means for the query: the last good result is the answer, or an error is.", "ignore"),
]
DeliveryForm = Annotated[
    Literal["structured", "binary"],
    _told("The CloudEvents HTTP content mode of a call.", "structured"),
]
ReasonText = Annotated[
    str,
    Field(max_length=500, description="Why it is disabled; shown with the hook.", examples=["maintenance until noon"]),
]
Id = Annotated[str, _told("Given by the gateway.", "hk_3f8k2m9q4r7t1v5x")]
Enabled = Annotated[bool, _told("The operator's own switch: while it is off, none of its hooks are called.", True)]
Version = Annotated[int, _told("Counts the changes; the ETag is this number in double quotes.", 3)]
NextCursor = Annotated[
    str | None, _told("Ask with cursor=… for the next page; null on the last one.", "WyJwcmljZXMiXQ")
]
