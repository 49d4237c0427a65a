"""What the control API says after a purge."""

from __future__ import annotations

from pydantic import Field

from gateway.service.models.base import ApiModel

__all__ = ["Purged"]


class Purged(ApiModel):
    """A hook whose replies were forgotten."""

    id: str = Field(description="Its id.", examples=["hk_3f8k2m9q4r7t1v5x"])
    generation: int = Field(ge=0, description="The generation of the registry that it has now.", examples=[18])
    purged: int = Field(
        ge=0, description="How many replies the process that answers had kept, of all its generations.", examples=[3]
    )
