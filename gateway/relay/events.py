"""What was published, and publishing it on somebody's behalf. A facade that delegates."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import orjson

from gateway.errors import InvalidInput, NotFound
from gateway.stores.events import DeliveryQuery, EventQuery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.model.event import Event
    from gateway.relay.publisher import NewEvent
    from gateway.stores.events import EventStore, Published

__all__ = ["EventPublisher", "Events"]

OPERATOR = "operator"
_MOST_COUNTED = 1_000


class EventPublisher(Protocol):
    """Stores events and their deliveries. (`gateway.relay.publisher.Publisher`)"""

    async def publish_many(self, events: Sequence[NewEvent], *, publisher: str) -> list[Published]:
        """Publish them, all or none, in this order. Raises `InvalidInput` and `StoreError`."""
        ...


class Events:
    """Events, to look at and to publish. An `owner` is an integration's id, or `None` for the operator."""

    def __init__(self, store: EventStore, publisher: EventPublisher) -> None:
        self._store = store
        self._publisher = publisher

    async def publish(self, owner: str | None, events: Sequence[NewEvent]) -> list[Published]:
        """Publish events on behalf of `owner`; the answers are in the same order.

        Raises `InvalidInput`, also where an idempotency key stands for another event already, and `StoreError`.
        """
        published = await self._publisher.publish_many(events, publisher=owner or OPERATOR)
        return [await self._known(new, each) for new, each in zip(events, published, strict=True)]

    async def _known(self, new: NewEvent, published: Published) -> Published:
        if published.new:
            return published
        event = published.event
        data = new.data if isinstance(new.data, bytes) else orjson.dumps(new.data)
        if (event.type, event.key, event.subject, event.data) != (new.type, new.key, new.subject, data):
            raise InvalidInput(
                detail="This idempotency key was used for another event already; use another key for each event."
            )
        deliveries = await self._store.deliveries(DeliveryQuery(event_id=event.id, limit=_MOST_COUNTED))
        return replace(published, deliveries=len(deliveries))

    async def list(self, owner: str | None, query: EventQuery) -> list[Event]:
        """The events that fit; of those, an integration sees what is about it."""
        return await self._store.events(query if owner is None else replace(query, integration_id=owner))

    async def get(self, event_id: str, *, owner: str | None = None) -> Event:
        """The event with this id. Raises `NotFound`."""
        found = await self._store.event(event_id)
        if found is None or owner not in (None, found.integration_id):
            raise NotFound(f"There is no event {event_id[:80]!r}.")
        return found
