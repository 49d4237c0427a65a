"""What the server grants to clients: sizes, numbers and times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from gateway.config import ServerSettings

__all__ = ["FrontSettings"]


@dataclass(frozen=True, slots=True)
class FrontSettings:
    """Limits in bytes and numbers, time limits in seconds; each is explained at its setting in `[server]`."""

    max_header_bytes: int = 32 * 1024
    max_headers: int = 100
    max_target_bytes: int = 8 * 1024
    max_connections: int = 10_000
    head_timeout_seconds: float = 10.0
    body_timeout_seconds: float = 30.0
    idle_timeout_seconds: float = 75.0
    write_timeout_seconds: float = 30.0

    @classmethod
    def of(cls, settings: ServerSettings) -> Self:
        """As configured in `[server]`."""
        return cls(
            max_header_bytes=settings.max_header_bytes,
            max_headers=settings.max_headers,
            max_target_bytes=settings.max_target_bytes,
            max_connections=settings.max_connections,
            head_timeout_seconds=settings.head_timeout_seconds,
            body_timeout_seconds=settings.body_timeout_seconds,
            idle_timeout_seconds=settings.idle_timeout_seconds,
            write_timeout_seconds=settings.write_timeout_seconds,
        )
