"""A step of a roll-out as the control API takes it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateway.model import Mode
from gateway.service.models.base import ApiModel
from gateway.service.models.plan_fields import Percent

__all__ = ["ToPromote"]


class ToPromote(ApiModel):
    """Which step; without any member, the next one that the envelope allows."""

    mode: Literal["canary", "active"] | None = Field(
        default=None,
        description="Where to; null: the next step, or a canary where there is a percent.",
        examples=["canary"],
    )
    percent: Percent | None = Field(
        default=None, description="For how many of 100 queries a canary is active; null: its own, or 10.", examples=[5]
    )

    def step(self) -> Mode | None:
        """The mode, if one is named."""
        return None if self.mode is None else Mode(self.mode)
