"""The settings about notifications: publishing, delivering, and what is kept of it."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from gateway.config.kinds import FROZEN, Count, ListenAddress, Switch

_HOUR = 3_600


class RelaySettings(BaseModel):
    """[relay]: how events are published and delivered."""

    model_config = FROZEN

    enabled: Switch = Field(
        default=True,
        description="Whether this process delivers. Off, it only publishes, and `gateway relay` elsewhere delivers.",
    )
    listen: ListenAddress | None = Field(
        default=None,
        description="Where `gateway relay` shows /metrics, /healthz and /readyz; unset, nowhere.",
    )
    concurrency: Count = Field(
        default=256,
        ge=1,
        le=10_000,
        description="How many deliveries may be under way at once, for all endpoints together.",
    )
    timeout_ms: Count = Field(
        default=15_000,
        ge=1,
        le=300_000,
        description="How long one attempt may take, all of it together, in ms.",
    )
    lease_margin_seconds: Count = Field(
        default=15,
        ge=1,
        le=3_600,
        description="By how much the lease on a delivery outlasts that, in seconds: so long after a relay was killed, "
        "another one takes over what it had.",
    )
    schedule_seconds: tuple[Annotated[int, Field(ge=0, le=30 * 86_400)], ...] = Field(
        default=(0, 5, 300, 1_800, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 14 * _HOUR, 20 * _HOUR, 24 * _HOUR),
        min_length=1,
        max_length=100,
        description="The wait before the first attempt, then before each further one, in seconds. After the last one, "
        "a delivery is a dead letter.",
    )
    jitter_percent: Count = Field(
        default=20,
        ge=0,
        le=100,
        description="By how much such a wait is made longer at most, at random, in percent.",
    )
    max_retry_after_seconds: Count = Field(
        default=24 * _HOUR,
        ge=0,
        le=30 * 86_400,
        description="How long an endpoint can ask to be left alone by a `Retry-After`, in seconds.",
    )
    pause_after_failures: Count = Field(
        default=10,
        ge=1,
        le=1_000_000,
        description="A subscription is paused after so many failed attempts in a row, if they took that long, too.",
    )
    pause_after_seconds: Count = Field(
        default=_HOUR,
        ge=0,
        le=30 * 86_400,
        description="For how long, in seconds, they must have failed. Its events are kept.",
    )
    first_probe_seconds: Count = Field(
        default=60,
        ge=1,
        le=86_400,
        description="How long after that one delivery is tried, in seconds; each next time it is twice as long.",
    )
    longest_probe_seconds: Count = Field(
        default=_HOUR,
        ge=1,
        le=7 * 86_400,
        description="The longest time between such tries, in seconds. At least relay.first_probe_seconds.",
    )
    keep_days: Count = Field(
        default=7,
        ge=1,
        le=3_650,
        description="How long events and deliveries are kept that are over, in days.",
    )
    keep_dead_days: Count = Field(
        default=30,
        ge=1,
        le=3_650,
        description="How long dead letters are kept, in days. What is still to be delivered is kept for ever.",
    )
    max_event_bytes: Count = Field(
        default=256 * 1024,
        ge=1_024,
        le=16 * 1024 * 1024,
        description="The largest data of an event, as JSON.",
    )
    max_response_bytes: Count = Field(
        default=256 * 1024,
        ge=1_024,
        le=16 * 1024 * 1024,
        description="How much of an endpoint's answer is read; its status counts in any case.",
    )
    excerpt_bytes: Count = Field(
        default=2_048,
        ge=0,
        le=65_536,
        description="How much of it is kept with the attempt.",
    )
    allow_insecure_ssl: Switch = Field(
        default=False,
        description="Whether a subscription may ask that certificates go unverified (insecure_ssl).",
    )
    poll_ms: Count = Field(
        default=500,
        ge=10,
        le=60_000,
        description="How often the store is asked for what other processes published, in ms.",
    )
    stop_seconds: Count = Field(
        default=10,
        ge=0,
        le=300,
        description="How long deliveries that are under way may take when the process is asked to end, in seconds.",
    )

    @model_validator(mode="after")
    def _times_fit(self) -> Self:
        if any(wait < 1 for wait in self.schedule_seconds[1:]):
            raise ValueError("schedule_seconds must wait at least 1 s before each attempt but the first")
        if self.first_probe_seconds > self.longest_probe_seconds:
            raise ValueError(
                f"first_probe_seconds ({self.first_probe_seconds}) must be at most longest_probe_seconds "
                f"({self.longest_probe_seconds}); lower the one or raise the other",
            )
        return self
