"""CloudEvents of any source, and Azure Event Grid with its handshakes.

Sources: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md ·
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/http-webhook.md ·
https://learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from gateway.errors import WebhookRefused
from gateway_providers.reading import text_at
from gateway_providers.sender import Challenge, Event, Incoming, Sender, first_secret, matches, parsed

__all__ = ["azure_event_grid", "cloudevents"]

_STRUCTURED: Final = "application/cloudevents+json"
_BATCH: Final = "application/cloudevents-batch+json"
_VALIDATION: Final = "Microsoft.EventGrid.SubscriptionValidationEvent"


@dataclass(frozen=True, slots=True)
class _Code:
    """A code in a header or in a parameter of the URL."""

    codes: tuple[str, ...] = field(repr=False)
    header: str | None
    param: str

    def check(self, incoming: Incoming) -> None:
        given = incoming.header(self.header) if self.header else incoming.url_params.get(self.param)
        if not any([matches(given, code) for code in self.codes]):  # noqa: C419  # all, for the time it takes
            raise WebhookRefused(f"{self.header or self.param} is absent or not the code that was agreed on")


def _cloudevents(sender: str, incoming: Incoming) -> tuple[Event, ...]:
    media = (incoming.header("content-type") or "").partition(";")[0].strip().lower()
    if media == _BATCH:
        found = parsed(incoming.body)
        if not isinstance(found, list):
            raise WebhookRefused("a batch of CloudEvents is a list")
        return tuple(_structured(sender, one) for one in found)
    if media == _STRUCTURED:
        return (_structured(sender, parsed(incoming.body)),)
    return (_binary(sender, incoming, media),)


def _structured(sender: str, value: Any) -> Event:
    required = {name: text_at(value, name) for name in ("specversion", "id", "source", "type")}
    if required["specversion"] != "1.0" or not all(required.values()):
        raise WebhookRefused("not a CloudEvent 1.0: specversion, id, source or type is absent or wrong")
    return Event(sender, str(required["type"]), value, _ident(required), text_at(value, "time"))


def _binary(sender: str, incoming: Incoming, media: str) -> Event:
    attributes = {
        name.removeprefix("ce-"): unquote(value) for name, value in incoming.headers.items() if name.startswith("ce-")
    }
    if attributes.get("specversion") != "1.0" or not all(attributes.get(name) for name in ("id", "source", "type")):
        raise WebhookRefused("not a CloudEvent 1.0: ce-specversion, ce-id, ce-source or ce-type is absent or wrong")
    value: Any = dict(attributes)
    if incoming.body:
        is_json = media == "application/json" or media.endswith("+json")
        value["data"] = parsed(incoming.body) if is_json else incoming.body.decode("utf-8", "replace")
    return Event(sender, attributes["type"], value, _ident(attributes), attributes.get("time"))


def _ident(attributes: Any) -> str:
    """What is unique among all events: the id is so only within its source."""
    return f"{attributes['source']}#{attributes['id']}"


def _allowed(incoming: Incoming) -> Challenge:
    """The answer to the handshake of the CloudEvents webhook specification."""
    origin = incoming.header("webhook-request-origin")
    if not origin:
        raise WebhookRefused("an OPTIONS without webhook-request-origin is no handshake")
    rate = incoming.header("webhook-request-rate")
    headers = {"webhook-allowed-origin": origin} | ({"webhook-allowed-rate": rate} if rate else {})
    return Challenge(headers=headers)


@dataclass(frozen=True, slots=True)
class _CloudEvents:
    code: _Code
    origins: frozenset[str]

    @property
    def name(self) -> str:
        return "cloudevents"

    def receive(self, incoming: Incoming) -> tuple[Event, ...] | Challenge:
        """See `Sender.receive`."""
        if incoming.method == "OPTIONS":
            if incoming.header("webhook-request-origin") not in self.origins:
                raise WebhookRefused("webhook-request-origin is none that may send here")
            return _allowed(incoming)
        self.code.check(incoming)
        return _cloudevents(self.name, incoming)


def cloudevents(
    *codes: str, header: str | None = None, param: str = "access_token", origins: frozenset[str] = frozenset()
) -> Sender:
    """CloudEvents 1.0, structured, binary and batched, with a code in `header` or in the URL's `param`.

    `origins` are those whose handshake (`OPTIONS`) is answered. The events are not signed: the format has no signature.
    """
    return _CloudEvents(_Code(first_secret(codes), header, param), frozenset(origins))


@dataclass(frozen=True, slots=True)
class _EventGrid:
    code: _Code

    @property
    def name(self) -> str:
        return "azure-event-grid"

    def receive(self, incoming: Incoming) -> tuple[Event, ...] | Challenge:
        """See `Sender.receive`."""
        self.code.check(incoming)
        if incoming.method == "OPTIONS":
            return _allowed(incoming)
        media = (incoming.header("content-type") or "").lower()
        if "cloudevents" in media or incoming.header("ce-specversion"):
            return _cloudevents(self.name, incoming)
        found = parsed(incoming.body)
        events = tuple(self._event(one) for one in found) if isinstance(found, list) else ()
        if not events:
            raise WebhookRefused("the body holds no list of events")
        if events[0].type == _VALIDATION:
            code = text_at(found[0], "data", "validationCode") or ""
            return Challenge(json.dumps({"validationResponse": code}).encode(), "application/json")
        return events

    def _event(self, value: Any) -> Event:
        kind, ident = text_at(value, "eventType"), text_at(value, "id")
        if not kind or not ident:
            raise WebhookRefused("eventType or id is absent")
        return Event(self.name, kind, value, ident, text_at(value, "eventTime"))


def azure_event_grid(*codes: str, header: str | None = None, param: str = "code") -> Sender:
    """Azure Event Grid, in its own schema and as CloudEvents, with both handshakes.

    A code in `header` or in the URL's `param` is what is verified; tokens of Microsoft Entra are not looked at.
    """
    return _EventGrid(_Code(first_secret(codes), header, param))
