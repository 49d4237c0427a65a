"""What a store promises to those who publish, deliver and look at notifications.

Three seams on one database, for one transaction must reach all of them: who subscribed (`SubscriptionStore`), what
happened (`EventLog`), and what is still to be delivered (`DeliveryQueue`). A store knows rows, not rules: which
subscriptions an event goes to, when to retry and when to give up is decided by whoever calls it.
`gateway.testing.event_store_exam` is the exam that every store passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway.model.delivery import Attempt, Cause, Delivery, DeliveryState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.model.delivery import Recovery
    from gateway.model.event import Event
    from gateway.model.subscription import Pause, Subscription
    from gateway.stores.signal import Signal


@dataclass(frozen=True, slots=True)
class SubscriptionQuery:
    """Which subscriptions are wanted, sorted by id: of these `owners` (`None`: of all), after the id `after`."""

    owners: tuple[str | None, ...] | None = None
    after: str | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class SubscriptionChanges:
    """What became of the subscriptions between two versions of their whole."""

    version: int
    changed: tuple[Subscription, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Publication:
    """An event, and the ids of the subscriptions that it goes to. `cause` is that of the first attempt."""

    event: Event
    subscriptions: tuple[str, ...] = ()
    cause: Cause = Cause.SCHEDULE


@dataclass(frozen=True, slots=True)
class Published:
    """What is stored: the event, or with `new` false the one that was there with its id or idempotency key.

    `deliveries` is how many were made of it now.
    """

    event: Event
    new: bool
    deliveries: int = 0


@dataclass(frozen=True, slots=True)
class CursorMove:
    """A named place moves from `base` (`None`: it is new) to `value`, together with what is published."""

    name: str
    base: str | None
    value: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that the caller alone may attempt until the lease ends.

    `token` is to be given back with the result. `cause` is why the attempt is made: it is `PROBE` if the subscription
    is paused, whatever the delivery's own cause.
    """

    delivery: Delivery
    event: Event
    subscription: Subscription
    token: int
    cause: Cause


@dataclass(frozen=True, slots=True)
class Completion:
    """What came of a claim: the attempt, and where the delivery stands now (any state but `CLAIMED`).

    `due` is when the next attempt may be made, for `PENDING`. `reason` is why it was given up, if it is not the
    attempt's. `counts`: whether the attempt counts against the schedule. `hold_until`: no delivery of the
    subscription is claimed before (an endpoint that asked to be left alone).
    """

    delivery_id: str
    token: int
    attempt: Attempt
    state: DeliveryState
    due: float = 0.0
    reason: str | None = None
    counts: bool = True
    hold_until: float | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """Whether the claim was still held, so that the completion took effect; the attempt is recorded in any case.

    `failures` attempts of the subscription have failed in a row, the first of them at `failing_since`.
    """

    held: bool
    failures: int = 0
    failing_since: float | None = None


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which events are wanted: after `after`, the oldest first, or else before `before`, the newest first.

    Both are sequence numbers, exclusive. `integration_id`: only those about this integration.
    """

    integration_id: str | None = None
    after: int | None = None
    before: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class DeliveryQuery:
    """Which deliveries are wanted, the newest first: those that fit everything given.

    `since` (inclusive) and `until` (exclusive) are times of publication in seconds since 1970. `before`: only those
    with a lower sequence number, which is how a next page is asked for.
    """

    subscription_id: str | None = None
    event_id: str | None = None
    state: DeliveryState | None = None
    since: float | None = None
    until: float | None = None
    before: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is still to be delivered to one subscription, and what was given up.

    `oldest` is when the oldest of the open ones was published, in seconds since 1970.
    """

    subscription_id: str
    waiting: int = 0
    claimed: int = 0
    dead: int = 0
    oldest: float | None = None
    failures: int = 0
    failing_since: float | None = None


class SubscriptionStore(Protocol):
    """Where subscriptions last. Each method raises `StoreError` if that cannot be done; nothing is changed then."""

    async def add_subscription(self, subscription: Subscription) -> None:
        """Add it. Raises `Conflict` if there is, or was until lately, one with its id."""
        ...

    async def change_subscription(self, subscription: Subscription) -> None:
        """Replace the one with its id, whose version must be the one before its own.

        Raises `NotFound`, and `StaleGeneration` for another version. `ordered` holds for what is published from now on.
        """
        ...

    async def remove_subscription(self, subscription_id: str) -> bool:
        """Remove it and all its deliveries; whether it was there. What is under way now may still arrive."""
        ...

    async def subscription(self, subscription_id: str) -> Subscription | None:
        """The one with this id, equal to what was put."""
        ...

    async def subscriptions(self, query: SubscriptionQuery) -> list[Subscription]:
        """Those that fit, sorted by id."""
        ...

    async def subscription_changes(self, since: int) -> SubscriptionChanges:
        """What is different since the version `since`; with 0, all there are, and nothing removed."""
        ...

    async def pause(self, subscription_id: str, pause: Pause) -> Subscription:
        """Keep its deliveries from now on. Raises `NotFound`. To pause again replaces the pause."""
        ...

    async def resume(self, subscription_id: str, now: float) -> Subscription:
        """Deliver again what was kept, in order. Raises `NotFound`.

        Forgets the failures in a row, and that the endpoint asked to be left alone.
        """
        ...


class EventLog(Protocol):
    """Where events last. Each method raises `StoreError` if that cannot be done; nothing is changed then."""

    async def publish(
        self, publications: Sequence[Publication], *, version: int, now: float, cursor: CursorMove | None = None
    ) -> list[Published]:
        """Make the events and their deliveries last, all or none, durable when this returns.

        `version` is that of the subscriptions which they were matched against. Raises `StaleGeneration` if it is
        another now, and `CursorMoved` if the cursor is elsewhere. An event whose id, or whose idempotency key from the
        same publisher, is there already is not stored again. Ids of subscriptions that are gone are passed over.
        """
        ...

    async def event(self, event_id: str) -> Event | None:
        """The one with this id."""
        ...

    async def events(self, query: EventQuery) -> list[Event]:
        """Those that fit."""
        ...

    async def cursor(self, name: str) -> str | None:
        """Where the cursor of this name is."""
        ...


class DeliveryQueue(Protocol):
    """What is still to be delivered. Each method raises `StoreError` if that cannot be done."""

    @property
    def signal(self) -> Signal:
        """Fires whenever something in this process may have made a delivery claimable."""
        ...

    async def claim(self, *, now: float, lease_until: float, limit: int) -> list[Claimed]:
        """Up to `limit` deliveries that nobody else has now, and that nobody else gets before `lease_until`.

        Subscriptions take turns, so that none holds up another; none gets more than its `max_concurrency` at once; a
        paused one gets one at a time, as a probe, once that is due, and an inactive one none. Retries that are due
        come before what was never tried, older ones first. Where a lease ran out, the attempt counts as `LOST`, and
        the delivery can be claimed again. The cost does not depend on how many wait.
        """
        ...

    async def finish(self, completions: Sequence[Completion], *, now: float) -> list[Finished]:
        """Record attempts and what follows from them, all in one transaction; the answers in the same order.

        A claim that is no longer held changes nothing but the record of attempts.
        """
        ...

    async def release(self, claims: Sequence[Claimed]) -> None:
        """Give back what was claimed and not attempted."""
        ...

    async def next_due(self, now: float) -> float | None:
        """When, at the earliest, `claim` can give something: `now` if it can at once, `None` if nothing waits."""
        ...

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """The one with this id."""
        ...

    async def deliveries(self, query: DeliveryQuery) -> list[Delivery]:
        """Those that fit, the newest first."""
        ...

    async def attempts(self, delivery_id: str) -> list[Attempt]:
        """All attempts at it, the first one first."""
        ...

    async def redeliver(self, delivery_id: str, *, now: float) -> Delivery:
        """Make it due at once, with its schedule from the start.

        Raises `NotFound`, and `Conflict` if it is under way. Where order is kept, it takes its place in it.
        """
        ...

    async def start_recovery(self, subscription_id: str, *, since: float, now: float) -> Recovery:
        """Note that the dead letters published at or after `since` are wanted. Raises `NotFound`."""
        ...

    async def recover(self, limit: int, *, now: float) -> Recovery | None:
        """Put up to `limit` dead letters that were asked for back into the queue: a step of the oldest recovery.

        Returns how far that one is now, or `None` if there was nothing to do.
        """
        ...

    async def recovery(self, recovery_id: str) -> Recovery | None:
        """How far it is."""
        ...

    async def backlog(self, subscription_id: str | None = None) -> list[Backlog]:
        """What is open, of one or of each subscription. The cost does not depend on how many wait."""
        ...

    async def purge(self, *, before: float, dead_before: float, limit: int) -> int:
        """Forget up to `limit` deliveries, with their attempts, and events; return how many that were.

        Those that were delivered or cancelled before `before` or died before `dead_before`, those of subscriptions
        that are gone, and events from before `before` that no delivery needs. What is open is never forgotten.
        """
        ...

    async def ping(self) -> None:
        """Return if the store can be read now. Used by `/readyz`."""
        ...


class EventStore(SubscriptionStore, EventLog, DeliveryQueue, Protocol):
    """All that notifications need to last."""
