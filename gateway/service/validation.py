"""What pydantic found wrong, said in plain sentences: where, what was expected, what came instead."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args

from pydantic import BaseModel, RootModel, ValidationError

from gateway.errors import FieldError, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic_core import ErrorDetails

__all__ = ["MOST_ERRORS", "checked", "checked_query", "kind_of", "pointer"]

MOST_ERRORS: Final = 50  # a flood of wrong members must not keep the event loop busy

M = TypeVar("M", bound=BaseModel)

_EXPECTED: Final[Mapping[str, str]] = {
    "string_type": "a string",
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "dict_type": "an object",
}

_BOUNDS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "greater_than_equal": lambda ctx: f"must be at least {_number(ctx['ge'])}",
    "less_than_equal": lambda ctx: f"must be at most {_number(ctx['le'])}",
    "string_too_short": lambda ctx: f"must have at least {_count(ctx['min_length'], 'character')}",
    "string_too_long": lambda ctx: f"must have at most {_count(ctx['max_length'], 'character')}",
    "too_short": lambda ctx: f"must have at least {_count(ctx['min_length'], 'item')}",
    "too_long": lambda ctx: f"must have at most {_count(ctx['max_length'], 'item')}",
}


def checked(model: type[M], value: Any) -> M:
    """The body `value` (parsed JSON) as `model`. Raises `InvalidInput`, its fields JSON Pointers (RFC 6901)."""
    try:
        return model.model_validate(value)
    except ValidationError as e:
        raise InvalidInput(*_told(model, e, _in_body)) from None


def checked_query(model: type[M], pairs: Sequence[tuple[str, str]]) -> M:
    """The query parameters `pairs` as `model`. Raises `InvalidInput`, its fields `?name`."""
    values: dict[str, str] = {}
    repeated = []
    for name, value in pairs:
        if name in values:
            repeated.append(FieldError(_in_query((name,)), "must be given once"))
        values[name] = value
    if repeated:
        raise InvalidInput(*repeated)
    try:
        return model.model_validate(values)
    except ValidationError as e:
        raise InvalidInput(*_told(model, e, _in_query)) from None


def pointer(*parts: str | int) -> str:
    """A JSON Pointer. Long names, which only a wrong input has, are cut."""
    return "".join("/" + str(part)[:100].replace("~", "~0").replace("/", "~1") for part in parts)


def kind_of(value: Any) -> str:
    """What kind of JSON value this is; never the value itself, which may be a secret."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    kinds = {int: "an integer", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return kinds.get(type(value), "something else")


def _in_body(loc: tuple[str | int, ...]) -> str:
    return pointer(*loc)


def _in_query(loc: tuple[str | int, ...]) -> str:
    return "?" + str(loc[0])[:100] if loc else "?"


def _told(
    model: type[BaseModel], error: ValidationError, field: Callable[[tuple[str | int, ...]], str]
) -> list[FieldError]:
    found = error.errors(include_url=False)[:MOST_ERRORS]
    return [FieldError(field(each["loc"]), _sentence(model, each)) for each in found]


def _sentence(model: type[BaseModel], error: ErrorDetails) -> str:
    kind, loc, context = error["type"], error["loc"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(model, loc)
    if kind == "missing":
        return "is required"
    if kind in _EXPECTED:
        return f"must be {_EXPECTED[kind]}, not {kind_of(error['input'])}"
    if kind == "literal_error":
        return _choice(context["expected"], error["input"])
    if kind in _BOUNDS:
        return _BOUNDS[kind](context)
    if kind == "value_error":
        return str(context["error"])
    return f"cannot be used: {error['msg']}"


def _unknown(model: type[BaseModel], loc: tuple[str | int, ...]) -> str:
    known = list(_model_at(model, loc[:-1]).model_fields)
    near = get_close_matches(str(loc[-1])[:100], known, n=1)
    if near:
        return f"is not known here; did you mean {near[0]!r}?"
    return "is not known here; known are " + ", ".join(known) if known else "is not known here; nothing is"


def _model_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> type[BaseModel]:
    for part in loc:
        if isinstance(part, int) and not issubclass(model, RootModel):
            continue  # the place in a list, whose items the member before it has led to
        name = "root" if issubclass(model, RootModel) else str(part)
        model = _model_in(model.model_fields[name].annotation) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _model_in(arg))), None)


def _choice(expected: str, value: Any) -> str:
    if not isinstance(value, str):
        return f"must be {expected}, not {kind_of(value)}"
    near = get_close_matches(value[:100], re.findall("'([^']*)'", expected), n=1)
    return f"must be {expected}" + (f"; did you mean {near[0]!r}?" if near else "")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
