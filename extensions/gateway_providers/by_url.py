"""Senders that sign the URL they call and the fields of the form they send.

Sources: https://www.twilio.com/docs/usage/security ·
https://mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks/ ·
https://mailchimp.com/developer/marketing/guides/sync-audience-data-webhooks/
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from gateway.errors import WebhookRefused
from gateway_providers.reading import form, in_value, items, text_at
from gateway_providers.sender import Challenge, Event, HmacSender, Incoming, Sender, first_secret, matches, parsed

__all__ = ["mailchimp_marketing", "mailchimp_transactional", "twilio"]


def twilio(*auth_tokens: str) -> Sender:
    """Twilio: `X-Twilio-Signature`, over the URL and the sorted fields of the form, or the URL with `bodySHA256`.

    The URL must be the one that Twilio called, with the scheme and host that the public sees.
    """
    return HmacSender(
        name="twilio",
        secrets=first_secret(auth_tokens),
        header="x-twilio-signature",
        digest="sha1",
        encoding="base64",
        signed=_twilio_signed,
        read=lambda incoming: parsed(incoming.body) if _is_json(incoming) else form(incoming),
        type_of=lambda _, value: (
            text_at(value, "MessageStatus") or text_at(value, "CallStatus") or text_at(value, "EventType") or "webhook"
        ),
        id_of=lambda incoming, value: (
            incoming.header("i-twilio-idempotency-token") or text_at(value, "MessageSid") or text_at(value, "CallSid")
        ),
    )


def _is_json(incoming: Incoming) -> bool:
    return (incoming.header("content-type") or "").startswith("application/json")


def _twilio_signed(incoming: Incoming, _secret: str) -> bytes:
    digest = incoming.url_params.get("bodySHA256")
    if digest is not None:
        if not matches(digest.lower(), hashlib.sha256(incoming.body).hexdigest()):
            raise WebhookRefused("bodySHA256 in the URL is not the digest of the body")
        return incoming.url.encode("utf-8", "replace")
    if _is_json(incoming):
        raise WebhookRefused("a JSON body needs bodySHA256 in the URL, or its signature would not cover it")
    try:
        fields = parse_qsl(incoming.body.decode("utf-8"), keep_blank_values=True, max_num_fields=1_000)
    except ValueError:
        raise WebhookRefused("the body is not a form") from None
    # Equal values of one name count once, in order, as Twilio's own libraries have it.
    text = incoming.url + "".join(name + value for name, value in sorted(set(fields)))
    return text.encode("utf-8", "replace")


def mailchimp_transactional(url: str, *keys: str) -> Sender:
    """Mailchimp Transactional (Mandrill): `X-Mandrill-Signature`, over the registered `url` and the sorted fields.

    A HEAD, and a POST without events, is how it asks whether the URL is there.
    """

    def signed(incoming: Incoming, _secret: str) -> bytes:
        fields = form(incoming)
        return (url + "".join(name + fields[name] for name in sorted(fields))).encode("utf-8", "replace")

    return HmacSender(
        name="mailchimp-transactional",
        secrets=first_secret(keys),
        header="x-mandrill-signature",
        digest="sha1",
        encoding="base64",
        signed=signed,
        read=lambda incoming: parsed(form(incoming).get("mandrill_events", "").encode("utf-8", "replace")),
        parts=items(),
        type_of=lambda _, value: text_at(value, "event") or text_at(value, "type"),
        id_of=in_value("_id"),
        time_of=in_value("ts"),
        challenge=lambda incoming: Challenge() if incoming.method == "HEAD" else None,
    )


@dataclass(frozen=True, slots=True)
class _Marketing:
    codes: tuple[str, ...] = field(repr=False)
    param: str

    @property
    def name(self) -> str:
        return "mailchimp-marketing"

    def receive(self, incoming: Incoming) -> tuple[Event, ...] | Challenge:
        """See `Sender.receive`."""
        given = incoming.url_params.get(self.param)
        if not any([matches(given, code) for code in self.codes]):  # noqa: C419  # all, for the time it takes
            raise WebhookRefused(f"the parameter {self.param} of the URL is absent or not the code that was agreed on")
        if incoming.method in {"GET", "HEAD"}:
            return Challenge()
        fields = form(incoming)
        if not fields.get("type"):
            raise WebhookRefused("the type of the event is absent")
        return (Event(self.name, fields["type"], fields, None, fields.get("fired_at")),)


def mailchimp_marketing(*codes: str, param: str = "secret") -> Sender:
    """Mailchimp Marketing signs nothing: a code in the URL, in the parameter `param`, is all there is."""
    return _Marketing(first_secret(codes), param)
