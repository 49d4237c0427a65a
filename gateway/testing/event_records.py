"""Small subscriptions and events for the exams of event stores, and short words for what they ask again and again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway.model import SigningSecret
from gateway.model.delivery import Attempt, Cause, DeliveryState
from gateway.model.event import Event
from gateway.model.subscription import ContentType, Pause, Subscription
from gateway.stores.events import Completion, Publication

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.stores.events import Claimed, EventStore, Published

NOW = 1_700_000_000.0
LEASE = 60.0

# Every field differs from its default, so that a field which does not come back is noticed.
FULL_SUBSCRIPTION = Subscription(
    id="sub-full",
    owner="int-\N{SNOWMAN}",
    name="full-\N{SNOWMAN}",
    events=("hook.*", "a.b"),
    url="https://hooks.example:8443/base?x=\N{SNOWMAN}",
    content_type=ContentType.CLOUDEVENTS,
    secrets=(SigningSecret("whsec_b", 2.5), SigningSecret("whsec_a", 1.0, 99.125)),
    headers=(("x-one", "1"), ("authorization", "Bearer of-somebody")),
    filter="event.data.rows > 1",
    github_signature=True,
    insecure_ssl=True,
    ordered=True,
    max_concurrency=3,
    active=False,
    paused=Pause(3.5, "it fails", 4.25),
    owned_url="https://hooks.example:8443/base",
    version=12,
    created_at=1_700_000_000.25,
    updated_at=1_700_000_001.5,
)
FULL_EVENT = Event(
    id="evt-full",
    type="hook.enabled",
    data='{"a":"\N{SNOWMAN}"}'.encode(),
    time=1_700_000_000.25,
    source="/elsewhere",
    key="key-\N{SNOWMAN}",
    subject="a subject",
    publisher="int-full",
    integration_id="int-about",
    tenant="a tenant",
    idempotency_key="once",
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    sequence=1,
)
FULL_ATTEMPT = Attempt(
    started_at=1_700_000_001.25,
    ms=12.5,
    status=503,
    reason="status",
    detail="It answered 503 \N{SNOWMAN}.",
    cause=Cause.REDELIVER,
    request_headers=(("webhook-id", "evt-full"), ("x-\N{SNOWMAN}", "2")),
    excerpt=b"\xff\x00 no text",
    number=1,
)


def subscription(key: str, /, **fields: Any) -> Subscription:
    """A small subscription with the id `key`."""
    made = Subscription(key, None, f"name-{key}", ("*",), "https://hooks.example", max_concurrency=100)
    return replace(made, **fields)


def event(name: str, /, **fields: Any) -> Event:
    """A small event with the id `name`."""
    return replace(Event(name, "thing.happened", b"{}", NOW), **fields)


async def publish(store: EventStore, *to: str, now: float = NOW, **events: str | None) -> list[Published]:
    """Publish events with these ids and keys to the subscriptions `to`."""
    return await publish_all(store, events, *to, now=now)


async def publish_all(
    store: EventStore, events: Mapping[str, str | None], *to: str, now: float = NOW
) -> list[Published]:
    """Publish events with these ids and keys to the subscriptions `to`."""
    made = [Publication(event(name, key=key), to) for name, key in events.items()]
    return await store.publish(made, version=await version_of(store), now=now)


async def version_of(store: EventStore) -> int:
    """The version that a publication has to name now."""
    return (await store.subscription_changes(0)).version


async def claim(store: EventStore, now: float = NOW, limit: int = 100, lease: float = LEASE) -> list[Claimed]:
    """Claim what can be claimed."""
    return await store.claim(now=now, lease_until=now + lease, limit=limit)


def succeeded(claimed: Claimed, now: float = NOW) -> Completion:
    """The claim was delivered."""
    return Completion(
        claimed.delivery.id, claimed.token, Attempt(now, 1.0, 200, cause=claimed.cause), DeliveryState.DELIVERED
    )


def failed(claimed: Claimed, now: float = NOW, *, due: float | None = None, **fields: Any) -> Completion:
    """The claim failed: it is to be tried again when `due`, or is dead without."""
    attempt = Attempt(now, 1.0, 500, "status", "It answered 500.", claimed.cause)
    state = DeliveryState.DEAD if due is None else DeliveryState.PENDING
    return replace(Completion(claimed.delivery.id, claimed.token, attempt, state, due or 0.0), **fields)


def names(claims: list[Claimed]) -> list[str]:
    """The ids of the events that were claimed."""
    return [each.event.id for each in claims]
