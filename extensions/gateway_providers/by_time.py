"""Senders that sign a timestamp with the body, so that an old request cannot be sent again.

Sources: https://docs.slack.dev/authentication/verifying-requests-from-slack ·
https://docs.stripe.com/webhooks?verify=verify-manually
"""

from __future__ import annotations

import hmac
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import WebhookRefused
from gateway_providers.reading import form, text_at
from gateway_providers.sender import Challenge, Event, HmacSender, Incoming, Sender, first_secret, matches, parsed

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["slack", "stripe"]

TOLERANCE_SECONDS: Final = 300
_INTEGER = re.compile(r"(?:0|[1-9][0-9]{0,11})\Z")
_MOST_SIGNATURES: Final = 16


def fresh(timestamp: str | None, now: float, tolerance_seconds: float) -> str:
    """`timestamp`, if it is seconds since 1970 near the present. Raises `WebhookRefused`."""
    if timestamp is None or not _INTEGER.match(timestamp):
        raise WebhookRefused("the timestamp is absent, or no whole number of seconds since 1970")
    if abs(now - int(timestamp)) > tolerance_seconds:
        raise WebhookRefused(f"the timestamp is more than {tolerance_seconds:g} s away from the present")
    return timestamp


def slack(
    *signing_secrets: str, now: Callable[[], float] = time.time, tolerance_seconds: float = TOLERANCE_SECONDS
) -> Sender:
    """Slack: `X-Slack-Signature`, over the timestamp and the body; `url_verification` is answered with its challenge.

    Events, slash commands and interactions have their bodies as JSON, as a form, and as JSON in a form.
    """

    def signed(incoming: Incoming, _secret: str) -> bytes:
        timestamp = fresh(incoming.header("x-slack-request-timestamp"), now(), tolerance_seconds)
        return b"v0:%b:%b" % (timestamp.encode(), incoming.body)

    return _Slack(
        HmacSender(
            name="slack",
            secrets=first_secret(signing_secrets),
            header="x-slack-signature",
            prefix="v0=",
            signed=signed,
            read=_slack_value,
            type_of=_slack_type,
            id_of=lambda _, value: text_at(value, "event_id") or text_at(value, "trigger_id"),
            time_of=lambda _, value: text_at(value, "event_time"),
        )
    )


@dataclass(frozen=True, slots=True)
class _Slack:
    """The challenge of Slack is signed too, so it is answered only once the signature holds."""

    inner: HmacSender

    @property
    def name(self) -> str:
        return self.inner.name

    def receive(self, incoming: Incoming) -> tuple[Event, ...] | Challenge:
        """See `Sender.receive`."""
        found = self.inner.receive(incoming)
        if not isinstance(found, Challenge) and found[0].type == "url_verification":
            return Challenge((text_at(found[0].data, "challenge") or "").encode())
        return found


def _slack_value(incoming: Incoming) -> Any:
    if (incoming.header("content-type") or "").startswith("application/json"):
        return parsed(incoming.body)
    fields = form(incoming)
    return parsed(fields["payload"].encode()) if "payload" in fields else fields


def _slack_type(_incoming: Incoming, value: Any) -> str | None:
    if text_at(value, "type") == "event_callback":
        return text_at(value, "event", "type")
    return text_at(value, "type") or text_at(value, "command")


def stripe(
    *endpoint_secrets: str, now: Callable[[], float] = time.time, tolerance_seconds: float = TOLERANCE_SECONDS
) -> Sender:
    """Stripe: `Stripe-Signature` with `t=` and any number of `v1=`, over the timestamp and the body."""
    return _Stripe(first_secret(endpoint_secrets), now, tolerance_seconds)


@dataclass(frozen=True, slots=True)
class _Stripe:
    secrets: tuple[str, ...] = field(repr=False)
    now: Callable[[], float]
    tolerance_seconds: float

    @property
    def name(self) -> str:
        return "stripe"

    def receive(self, incoming: Incoming) -> tuple[Event, ...] | Challenge:
        """See `Sender.receive`."""
        pairs = [part.partition("=") for part in (incoming.header("stripe-signature") or "").split(",")]
        times = [value for name, _, value in pairs if name.strip() == "t"]
        timestamp = fresh(times[0] if len(times) == 1 else None, self.now(), self.tolerance_seconds)
        given = [value for name, _, value in pairs if name.strip() == "v1"][:_MOST_SIGNATURES]
        content = b"%b.%b" % (timestamp.encode(), incoming.body)
        expected = [hmac.digest(secret.encode(), content, "sha256").hex() for secret in self.secrets]
        if not any([matches(one, other) for one in given for other in expected]):  # noqa: C419  # all, for the time
            raise WebhookRefused("no v1 signature in stripe-signature matches")
        value = parsed(incoming.body)
        kind = text_at(value, "type")
        if kind is None:
            raise WebhookRefused("the type of the event is absent")
        return (Event("stripe", kind, value, text_at(value, "id"), text_at(value, "created")),)
