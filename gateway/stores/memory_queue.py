"""The queue of deliveries in memory: who waits, who is claimed, and whose turn it is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from gateway.model.delivery import LOST, Attempt, Cause, Delivery, DeliveryState
from gateway.stores.events import Backlog, Claimed, Finished

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.model.event import Event
    from gateway.model.subscription import Subscription
    from gateway.stores.events import Completion

LOST_DETAIL = "The relay that had it did not report: it may have arrived or not."


@dataclass(slots=True)
class Entry:
    """A delivery, and what is known of it besides. `ordered`: it takes part in the order of its key."""

    delivery: Delivery
    event: Event
    ordered: bool = False
    token: int = 0
    claimed_at: float = 0.0
    claim_cause: Cause = Cause.SCHEDULE
    attempts: dict[int, Attempt] = field(default_factory=dict)  # by the token of the claim


class Lane:
    """What waits for one subscription. The heaps may hold what is no longer true: it is passed over."""

    def __init__(self, subscription: Subscription, revision: int) -> None:
        self.subscription = subscription
        self.revision = revision
        self.gone = False
        self.turn = 0
        self.hold_until = 0.0
        self.next_probe = subscription.paused.probe_at if subscription.paused else None
        self.failures = 0
        self.failing_since: float | None = None
        self.entries: dict[int, Entry] = {}
        self.claimed: set[int] = set()
        self.open: set[int] = set()
        self.dead: set[int] = set()
        self._fresh: list[int] = []
        self._retries: list[tuple[float, int]] = []
        self._oldest: list[int] = []
        self._keys: dict[str | None, list[int]] = {}

    def enqueue(self, entry: Entry, *, ordered: bool) -> None:
        """Let an entry that is not open become so: it waits for its turn."""
        number = entry.delivery.sequence
        blocked = ordered and self._first_of(entry.delivery.key) is not None
        entry.ordered = ordered
        entry.delivery = replace(entry.delivery, state=DeliveryState.PENDING, blocked=blocked)
        if ordered:
            heappush(self._keys.setdefault(entry.delivery.key, []), number)
        self.entries[number] = entry
        self.open.add(number)
        self.dead.discard(number)
        heappush(self._oldest, number)
        self.line_up(entry)

    def line_up(self, entry: Entry) -> None:
        """Show a waiting entry to `next_up`, unless it is blocked."""
        delivery = entry.delivery
        if delivery.blocked:
            return
        if delivery.due:
            heappush(self._retries, (delivery.due, delivery.sequence))
        else:
            heappush(self._fresh, delivery.sequence)

    def close(self, entry: Entry) -> None:
        """An entry is no longer open: let the next one with its key go on."""
        number = entry.delivery.sequence
        self.open.discard(number)
        if entry.delivery.state is DeliveryState.DEAD:
            self.dead.add(number)
        following = self._first_of(entry.delivery.key) if entry.ordered else None
        if following is not None:  # what is not blocked is one at most, and that was this one
            following.delivery = replace(following.delivery, blocked=False)
            self.line_up(following)

    def _first_of(self, key: str | None) -> Entry | None:
        """The oldest open entry with this key that takes part in its order."""
        group = self._keys.get(key, [])
        while group:
            entry = self.entries.get(group[0])
            if entry is not None and entry.ordered and entry.delivery.state.open:
                return entry
            heappop(group)
        self._keys.pop(key, None)
        return None

    def forget(self, number: int) -> None:
        """Drop an entry that is not open."""
        del self.entries[number]
        self.dead.discard(number)

    def capacity(self, now: float) -> int:
        """How many more may be claimed now."""
        subscription = self.subscription
        if self.gone or not subscription.active or self.hold_until > now:
            return 0
        if subscription.paused is None:
            return max(0, subscription.max_concurrency - len(self.claimed))
        return 0 if self.claimed or self.next_probe is None or self.next_probe > now else 1

    def first(self) -> Entry | None:
        """The waiting entry that is next, whether it is due or not."""
        while self._retries:
            due, number = self._retries[0]
            if self._waits(number, due):
                return self.entries[number]
            heappop(self._retries)
        while self._fresh:
            if self._waits(self._fresh[0], 0.0):
                return self.entries[self._fresh[0]]
            heappop(self._fresh)
        return None

    def next_up(self, now: float) -> Entry | None:
        """The waiting entry to be claimed next."""
        found = self.first()
        if found is None or found.delivery.due <= now or self.subscription.paused is not None:
            return found
        retries, self._retries = self._retries, []
        found = self.first()
        self._retries = retries
        return found

    def _waits(self, number: int, due: float) -> bool:
        entry = self.entries.get(number)
        if entry is None:
            return False
        delivery = entry.delivery
        return delivery.state is DeliveryState.PENDING and not delivery.blocked and delivery.due == due

    def ready_at(self, now: float) -> float | None:
        """From when on something can be claimed; `None` if only an event can bring that about."""
        subscription, found = self.subscription, self.next_up(now)
        if found is None:
            found = self.first()
        if self.gone or not subscription.active or found is None:
            return None
        if subscription.paused is not None:
            return None if self.claimed or self.next_probe is None else max(self.next_probe, self.hold_until)
        if len(self.claimed) >= subscription.max_concurrency:
            return None
        return max(found.delivery.due, self.hold_until)

    def backlog(self) -> Backlog:
        """The figures."""
        while self._oldest and self._oldest[0] not in self.open:
            heappop(self._oldest)
        return Backlog(
            self.subscription.id,
            len(self.open) - len(self.claimed),
            len(self.claimed),
            len(self.dead),
            self.entries[self._oldest[0]].delivery.created_at if self._oldest else None,
            self.failures,
            self.failing_since,
        )


class MemoryQueue:
    """All lanes, and the claims on what waits in them."""

    def __init__(self) -> None:
        self.lanes: dict[str, Lane] = {}
        self.entries: dict[int, Entry] = {}
        self._turn = 0

    def lane_of(self, entry: Entry) -> Lane:
        """The lane that an entry is in."""
        return self.lanes[entry.delivery.subscription_id]

    def add(self, entry: Entry) -> None:
        """A new delivery."""
        self.entries[entry.delivery.sequence] = entry
        lane = self.lane_of(entry)
        lane.enqueue(entry, ordered=lane.subscription.in_order)

    def forget(self, entry: Entry) -> None:
        """Drop a delivery that is not open, or whose subscription is gone."""
        del self.entries[entry.delivery.sequence]
        self.lane_of(entry).forget(entry.delivery.sequence)

    def claim(self, now: float, lease_until: float, limit: int) -> list[Claimed]:
        """See `DeliveryQueue.claim`."""
        self._expire(now)
        found: list[Claimed] = []
        turns = [
            (lane.turn, number) for number, lane in enumerate(self.lanes.values()) if lane.open and lane.capacity(now)
        ]
        lanes = list(self.lanes.values())
        heapify(turns)
        while turns and len(found) < limit:
            _, number = heappop(turns)
            lane = lanes[number]
            entry = lane.next_up(now) if lane.capacity(now) else None
            if entry is not None:
                found.append(self._claimed(lane, entry, now, lease_until))
                self._turn += 1
                lane.turn = self._turn
                heappush(turns, (lane.turn, number))
        return found

    @staticmethod
    def _claimed(lane: Lane, entry: Entry, now: float, lease_until: float) -> Claimed:
        subscription = lane.subscription
        entry.token += 1
        entry.claimed_at = now
        entry.claim_cause = entry.delivery.cause if subscription.paused is None else Cause.PROBE
        entry.delivery = replace(entry.delivery, state=DeliveryState.CLAIMED, lease_until=lease_until)
        lane.claimed.add(entry.delivery.sequence)
        if subscription.paused is not None:
            lane.next_probe = lease_until
        return Claimed(entry.delivery, entry.event, subscription, entry.token, entry.claim_cause)

    def _claims(self) -> Iterator[tuple[Lane, Entry]]:
        for lane in self.lanes.values():
            for number in sorted(lane.claimed):
                yield lane, lane.entries[number]

    def _expire(self, now: float) -> None:
        for lane, entry in list(self._claims()):
            delivery = entry.delivery
            if delivery.lease_until is None or delivery.lease_until > now:
                continue
            lost = Attempt(entry.claimed_at, reason=LOST, detail=LOST_DETAIL, cause=entry.claim_cause)
            self._record(entry, entry.token, lost)
            lane.claimed.discard(delivery.sequence)
            entry.delivery = replace(
                entry.delivery,
                state=DeliveryState.PENDING,
                tries=delivery.tries + 1,
                due=0.0,
                lease_until=None,
                cause=Cause.SCHEDULE,
                status=None,
                reason=LOST,
                updated_at=now,
            )
            lane.line_up(entry)

    @staticmethod
    def _record(entry: Entry, token: int, attempt: Attempt) -> None:
        """An attempt that counted as lost turns up after all, or is new; a second report of one changes nothing."""
        known = entry.attempts.get(token)
        if known is None:
            number = entry.delivery.attempts + 1
            entry.attempts[token] = replace(attempt, number=number)
            entry.delivery = replace(entry.delivery, attempts=number)
        elif known.reason == LOST:
            entry.attempts[token] = replace(attempt, number=known.number)

    def finish(self, completion: Completion, now: float) -> Finished:
        """See `DeliveryQueue.finish`."""
        entry = self.entries.get(int(completion.delivery_id.removeprefix("dlv_"), 16))
        if entry is None:
            return Finished(held=False)
        lane, attempt = self.lane_of(entry), completion.attempt
        held = entry.delivery.state is DeliveryState.CLAIMED and entry.token == completion.token
        self._record(entry, completion.token, attempt)
        if held:
            if attempt.reason is None:
                lane.failures, lane.failing_since = 0, None
            else:
                lane.failures += 1
                lane.failing_since = attempt.started_at if lane.failing_since is None else lane.failing_since
            lane.hold_until = max(lane.hold_until, completion.hold_until or 0.0)
            lane.claimed.discard(entry.delivery.sequence)
            entry.delivery = replace(
                entry.delivery,
                state=completion.state,
                tries=entry.delivery.tries + completion.counts,
                due=completion.due if completion.state is DeliveryState.PENDING else 0.0,
                lease_until=None,
                cause=Cause.SCHEDULE,
                status=attempt.status,
                reason=completion.reason or attempt.reason,
                updated_at=now,
            )
            if completion.state is DeliveryState.PENDING:
                lane.line_up(entry)
            else:
                lane.close(entry)
        return Finished(held, lane.failures, lane.failing_since)

    def release(self, claim: Claimed) -> None:
        """See `DeliveryQueue.release`."""
        entry = self.entries.get(claim.delivery.sequence)
        if entry is None or entry.token != claim.token or entry.delivery.state is not DeliveryState.CLAIMED:
            return
        lane = self.lane_of(entry)
        lane.claimed.discard(entry.delivery.sequence)
        entry.delivery = replace(entry.delivery, state=DeliveryState.PENDING, lease_until=None)
        lane.line_up(entry)

    def requeue(self, entry: Entry, cause: Cause, now: float) -> None:
        """Let a delivery that is not claimed be attempted as soon as its turn comes."""
        lane, was_open = self.lane_of(entry), entry.delivery.state.open
        entry.delivery = replace(entry.delivery, due=0.0, tries=0, cause=cause, updated_at=now)
        if was_open:
            lane.line_up(entry)
        else:
            lane.enqueue(entry, ordered=lane.subscription.in_order)

    def next_due(self, now: float) -> float | None:
        """See `DeliveryQueue.next_due`."""
        times = [at for lane in self.lanes.values() if lane.open and (at := lane.ready_at(now)) is not None]
        times += [entry.delivery.lease_until or 0.0 for _, entry in self._claims()]
        return max(now, min(times)) if times else None
