"""The events that the gateway publishes itself: the name, the meaning, the schema and an example of each.

Names that begin with `gateway.` are reserved for them. A schema (JSON Schema 2020-12) describes an event's `data`;
it allows more members than it names, so that later versions may tell more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CATALOGUE", "PING", "RESERVED_PREFIX", "EventType"]

RESERVED_PREFIX: Final = "gateway."
PING: Final = "gateway.ping"

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class EventType:
    """One type of event: its name, one sentence, the JSON Schema of its data, and data that fits it."""

    name: str
    description: str
    schema: Mapping[str, Any] = field(hash=False)
    example: Mapping[str, Any] = field(hash=False)


def _object(required: _JSON, optional: _JSON | None = None) -> _JSON:
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}


def _either(kind: str) -> _JSON:
    return {"type": [kind, "null"]}


_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_NAMED: Final = _object({"id": _TEXT, "name": _TEXT})
_TIME: Final = {"type": "string", "format": "date-time"}
_ACTOR: Final = _object(
    {
        "kind": {"enum": ["operator", "integration", "gateway", "embedded"]},
        "id": _either("string"),
        "name": _either("string"),
    }
)

_INTEGRATION: Final = {"id": "int_3f8k2m5q7t9w1x4z", "name": "prices"}
_HOOK: Final = {"id": "hk_5t2v8x1z4b7d0f3h", "name": "price-fx"}
_SUBSCRIPTION: Final = {"id": "sub_5t2v8x1z4b7d0f3h", "name": "audit-trail"}
_OPERATOR: Final = {"kind": "operator", "id": "1f3a5c7e", "name": None}
_ITSELF: Final = {"kind": "gateway", "id": None, "name": None}


def _registry(
    name: str,
    description: str,
    *,
    actor: _JSON = _OPERATOR,
    reason: str | None = None,
    before: _JSON | None = None,
    after: _JSON | None = None,
) -> EventType:
    """An event that follows from a change of the registry."""
    required: _JSON = {"integration": _NAMED}
    example: _JSON = {"integration": _INTEGRATION}
    if name.startswith("hook."):
        required["hook"], example["hook"] = _NAMED, _HOOK
    required |= {
        "generation": _COUNT,
        "actor": _ACTOR,
        "reason": _either("string"),
        "before": _either("object"),
        "after": _either("object"),
    }
    example |= {"generation": 17, "actor": actor, "reason": reason, "before": before, "after": after}
    return _type(name, description, required, example)


def _hook(name: str, description: str, more: _JSON, example: _JSON) -> EventType:
    """An event about how a hook does, which is not in the registry."""
    required = {"integration": _NAMED, "hook": _NAMED, **more}
    return _type(name, description, required, {"integration": _INTEGRATION, "hook": _HOOK, **example})


def _subscription(name: str, description: str, more: _JSON, example: _JSON) -> EventType:
    required = {"subscription": _NAMED, **more}
    return _type(name, description, required, {"subscription": _SUBSCRIPTION, **example})


def _type(name: str, description: str, required: _JSON, example: _JSON) -> EventType:
    full = RESERVED_PREFIX + name
    schema = {"$schema": _DIALECT, "title": full, "description": description, **_object(required)}
    return EventType(full, description, schema, example)


_ALL: Final = (
    _type(
        "ping",
        "Sent when a subscription is made, and whenever somebody asks for it; whatever the subscription's patterns.",
        {"subscription": _NAMED},
        {"subscription": _SUBSCRIPTION},
    ),
    _registry("integration.registered", "An integration was registered.", after={"priority": 10}),
    _registry(
        "integration.changed",
        "An integration was changed.",
        before={"priority": 10},
        after={"priority": 20},
    ),
    _registry("integration.enabled", "The operator switched an integration on.", after={"enabled": True}),
    _registry("integration.disabled", "The operator switched an integration off.", after={"enabled": False}),
    _registry("integration.rotated", "An integration's credentials were rotated.", before={}, after={}),
    _registry("integration.removed", "An integration was removed, with its hooks.", before={"priority": 20}),
    _registry("hook.registered", "A hook was declared.", after={"path": "/price"}),
    _registry("hook.changed", "A hook was changed.", before={"order": 1}, after={"order": 2}),
    _registry("hook.enabled", "A hook was enabled.", before={"enabled": False}, after={"enabled": True}),
    _registry(
        "hook.disabled",
        "A hook was disabled.",
        reason="maintenance until noon",
        before={"enabled": True},
        after={"enabled": False, "reason": "maintenance until noon"},
    ),
    _registry(
        "hook.lease_expired",
        "A hook was disabled because its lease ended without being renewed.",
        actor=_ITSELF,
        reason="its lease ended without being renewed",
        before={"enabled": True},
        after={"enabled": False},
    ),
    _registry(
        "hook.suspended",
        "A hook is not called until its integration is well again.",
        actor=_ITSELF,
        reason="its integration's health check fails: connect: No connection to 10.0.3.7:9000.",
        after={"suspended": "its integration's health check fails: connect: No connection to 10.0.3.7:9000."},
    ),
    _registry("hook.resumed", "A suspended hook is called again.", actor=_ITSELF, after={"suspended": None}),
    _registry(
        "hook.canary_stepped_back",
        "A canary went beyond its bounds and was set back to shadow.",
        actor=_ITSELF,
        reason="12 % of its calls failed; at most 5 % may",
        after={"stepped_back": "12 % of its calls failed; at most 5 % may"},
    ),
    _registry("hook.removed", "A hook was removed.", before={"path": "/price"}),
    _hook(
        "hook.failing",
        "A hook that worked began to fail; told once, not for each failure.",
        {"reason": _TEXT, "detail": _either("string")},
        {"reason": "timeout", "detail": "The deadline passed before the reply was complete."},
    ),
    _hook("hook.works_again", "A hook that failed works again.", {}, {}),
    _hook(
        "breaker.opened",
        "A hook's breaker opened: it is not called for a while.",
        {"why": _TEXT},
        {"why": "5 of 8 calls failed within 30 s"},
    ),
    _hook(
        "breaker.closed",
        "A hook's breaker closed: it is called as before.",
        {"why": _TEXT},
        {"why": "the probes went well"},
    ),
    _subscription(
        "subscription.paused",
        "Deliveries to a subscription kept failing, so it is only tried now and then; its events are kept.",
        {"reason": _TEXT, "failures": _COUNT, "failing_since": _TIME},
        {"reason": "it answered with status 500", "failures": 12, "failing_since": "2026-11-22T08:00:00.000Z"},
    ),
    _subscription(
        "subscription.resumed",
        "A delivery to a paused subscription went well, so what was kept is delivered now.",
        {"paused_at": _TIME},
        {"paused_at": "2026-11-22T08:05:00.000Z"},
    ),
    _subscription(
        "subscription.disabled",
        "A subscription's address answered 410 Gone, so nothing is sent to it any more.",
        {"reason": _TEXT},
        {"reason": "it answered 410 Gone"},
    ),
    _subscription(
        "delivery.exhausted",
        "The last attempt of a delivery failed; it can be repeated by hand.",
        {
            "delivery": _object({"id": _TEXT}),
            "event": _object({"id": _TEXT, "type": _TEXT}),
            "attempts": _COUNT,
            "reason": _TEXT,
        },
        {
            "delivery": {"id": "dl_5t2v8x1z4b7d0f3h"},
            "event": {"id": "evt_5t2v8x1z4b7d0f3h", "type": "order.created"},
            "attempts": 10,
            "reason": "it answered with status 500",
        },
    ),
)

CATALOGUE: Final[Mapping[str, EventType]] = {each.name: each for each in _ALL}
