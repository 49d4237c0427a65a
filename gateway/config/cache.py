"""The settings of the cache of replies."""

from __future__ import annotations

from pydantic import BaseModel, Field

from gateway.config.kinds import FROZEN, Count


class CacheSettings(BaseModel):
    """[cache]: the replies of hooks that are used again, as far as their `Cache-Control` allows."""

    model_config = FROZEN

    max_seconds: Count = Field(
        default=3600,
        ge=0,
        le=31_536_000,
        description="For how long a reply may be used again at most, whatever it says; 0: never, for no hook.",
    )
    max_bytes: Count = Field(
        default=64 * 1024 * 1024,
        ge=1,
        le=1024 * 1024 * 1024 * 1024,
        description="The memory that replies may take, all together; the one not used for longest makes room.",
    )
    max_entries: Count = Field(
        default=10_000,
        ge=1,
        le=100_000_000,
        description="How many replies are kept at most.",
    )
