"""What all documents of the control API have in common."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from gateway.model import (
    Delivery,
    FailurePolicy,
    Granularity,
    Mode,
    OnOverload,
    OnViolation,
    RowCount,
    StickyBy,
)

__all__ = [
    "DIGITS",
    "WHOLE",
    "ApiModel",
    "FieldProblem",
    "Nothing",
    "Problem",
    "Time",
    "listed",
    "pointers",
    "rfc3339",
    "to_model",
]


class ApiModel(BaseModel):
    """A document of the API: no unknown members, no guessing of types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Nothing(ApiModel):
    """An operation without query parameters, or without a body."""


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _digits(value: Any) -> Any:
    return int(value) if isinstance(value, str) and re.fullmatch("-?[0-9]{1,18}", value) else value


# To be put behind the bounds in an Annotated: in front of them, pydantic writes no minimum and maximum into the schema.
WHOLE = BeforeValidator(_whole)
"""For an integer as JSON Schema means it: 3.0 is one, "3" and true are not."""

DIGITS = BeforeValidator(_digits)
"""For an integer in a query parameter, in plain decimal digits."""

Time = Annotated[
    str,
    Field(
        description="RFC 3339, UTC, milliseconds.",
        examples=["2026-01-31T12:00:00.000Z"],
        json_schema_extra={"format": "date-time"},
    ),
]


def rfc3339(seconds: float) -> str:
    """Seconds since 1970 as the API writes times."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def listed(values: frozenset[str] | None) -> list[str] | None:
    """A set as the API writes it: sorted; `None` stays."""
    return None if values is None else sorted(values)


def pointers(values: tuple[str, ...] | None) -> list[str] | None:
    """Some pointers as the API writes them: in the order in which they were given; `None` stays."""
    return None if values is None else list(values)


def to_model(values: dict[str, Any]) -> dict[str, Any]:
    """Field values as `gateway.model` has them: sets, tuples, enumerations and a schema's text."""
    kinds: dict[str, Any] = {
        "types": frozenset,
        "capabilities": frozenset,
        "tenants": frozenset,
        "failure_policy": FailurePolicy,
        "delivery": Delivery,
        "on_overload": OnOverload,
        "reads": tuple,
        "writes": tuple,
        "keep": tuple,
        "on_violation": OnViolation,
        "row_count": RowCount,
        "granularity": Granularity,
        "mode": Mode,
        "modes": lambda names: frozenset(map(Mode, names)),
        "sticky_by": StickyBy,
        "result_schema": lambda schema: json.dumps(schema, ensure_ascii=False, separators=(",", ":")),
    }
    return {
        name: kinds[name](value) if name in kinds and value is not None else value for name, value in values.items()
    }


class FieldProblem(BaseModel):
    """One thing that is wrong with the input."""

    field: str = Field(
        description="A JSON Pointer into the body, or `?name` for a query parameter.",
        examples=["/envelope/max_timeout_ms"],
    )
    detail: str = Field(description="What is expected.", examples=["must be at most 10000"])


class Problem(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="The kind of problem; `about:blank` where the status says it all.")
    title: str = Field(description="The name of the kind of problem.", examples=["Not Found"])
    status: int = Field(description="The HTTP status.", examples=[404])
    detail: str | None = Field(default=None, description="What is wrong, and the way out.")
    instance: str = Field(
        description="Names this one request; the gateway's log knows it by this name.",
        examples=["urn:gateway:request:req_5b1f0c9de2a4a7731"],
    )
    errors: list[FieldProblem] | None = Field(default=None, description="With status 422: each wrong field.")
