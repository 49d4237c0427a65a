"""Filters of subscriptions: conditions in CEL over `event` (what is known of it) and `data` (what it says).

`event` has `id`, `type`, `source`, `time` (seconds since 1970), and `subject`, `key` and `tenant` where there are such.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.errors import ConditionError, ConditionFailed
from gateway.wire.cel import compile_condition

if TYPE_CHECKING:
    from gateway.model.event import Event
    from gateway.relay.matching import EventFilter

NAMES: Final = ("event", "data")
_OPTIONAL: Final = ("subject", "key", "tenant")


def check_filter(expression: str) -> None:
    """Return if a subscription can have this filter. Raises `ValueError` with a sentence."""
    try:
        compile_condition(expression, NAMES)
    except ConditionError as error:
        raise ValueError(error.detail) from None


def event_filter(expression: str) -> EventFilter:
    """The filter that `expression` says. Raises `ValueError`; what it returns does, too, for what it cannot judge."""
    try:
        condition = compile_condition(expression, NAMES)
    except ConditionError as error:
        raise ValueError(error.detail) from None

    def wanted(event: Event) -> bool:
        values: dict[str, Any] = {"event": _attributes(event), "data": orjson.loads(event.data)}
        try:
            return condition.holds(values)
        except ConditionFailed as error:
            raise ValueError(error.detail) from None

    return wanted


def _attributes(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = {"id": event.id, "type": event.type, "source": event.source, "time": event.time}
    return found | {name: value for name in _OPTIONAL if (value := getattr(event, name)) is not None}
