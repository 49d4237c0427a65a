"""What pydantic found wrong, as sentences: which setting, what kind of value it has, and the way out."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

from gateway.config.keys import nearest_key

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_KINDS: Final[tuple[tuple[type, str], ...]] = (
    (bool, "a truth value"),
    (int, "a whole number"),
    (float, "a decimal number"),
    (str, "a text"),
    (list, "a list"),
    (dict, "a table"),
    (dt.date, "a date"),
    (dt.time, "a time"),
)
_WANTED: Final = {
    "dict_type": "a table",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "string_type": "a text",
    "tuple_type": "a list",
    "path_type": "a path",
    "dataclass_type": "a text",
    "is_instance_of": "a text",
}


def key_path(location: tuple[str | int, ...]) -> str:
    """`("routes", 0, "path")` as `routes[0].path`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".")


def sentence(error: ErrorDetails) -> str:
    """What is wrong, to be put behind the name of the setting. Never holds the value."""
    context: dict[str, Any] = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            return f"is not a setting; the nearest one is {nearest_key(error['loc'])}"
        case "missing":
            return "is missing; it has no default"
        case "value_error":
            return str(context["error"])
        case "greater_than_equal":
            return f"must be at least {context['ge']}"
        case "less_than_equal":
            return f"must be at most {context['le']}"
        case "too_short":
            return f"must have at least {context['min_length']} item(s)"
        case "string_too_short":
            return f"must have at least {context['min_length']} character(s)"
        case "string_too_long":
            return f"must have at most {context['max_length']} characters"
        case "string_pattern_mismatch":
            return "must consist of printable ASCII characters without spaces"
        case "literal_error":
            return f"must be one of {context['expected']}"
        case "model_type":
            wanted = "a text or a table" if context.get("class_name") == "Selector" else "a table"
            return f"must be {wanted}, not {_kind(error['input'])}"
        case kind if kind in _WANTED:
            return f"must be {_WANTED[kind]}, not {_kind(error['input'])}"
        case other:
            return f"is not usable ({other.replace('_', ' ')}), being {_kind(error['input'])}"


def _kind(value: Any) -> str:
    return next((words for kind, words in _KINDS if isinstance(value, kind)), "a value of another kind")
