"""Notifications in memory: the reference implementation. It lasts as long as the object."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.errors import Conflict, CursorMoved, NotFound, StaleGeneration
from gateway.model.delivery import Cause, Delivery, DeliveryState, Recovery
from gateway.model.ids import random_id
from gateway.stores.events import Published, SubscriptionChanges
from gateway.stores.memory_queue import Entry, Lane, MemoryQueue
from gateway.stores.signal import Signal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.model.delivery import Attempt
    from gateway.model.event import Event
    from gateway.model.subscription import Pause, Subscription
    from gateway.stores.events import (
        Backlog,
        Claimed,
        Completion,
        CursorMove,
        DeliveryQuery,
        EventQuery,
        Finished,
        Publication,
        SubscriptionQuery,
    )


@dataclass(slots=True)
class _Stored:
    event: Event
    stored_at: float
    deliveries: int = 0


@dataclass(slots=True)
class _Recovering:
    state: Recovery
    last: int
    position: int = 0


class MemoryEventStore:
    """An `EventStore` that forgets everything with the process. For one event loop."""

    def __init__(self) -> None:
        self.signal = Signal()
        self._queue = MemoryQueue()
        self._version = 0
        self._events: dict[int, _Stored] = {}
        self._event_numbers: dict[str, int] = {}
        self._idempotency: dict[tuple[str, str], int] = {}
        self._cursors: dict[str, str] = {}
        self._recoveries: dict[str, _Recovering] = {}
        self._event_count = 0
        self._delivery_count = 0

    # ------------------------------------------------------------ subscriptions

    async def add_subscription(self, subscription: Subscription) -> None:
        """Add it. Raises `Conflict`."""
        if subscription.id in self._queue.lanes:
            raise Conflict(f"There is a subscription with the id {subscription.id!r}.")
        self._version += 1
        self._queue.lanes[subscription.id] = Lane(subscription, self._version)

    async def change_subscription(self, subscription: Subscription) -> None:
        """Replace it. Raises `NotFound` and `StaleGeneration`."""
        lane = self._lane(subscription.id)
        if lane.subscription.version != subscription.version - 1:
            raise StaleGeneration("The subscription was changed in the meantime; nothing was changed.")
        self._put(lane, subscription)

    def _put(self, lane: Lane, subscription: Subscription) -> None:
        if subscription.paused != lane.subscription.paused:
            lane.next_probe = subscription.paused.probe_at if subscription.paused else None
        self._version += 1
        lane.revision = self._version
        lane.subscription = subscription
        self.signal.fire()

    async def remove_subscription(self, subscription_id: str) -> bool:
        """Remove it; whether it was there."""
        lane = self._queue.lanes.get(subscription_id)
        if lane is None or lane.gone:
            return False
        self._version += 1
        lane.gone, lane.revision = True, self._version
        return True

    async def subscription(self, subscription_id: str) -> Subscription | None:
        """The one with this id."""
        lane = self._queue.lanes.get(subscription_id)
        return None if lane is None or lane.gone else lane.subscription

    async def subscriptions(self, query: SubscriptionQuery) -> list[Subscription]:
        """Those that fit, sorted by id."""
        found = sorted(
            (
                lane.subscription
                for lane in self._queue.lanes.values()
                if not lane.gone and (query.owners is None or lane.subscription.owner in query.owners)
            ),
            key=lambda subscription: subscription.id,
        )
        return [each for each in found if query.after is None or each.id > query.after][: query.limit]

    async def subscription_changes(self, since: int) -> SubscriptionChanges:
        """What is different since the version `since`."""
        lanes = [lane for lane in self._queue.lanes.values() if lane.revision > since]
        return SubscriptionChanges(
            self._version,
            tuple(sorted((lane.subscription for lane in lanes if not lane.gone), key=lambda each: each.id)),
            tuple(sorted(lane.subscription.id for lane in lanes if lane.gone and since)),
        )

    async def pause(self, subscription_id: str, pause: Pause) -> Subscription:
        """Keep its deliveries from now on. Raises `NotFound`."""
        lane = self._lane(subscription_id)
        old = lane.subscription
        self._put(lane, replace(old, paused=pause, version=old.version + 1, updated_at=pause.at))
        lane.next_probe = pause.probe_at
        return lane.subscription

    async def resume(self, subscription_id: str, now: float) -> Subscription:
        """Deliver again what was kept. Raises `NotFound`."""
        lane = self._lane(subscription_id)
        old = lane.subscription
        lane.failures, lane.failing_since, lane.hold_until = 0, None, 0.0
        if old.paused is not None:
            self._put(lane, replace(old, paused=None, version=old.version + 1, updated_at=now))
        return lane.subscription

    def _lane(self, subscription_id: str) -> Lane:
        lane = self._queue.lanes.get(subscription_id)
        if lane is None or lane.gone:
            raise NotFound(f"There is no subscription {subscription_id!r}.")
        return lane

    # ------------------------------------------------------------ events

    async def publish(
        self, publications: Sequence[Publication], *, version: int, now: float, cursor: CursorMove | None = None
    ) -> list[Published]:
        """Store the events and their deliveries. Raises `StaleGeneration` and `CursorMoved`."""
        if version != self._version:
            raise StaleGeneration("The subscriptions were changed in the meantime; nothing was changed.")
        if cursor is not None:
            if self._cursors.get(cursor.name) != cursor.base:
                raise CursorMoved
            self._cursors[cursor.name] = cursor.value
        answers = [self._publish(publication, now) for publication in publications]
        if any(answer.deliveries for answer in answers):
            self.signal.fire()
        return answers

    def _publish(self, publication: Publication, now: float) -> Published:
        event = publication.event
        known = self._event_numbers.get(event.id)
        if known is None and event.idempotency_key is not None:
            known = self._idempotency.get((event.publisher, event.idempotency_key))
        if known is not None:
            return Published(self._events[known].event, new=False)
        self._event_count += 1
        event = replace(event, sequence=self._event_count)
        stored = self._events[event.sequence] = _Stored(event, now)
        self._event_numbers[event.id] = event.sequence
        if event.idempotency_key is not None:
            self._idempotency[event.publisher, event.idempotency_key] = event.sequence
        for subscription_id in dict.fromkeys(publication.subscriptions):
            lane = self._queue.lanes.get(subscription_id)
            if lane is not None and not lane.gone:
                self._delivery_count += 1
                stored.deliveries += 1
                made = Delivery(
                    f"dlv_{self._delivery_count:012x}",
                    self._delivery_count,
                    event.id,
                    event.type,
                    subscription_id,
                    event.key,
                    cause=publication.cause,
                    created_at=now,
                    updated_at=now,
                )
                self._queue.add(Entry(made, event))
        return Published(event, new=True, deliveries=stored.deliveries)

    async def event(self, event_id: str) -> Event | None:
        """The one with this id."""
        number = self._event_numbers.get(event_id)
        return None if number is None else self._events[number].event

    async def events(self, query: EventQuery) -> list[Event]:
        """Those that fit."""
        numbers = sorted(self._events, reverse=query.after is None)
        found = (
            self._events[number].event
            for number in numbers
            if (query.after is None or number > query.after) and (query.before is None or number < query.before)
        )
        fitting = (each for each in found if query.integration_id in (None, each.integration_id))
        return [each for each, _ in zip(fitting, range(query.limit), strict=False)]

    async def cursor(self, name: str) -> str | None:
        """Where the cursor of this name is."""
        return self._cursors.get(name)

    # ------------------------------------------------------------ deliveries

    async def claim(self, *, now: float, lease_until: float, limit: int) -> list[Claimed]:
        """Up to `limit` deliveries for the caller alone."""
        return self._queue.claim(now, lease_until, limit)

    async def finish(self, completions: Sequence[Completion], *, now: float) -> list[Finished]:
        """Record attempts and what follows from them."""
        answers = [self._queue.finish(completion, now) for completion in completions]
        self.signal.fire()
        return answers

    async def release(self, claims: Sequence[Claimed]) -> None:
        """Give back what was claimed and not attempted."""
        for claim in claims:
            self._queue.release(claim)
        self.signal.fire()

    async def next_due(self, now: float) -> float | None:
        """When `claim` can give something."""
        return self._queue.next_due(now)

    def _entry(self, delivery_id: str) -> Entry | None:
        try:
            entry = self._queue.entries.get(int(delivery_id.removeprefix("dlv_"), 16))
        except ValueError:
            return None
        if entry is None or entry.delivery.id != delivery_id or self._queue.lane_of(entry).gone:
            return None
        return entry

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """The one with this id."""
        entry = self._entry(delivery_id)
        return None if entry is None else entry.delivery

    async def deliveries(self, query: DeliveryQuery) -> list[Delivery]:
        """Those that fit, the newest first."""

        def fits(entry: Entry) -> bool:
            each = entry.delivery
            return (
                not self._queue.lane_of(entry).gone
                and query.subscription_id in (None, each.subscription_id)
                and query.event_id in (None, each.event_id)
                and query.state in (None, each.state)
                and (query.since is None or each.created_at >= query.since)
                and (query.until is None or each.created_at < query.until)
                and (query.before is None or each.sequence < query.before)
            )

        found = (entry.delivery for entry in reversed(self._queue.entries.values()) if fits(entry))
        return [each for each, _ in zip(found, range(query.limit), strict=False)]

    async def attempts(self, delivery_id: str) -> list[Attempt]:
        """All attempts at it, the first one first."""
        entry = self._entry(delivery_id)
        return [] if entry is None else sorted(entry.attempts.values(), key=lambda attempt: attempt.number)

    async def redeliver(self, delivery_id: str, *, now: float) -> Delivery:
        """Make it due at once. Raises `NotFound` and `Conflict`."""
        entry = self._entry(delivery_id)
        if entry is None:
            raise NotFound(f"There is no delivery {delivery_id!r}.")
        if entry.delivery.state is DeliveryState.CLAIMED:
            raise Conflict(f"The delivery {delivery_id!r} is under way right now; wait for its result.")
        self._queue.requeue(entry, Cause.REDELIVER, now)
        self.signal.fire()
        return entry.delivery

    async def start_recovery(self, subscription_id: str, *, since: float, now: float) -> Recovery:
        """Note which dead letters are wanted. Raises `NotFound`."""
        lane = self._lane(subscription_id)
        total = sum(lane.entries[number].delivery.created_at >= since for number in lane.dead)
        started = Recovery(random_id("rec"), subscription_id, since, now, total, done=not total)
        self._recoveries[started.id] = _Recovering(started, self._delivery_count)
        self.signal.fire()
        return started

    async def recover(self, limit: int, *, now: float) -> Recovery | None:
        """One step of the oldest recovery that is not done."""
        going = next((each for each in self._recoveries.values() if not each.state.done), None)
        if going is None:
            return None
        lane = self._queue.lanes[going.state.subscription_id]
        wanted = sorted(number for number in lane.dead if going.position < number <= going.last)
        fitting = [n for n in wanted if lane.entries[n].delivery.created_at >= going.state.since and not lane.gone]
        for number in fitting[:limit]:
            self._queue.requeue(lane.entries[number], Cause.RECOVER, now)
            going.position = number
        left = len(fitting) > limit
        requeued = going.state.requeued + min(limit, len(fitting))
        going.state = replace(going.state, requeued=requeued, done=not left)
        self.signal.fire()
        return going.state

    async def recovery(self, recovery_id: str) -> Recovery | None:
        """How far it is."""
        found = self._recoveries.get(recovery_id)
        return None if found is None else found.state

    async def backlog(self, subscription_id: str | None = None) -> list[Backlog]:
        """What is open, of one or of each subscription."""
        lanes = (lane for lane in self._queue.lanes.values() if not lane.gone)
        found = [lane.backlog() for lane in lanes if subscription_id in (None, lane.subscription.id)]
        return sorted(found, key=lambda each: each.subscription_id)

    # ------------------------------------------------------------ retention

    async def purge(self, *, before: float, dead_before: float, limit: int) -> int:
        """Forget what is old enough; how many records that were."""
        queue = self._queue
        old = [entry for entry in queue.entries.values() if self._is_over(entry, before, dead_before)][:limit]
        for entry in old:
            queue.forget(entry)
            self._events[self._event_numbers[entry.event.id]].deliveries -= 1
        unneeded = list(self._unneeded(before))[: limit - len(old)]
        for stored in unneeded:
            event = stored.event
            del self._events[event.sequence], self._event_numbers[event.id]
            if event.idempotency_key is not None:
                del self._idempotency[event.publisher, event.idempotency_key]
        for lane in [lane for lane in queue.lanes.values() if lane.gone and not lane.entries]:
            del queue.lanes[lane.subscription.id]
            for key in [k for k, v in self._recoveries.items() if v.state.subscription_id == lane.subscription.id]:
                del self._recoveries[key]
        return len(old) + len(unneeded)

    def _is_over(self, entry: Entry, before: float, dead_before: float) -> bool:
        delivery = entry.delivery
        if self._queue.lane_of(entry).gone:
            return True
        limit = dead_before if delivery.state is DeliveryState.DEAD else before
        return not delivery.state.open and delivery.updated_at < limit

    def _unneeded(self, before: float) -> Iterator[_Stored]:
        return (each for each in self._events.values() if not each.deliveries and each.stored_at < before)

    async def ping(self) -> None:
        """Memory can always be read."""
