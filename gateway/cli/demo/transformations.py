"""What the demo's hooks do to a table, as plain functions: `{"columns": […], "rows": [[…]]}` in, a reply out.

A function returns `None` where it has nothing to change, which its server answers as `204`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

__all__ = ["TRANSFORMATIONS", "Reply", "Transformation"]

REPLACE: Final = "application/json"
JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"

_METRES_PER_FOOT: Final = 0.3048
_PLACE: Final = ("lat", "lon")


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply to the gateway: the media type says how `document` is meant (replacement or patch)."""

    content_type: str
    document: Any


@dataclass(frozen=True, slots=True)
class Transformation:
    """One useful hook: its name, what it does in a few words, what it serves, its place and its function."""

    name: str
    about: str
    types: Sequence[str]
    order: int
    reply: Callable[[Mapping[str, Any], datetime], Reply | None]
    tenants: Sequence[str] | None = None


def metric_units(table: Mapping[str, Any], _now: datetime) -> Reply | None:
    """Feet become metres: columns `…_ft` are converted and renamed `…_m`. Replies with the whole new result."""
    columns = table["columns"]
    feet = {at for at, column in enumerate(columns) if column.endswith("_ft")}
    if not feet:
        return None
    names = [column.removesuffix("_ft") + "_m" if at in feet else column for at, column in enumerate(columns)]
    rows = [
        [round(cell * _METRES_PER_FOOT, 1) if at in feet and cell is not None else cell for at, cell in enumerate(row)]
        for row in table["rows"]
    ]
    return Reply(REPLACE, {**table, "columns": names, "rows": rows})


def height_rank(table: Mapping[str, Any], _now: datetime) -> Reply | None:
    """A computed ranking: column `rank`, 1 for the highest place, equal heights share a rank.

    Replies with a merge patch, which leaves every other member of the result alone.
    """
    columns, rows = table["columns"], table["rows"]
    at = next((n for n, column in enumerate(columns) if column.startswith(("elev_", "highest_"))), None)
    if at is None or len(rows) < 2:
        return None
    heights = sorted((row[at] for row in rows), reverse=True)
    return Reply(
        MERGE_PATCH,
        {"columns": ["rank", *columns], "rows": [[heights.index(row[at]) + 1, *row] for row in rows]},
    )


def local_time(table: Mapping[str, Any], now: datetime) -> Reply | None:
    """Supplements each row from a second source, the time zone database. Replies with a JSON Patch."""
    columns, rows = table["columns"], table["rows"]
    if "tz" not in columns or not rows:
        return None
    at = columns.index("tz")
    operations: list[dict[str, str]] = [{"op": "add", "path": "/columns/-", "value": "local_time"}]
    for number, row in enumerate(rows):
        there = now.astimezone(ZoneInfo(row[at]))
        operations.append({"op": "add", "path": f"/rows/{number}/-", "value": f"{there:%H:%M}{_offset(there)}"})
    return Reply(JSON_PATCH, operations)


def _offset(there: datetime) -> str:
    text = f"{there:%z}"
    return f"{text[:3]}:{text[3:5]}"


def redact_coordinates(table: Mapping[str, Any], _now: datetime) -> Reply | None:
    """Removes the columns `lat` and `lon`. Replies with the whole new result."""
    columns = table["columns"]
    kept = [at for at, column in enumerate(columns) if column not in _PLACE]
    if len(kept) == len(columns):
        return None
    return Reply(
        REPLACE,
        {**table, "columns": [columns[at] for at in kept], "rows": [[row[at] for at in kept] for row in table["rows"]]},
    )


TRANSFORMATIONS: Final = (
    Transformation("metric-units", "replace: feet become metres", ("airports", "countries"), 10, metric_units),
    Transformation("height-rank", "merge patch: a rank by height", ("airports", "countries"), 20, height_rank),
    Transformation("local-time", "JSON Patch: each row's local time", ("airports",), 30, local_time),
    Transformation(
        "redact-coordinates",
        "replace: no coordinates for 'public'",
        ("airports", "countries", "nearby"),
        90,
        redact_coordinates,
        tenants=("public",),
    ),
)
