"""The header that counts nested gateway calls, so that loops end."""

from __future__ import annotations

from typing import Final

DEPTH: Final = "gateway-depth"


def depth_of(value: str | None) -> int:
    """The depth that a request came with; what is no small whole number counts as none."""
    return int(value) if value and value.isascii() and value.isdigit() and len(value) <= 6 else 0
