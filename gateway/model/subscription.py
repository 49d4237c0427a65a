"""Who wants to know what, and where to tell it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from gateway.model.integration import SigningSecret  # noqa: TC001  the codec of stores looks it up


class ContentType(StrEnum):
    """What a notification's body is."""

    JSON = "application/json"  # {"id", "type", "timestamp", "data"}, as in Standard Webhooks
    CLOUDEVENTS = "application/cloudevents+json"  # CloudEvents 1.0, structured


class SubscriptionState(StrEnum):
    """What a subscription is doing, as told by the API."""

    ACTIVE = "active"
    INACTIVE = "inactive"  # switched off: what happens meanwhile is not kept for it
    PAUSED = "paused"  # what happens meanwhile is kept, in order


@dataclass(frozen=True, slots=True)
class Pause:
    """Deliveries are kept, not sent, since `at` (seconds since 1970), because of `reason`.

    With a `probe_at`, from then on one delivery at a time is tried, to find out whether the endpoint is well again.
    Without, nothing is until someone resumes it.
    """

    at: float
    reason: str
    probe_at: float | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """A wish to be told of events, as its owner declared it.

    `owner` is an integration's id, or `None` for the operator. `events` are names of event types with `*` for any
    part. `secrets` sign what is sent, the newest first. `headers` are sent along and may hold credentials.
    `filter` is a CEL expression over the event. `github_signature` adds `X-Hub-Signature-256`. With `ordered`, events
    with the same key are delivered strictly one after another. `max_concurrency` is how many deliveries may be under
    way at once. `owned_url` is the URL that last passed the ownership handshake. `version` counts the changes of
    this record (its ETag). Times are seconds since 1970, UTC.
    """

    id: str
    owner: str | None
    name: str
    events: tuple[str, ...]
    url: str
    content_type: ContentType = ContentType.JSON
    secrets: tuple[SigningSecret, ...] = field(default=(), repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    filter: str | None = None
    github_signature: bool = False
    insecure_ssl: bool = False
    ordered: bool = False
    max_concurrency: int = 10
    active: bool = True
    paused: Pause | None = None
    owned_url: str | None = None
    version: int = 1
    created_at: float = 0.0
    updated_at: float = 0.0

    @property
    def in_order(self) -> bool:
        """Whether what is published now is delivered in order: also what comes during a pause without a `probe_at`."""
        return self.ordered or (self.paused is not None and self.paused.probe_at is None)

    @property
    def state(self) -> SubscriptionState:
        """What the subscription is doing."""
        if not self.active:
            return SubscriptionState.INACTIVE
        return SubscriptionState.ACTIVE if self.paused is None else SubscriptionState.PAUSED
