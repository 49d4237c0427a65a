"""The settings about hooks and integrations in trouble: breakers and health checks."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, Field, model_validator

from gateway.config.kinds import FROZEN, Count, Switch


class BreakerSettings(BaseModel):
    """[breaker]: when a hook that is in trouble is left alone for a while."""

    model_config = FROZEN

    enabled: Switch = Field(
        default=True,
        description="Whether failures and slow calls open a hook's breaker. Off, a `Retry-After` still does.",
    )
    window_ms: Count = Field(
        default=30_000,
        ge=1_000,
        le=3_600_000,
        description="The time that is looked back on, in ms.",
    )
    min_calls: Count = Field(
        default=5,
        ge=1,
        le=1_000_000,
        description="A breaker does not open before this many calls of its hook ended within the window.",
    )
    failure_percent: Count = Field(
        default=50,
        ge=1,
        le=100,
        description="It opens when at least this share of them failed, in percent.",
    )
    slow_percent: Count = Field(
        default=90,
        ge=1,
        le=100,
        description="It opens when at least this share of them was slow, in percent. A timeout is slow, too.",
    )
    slow_share_percent: Count = Field(
        default=80,
        ge=1,
        le=100,
        description="A call is slow that takes more than this share of its hook's time limit, in percent.",
    )
    open_ms: Count = Field(
        default=5_000,
        ge=1,
        le=3_600_000,
        description="How long it is open the first time, in ms; each next time twice as long, less up to a fifth.",
    )
    max_open_ms: Count = Field(
        default=120_000,
        ge=1,
        le=86_400_000,
        description="The longest that it is open, also by a `Retry-After`, in ms. At least breaker.open_ms.",
    )
    probes: Count = Field(
        default=1,
        ge=1,
        le=1_000,
        description="How many calls are let through after that to see; all of them must go well to close it.",
    )

    @model_validator(mode="after")
    def _times_fit(self) -> Self:
        if self.open_ms > self.max_open_ms:
            raise ValueError(
                f"open_ms ({self.open_ms}) must be at most max_open_ms ({self.max_open_ms}); "
                "lower the one or raise the other",
            )
        return self


class HealthSettings(BaseModel):
    """[health]: how integrations with a health path are watched."""

    model_config = FROZEN

    interval_seconds: Count = Field(
        default=10,
        ge=1,
        le=86_400,
        description="How often an integration is asked while any of its hooks is enabled; each time up to a tenth "
        "sooner or later.",
    )
    timeout_ms: Count = Field(
        default=2000,
        ge=1,
        le=60_000,
        description="How long an answer may take, in ms.",
    )
    down_after_seconds: Count = Field(
        default=30,
        ge=0,
        le=86_400,
        description="After failing for so long, its hooks are suspended until the first good answer; 0: at once.",
    )
