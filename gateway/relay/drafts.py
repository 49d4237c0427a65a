"""What a subscriber says, and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.model.subscription import ContentType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.model.delivery import Attempt, Delivery
    from gateway.model.event import Event
    from gateway.model.subscription import Subscription


@dataclass(frozen=True, slots=True)
class SubscriptionDraft:
    """What is said of a new subscription. Fields as in `gateway.model.subscription.Subscription`.

    Without a `secret`, one is made. One that is not `active` begins paused: what happens is kept for it.
    """

    name: str
    events: tuple[str, ...]
    url: str
    content_type: ContentType = ContentType.JSON
    secret: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    filter: str | None = None
    github_signature: bool = False
    insecure_ssl: bool = False
    ordered: bool = False
    max_concurrency: int = 10
    active: bool = True


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A new subscription. `secret` is told this once, and only if it was made here."""

    subscription: Subscription
    secret: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A subscription's new secret, told this once, and when the old one ceases to hold (seconds since 1970)."""

    secret: str = field(repr=False)
    previous_expires_at: float | None


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """All that is known of one delivery. `event` is `None` if it was forgotten already."""

    delivery: Delivery
    event: Event | None
    attempts: tuple[Attempt, ...]
