"""A hook's breaker as the control API shows it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateway.service.models.base import ApiModel, Time

__all__ = ["BreakerStatus"]


class BreakerStatus(ApiModel):
    """The breaker of a hook, in the process that answers, and how many of its calls are under way there."""

    state: Literal["closed", "half_open", "open"] = Field(
        description="Whether it is called: yes, a few times to see, or not at all.", examples=["open"]
    )
    since: Time | None = Field(description="Since when; null: since it was enabled, changed, or first called.")
    reason: str | None = Field(description="Why its state last changed.", examples=["5 of 5 calls failed within 30 s"])
    calls: int = Field(ge=0, description="Calls that ended within the window.", examples=[5])
    failure_rate: float = Field(ge=0, le=1, description="The share of them that failed.", examples=[1.0])
    slow_rate: float = Field(ge=0, le=1, description="The share of them that was slow.", examples=[1.0])
    next_probe_at: Time | None = Field(description="When an open breaker lets a call through again; else null.")
    in_use: int = Field(ge=0, description="Calls under way.", examples=[0])
    waiting: int = Field(ge=0, description="Calls that wait for a place.", examples=[0])
