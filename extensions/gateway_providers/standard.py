"""Senders that follow Standard Webhooks 1.0, and Svix, whose headers have other names.

Sources: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md ·
https://docs.svix.com/receiving/verifying-payloads/how-manual
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.errors import WebhookRefused
from gateway.wire import signature
from gateway_providers.reading import text_at
from gateway_providers.sender import Challenge, Event, Incoming, Sender, first_secret, parsed

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["standard_webhooks", "svix"]


@dataclass(frozen=True, slots=True)
class _Standard:
    name: str
    keys: tuple[bytes, ...] = field(repr=False)
    prefixes: tuple[str, ...]
    now: Callable[[], float]
    tolerance_seconds: float

    def receive(self, incoming: Incoming) -> tuple[Event, ...] | Challenge:
        """See `Sender.receive`."""
        prefix = next((each for each in self.prefixes if incoming.header(f"{each}-id")), self.prefixes[0])
        ident = incoming.header(f"{prefix}-id")
        signature.verify(
            self.keys,
            message_id=ident,
            timestamp=incoming.header(f"{prefix}-timestamp"),
            signature=incoming.header(f"{prefix}-signature"),
            body=incoming.body,
            now=self.now(),
            tolerance_seconds=self.tolerance_seconds,
        )
        value = parsed(incoming.body)
        kind = text_at(value, "type") or text_at(value, "event_type") or text_at(value, "eventType")
        if kind is None:
            raise WebhookRefused("the type of the event is absent")
        return (Event(self.name, kind, value, ident, text_at(value, "timestamp")),)


def standard_webhooks(
    *secrets: str, now: Callable[[], float] = time.time, tolerance_seconds: float = signature.TOLERANCE_SECONDS
) -> Sender:
    """Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`; secrets as `whsec_…`."""
    return _Standard("standard-webhooks", _keys(secrets), ("webhook",), now, tolerance_seconds)


def svix(
    *secrets: str, now: Callable[[], float] = time.time, tolerance_seconds: float = signature.TOLERANCE_SECONDS
) -> Sender:
    """Svix: the same under `svix-…`, or under `webhook-…`."""
    return _Standard("svix", _keys(secrets), ("svix", "webhook"), now, tolerance_seconds)


def _keys(secrets: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(signature.key_of(secret) for secret in first_secret(secrets))
