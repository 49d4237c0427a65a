"""Where senders keep the type, the id and the time of an event: in a header, or in the value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from gateway.errors import WebhookRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway_providers.sender import Incoming

__all__ = ["fixed", "form", "in_header", "in_value", "items", "text_at"]


def in_header(name: str) -> Callable[[Incoming, Any], str | None]:
    """From the header `name`."""
    return lambda incoming, _: incoming.header(name)


def in_value(*path: str) -> Callable[[Incoming, Any], str | None]:
    """From the member of the value that these names lead to: text as it is, whole numbers as digits."""
    return lambda _, value: text_at(value, *path)


def fixed(text: str) -> Callable[[Incoming, Any], str | None]:
    """Always the same."""
    return lambda _incoming, _value: text


def text_at(value: Any, *path: str) -> str | None:
    """The text or whole number that these names lead to in `value`; `None` if there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return str(value)


def items(*path: str) -> Callable[[Any], tuple[Any, ...]]:
    """The elements of the array that these names lead to. Refuses anything else."""

    def parts(value: Any) -> tuple[Any, ...]:
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if not isinstance(value, list):
            raise WebhookRefused(f"the body holds no list of events{' at ' + '.'.join(path) if path else ''}")
        return tuple(value)

    return parts


def form(incoming: Incoming) -> dict[str, str]:
    """The fields of a form (`application/x-www-form-urlencoded`), the last of equal ones. Refuses other bytes."""
    try:
        return dict(parse_qsl(incoming.body.decode("utf-8"), keep_blank_values=True, max_num_fields=1_000))
    except ValueError:  # UnicodeDecodeError is one
        raise WebhookRefused("the body is not a form") from None
