"""Query parameters, whole queries, and what is told of the gateway itself."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from gateway.service.models.base import DIGITS, ApiModel, Time
from gateway.service.models.fields import Text

__all__ = [
    "Alive",
    "CertificateShown",
    "ForIntegration",
    "HookList",
    "Paging",
    "QueryRequest",
    "Ready",
    "UpstreamShown",
]


class Paging(ApiModel):
    """Which part of a list."""

    limit: Annotated[int, Field(ge=1, le=500, description="The most items of one page.", examples=[50]), DIGITS] = 50
    cursor: str | None = Field(
        default_factory=lambda: None, description="The next_cursor of the page before; left out for the first."
    )


class ForIntegration(ApiModel):
    """On whose behalf."""

    integration: str | None = Field(
        default_factory=lambda: None,
        description="The id of an integration: an operator makes the call for it. Its own key needs none.",
        examples=["int_1c9d7x2k4m6p8q0r"],
    )


class HookList(Paging, ForIntegration):
    """Which hooks."""


class QueryRequest(ApiModel):
    """One question put to the data source."""

    type: Text = Field(description="The webhook type.", examples=["search"])
    capability: Text | None = Field(
        default=None, description="The routing key: which piece of handler logic fits.", examples=["prices"]
    )
    tenant: Text | None = Field(default=None, description="On whose behalf.", examples=["acme"])
    params: Any = Field(default=None, description="Any JSON: what the data source needs.", examples=[{"country": "IS"}])
    context: Any = Field(default=None, description="Any JSON, such as metadata of the user.", examples=[{"user": "u1"}])


class Alive(ApiModel):
    """The process answers."""

    status: Literal["ok"] = Field(default="ok", description="Always this.", examples=["ok"])


class UpstreamShown(ApiModel):
    """What is known of a query API."""

    url: str = Field(description="Its base URL.", examples=["http://127.0.0.1:9000"])
    state: str = Field(
        json_schema_extra={"enum": ["unknown", "up", "down"]},
        description="`unknown` until it is asked for the first time.",
        examples=["up"],
    )
    why: str | None = Field(description="Why it is down.", examples=["refused"])


class CertificateShown(ApiModel):
    """A certificate that clients are shown."""

    of: Literal["server", "control"] = Field(
        description="The section of the settings that names it.", examples=["server"]
    )
    not_after: Time | None = Field(description="When it ends; null if that is not known, or was over when it was read.")
    expired: bool = Field(description="Whether that has passed.", examples=[False])


class Ready(ApiModel):
    """The gateway can do its work."""

    status: Literal["ready"] = Field(default="ready", description="Always this.", examples=["ready"])
    generation: int = Field(description="The registry generation that queries see.", examples=[17])
    enabled_hooks: int = Field(description="How many hooks are enabled.", examples=[4])
    upstreams: list[UpstreamShown] = Field(
        default_factory=list, description="The query APIs behind the standalone gateway."
    )
    certificates: list[CertificateShown] = Field(
        default_factory=list, description="The certificates that clients are shown."
    )
