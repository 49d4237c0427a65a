"""What differs between two configurations, key by key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.config.keys import describe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config.settings import Settings

__all__ = ["changed_keys", "values_of"]


def values_of(settings: Settings) -> dict[str, Any]:
    """Each setting by its key; a list of tables is one value."""
    return {line.key: _value(settings, line.key) for line in describe() if "[]" not in line.key}


def changed_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys whose values differ, in the order of the file."""
    return tuple(key for key, value in after.items() if before[key] != value)


def _value(settings: Settings, key: str) -> Any:
    value: Any = settings
    for part in key.split("."):
        value = getattr(value, part)
    return value
