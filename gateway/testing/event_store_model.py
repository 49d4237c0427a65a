"""What an event store should do, said as simply as it can be said: lists that are searched through from the start.

`gateway.testing.event_store_machine` compares stores with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gateway.model.delivery import LOST, Attempt, Cause, Delivery, DeliveryState
from gateway.stores.events import Backlog

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.model.event import Event
    from gateway.model.subscription import Subscription
    from gateway.stores.events import Claimed, Completion, Publication, Published

PENDING, CLAIMED, DEAD = DeliveryState.PENDING, DeliveryState.CLAIMED, DeliveryState.DEAD


@dataclass(slots=True)
class Known:
    """A delivery as it should be. `reports` are the attempts by the token of their claim."""

    now: Delivery
    ordered: bool
    token: int = 0
    claimed_at: float = 0.0
    cause: Cause = Cause.SCHEDULE
    reports: dict[int, Attempt] = field(default_factory=dict)


@dataclass(slots=True)
class Endpoint:
    """A subscription as it should be, and what decides whether it gets something now."""

    subscription: Subscription
    next_probe: float | None = None
    hold_until: float = 0.0
    failures: int = 0
    failing_since: float | None = None


class EventStoreModel:
    """Everything in plain lists. Methods take what the store was told and what it answered."""

    def __init__(self) -> None:
        self.events: list[tuple[Event, float]] = []
        self.deliveries: list[Known] = []
        self.endpoints: dict[str, Endpoint] = {}

    def published(self, publication: Publication, answer: Published, made: Sequence[Delivery], now: float) -> None:
        """One event was published, and these deliveries of it were found, in the order of their sequence."""
        wanted = publication.event
        same = [
            event
            for event, _ in self.events
            if event.id == wanted.id
            or (
                (wanted.idempotency_key, wanted.publisher) == (event.idempotency_key, event.publisher)
                and wanted.idempotency_key is not None
            )
        ]
        if same:
            assert (answer.new, answer.deliveries) == (False, 0)
            assert answer.event in same
            return
        assert answer.new
        assert answer.event == replace(wanted, sequence=answer.event.sequence)
        assert all(answer.event.sequence > event.sequence for event, _ in self.events)
        self.events.append((answer.event, now))
        targets = [key for key in dict.fromkeys(publication.subscriptions) if key in self.endpoints]
        assert [each.subscription_id for each in made] == targets
        for each in made:
            assert all(each.sequence > known.now.sequence for known in self.deliveries)
            known = Known(each, self.endpoints[each.subscription_id].subscription.in_order)
            blocked = known.ordered and bool(list(self._open_of_key(known)))
            assert each == Delivery(
                each.id,
                each.sequence,
                wanted.id,
                wanted.type,
                each.subscription_id,
                wanted.key,
                blocked=blocked,
                created_at=now,
                updated_at=now,
            )
            self.deliveries.append(known)

    def _open_of_key(self, wanted: Known) -> Iterator[Known]:
        for known in self.deliveries:
            same = (known.now.subscription_id, known.now.key) == (wanted.now.subscription_id, wanted.now.key)
            if same and known.ordered and known.now.state.open and known is not wanted:
                yield known

    def expire(self, now: float) -> None:
        """Leases that are over end."""
        for known in self.deliveries:
            until = known.now.lease_until
            if until is not None and until <= now:
                self._report(known, known.token, Attempt(known.claimed_at, reason=LOST, cause=known.cause))
                known.now = replace(
                    known.now,
                    state=PENDING,
                    tries=known.now.tries + 1,
                    due=0.0,
                    lease_until=None,
                    cause=Cause.SCHEDULE,
                    status=None,
                    reason=LOST,
                    updated_at=now,
                )

    @staticmethod
    def _report(known: Known, token: int, attempt: Attempt) -> None:
        earlier = known.reports.get(token)
        if earlier is None or earlier.reason == LOST:
            known.reports[token] = attempt
        known.now = replace(known.now, attempts=len(known.reports))

    def claimable(self, now: float) -> dict[str, list[Known]]:
        """For each subscription, what may be claimed, in the order in which it must be."""
        found = {}
        for key, endpoint in self.endpoints.items():
            subscription = endpoint.subscription
            mine = [known for known in self.deliveries if known.now.subscription_id == key]
            busy = sum(known.now.state is CLAIMED for known in mine)
            waiting = [known for known in mine if known.now.state is PENDING and not known.now.blocked]
            waiting.sort(key=lambda known: (not known.now.due, known.now.due, known.now.sequence))
            if subscription.paused is not None:
                probe = endpoint.next_probe is not None and endpoint.next_probe <= now and not busy
                waiting = waiting[:1] if probe else []
            else:
                waiting = [known for known in waiting if known.now.due <= now]
                waiting = waiting[: max(0, subscription.max_concurrency - busy)]
            found[key] = waiting if subscription.active and endpoint.hold_until <= now else []
        return found

    def claimed(self, claims: Sequence[Claimed], now: float, lease_until: float, limit: int) -> None:
        """These were claimed: nothing that might not be, in order, and all that might be if there was room."""
        possible = self.claimable(now)
        for key, waiting in possible.items():
            got = [each.delivery.id for each in claims if each.subscription.id == key]
            assert got == [known.now.id for known in waiting][: len(got)]
        assert len(claims) == min(limit, sum(len(waiting) for waiting in possible.values()))
        counts = {key: sum(each.subscription.id == key for each in claims) for key in possible}
        for key, waiting in possible.items():  # whoever got less than another had no more
            assert counts[key] == len(waiting) or counts[key] >= max(counts.values()) - 1
        for each in claims:
            known = self.known(each.delivery.id)
            endpoint = self.endpoints[each.subscription.id]
            probe = endpoint.subscription.paused is not None
            assert each.token > known.token
            assert each.cause is (Cause.PROBE if probe else known.now.cause)
            assert each.subscription == endpoint.subscription
            known.now = replace(known.now, state=CLAIMED, lease_until=lease_until)
            assert each.delivery == known.now
            known.token, known.claimed_at, known.cause = each.token, now, each.cause
            if probe:
                endpoint.next_probe = lease_until

    def finished(self, completion: Completion, now: float) -> bool:
        """What came of a claim; whether it was still held."""
        known = next((known for known in self.deliveries if known.now.id == completion.delivery_id), None)
        if known is None:
            return False
        held = known.now.state is CLAIMED and known.token == completion.token
        attempt = completion.attempt
        self._report(known, completion.token, attempt)
        if not held:
            return False
        endpoint = self.endpoints[known.now.subscription_id]
        if attempt.reason is None:
            endpoint.failures, endpoint.failing_since = 0, None
        else:
            endpoint.failures += 1
            endpoint.failing_since = attempt.started_at if endpoint.failing_since is None else endpoint.failing_since
        endpoint.hold_until = max(endpoint.hold_until, completion.hold_until or 0.0)
        known.now = replace(
            known.now,
            state=completion.state,
            tries=known.now.tries + completion.counts,
            due=completion.due if completion.state is PENDING else 0.0,
            lease_until=None,
            cause=Cause.SCHEDULE,
            status=attempt.status,
            reason=completion.reason or attempt.reason,
            updated_at=now,
        )
        behind = sorted(self._open_of_key(known), key=lambda other: other.now.sequence)
        if known.ordered and not known.now.state.open and behind:
            behind[0].now = replace(behind[0].now, blocked=False)
        return True

    def released(self, claimed: Claimed) -> None:
        """A claim was given back."""
        for known in self.deliveries:
            mine = known.now.id == claimed.delivery.id and known.token == claimed.token
            if mine and known.now.state is CLAIMED:
                known.now = replace(known.now, state=PENDING, lease_until=None)

    def requeued(self, known: Known, cause: Cause, now: float) -> None:
        """A delivery was asked for by hand."""
        again = replace(known.now, due=0.0, tries=0, cause=cause, updated_at=now)
        if not known.now.state.open:
            known.ordered = self.endpoints[known.now.subscription_id].subscription.in_order
            blocked = known.ordered and bool(list(self._open_of_key(known)))
            again = replace(again, state=PENDING, blocked=blocked)
        known.now = again

    def removed(self, subscription_id: str) -> None:
        """A subscription is gone, with all that is its."""
        del self.endpoints[subscription_id]
        self.deliveries = [known for known in self.deliveries if known.now.subscription_id != subscription_id]

    def purged(self, before: float, dead_before: float) -> None:
        """All that is old enough is forgotten."""
        self.deliveries = [
            known
            for known in self.deliveries
            if known.now.state.open or known.now.updated_at >= (dead_before if known.now.state is DEAD else before)
        ]
        needed = {known.now.event_id for known in self.deliveries}
        self.events = [(event, at) for event, at in self.events if event.id in needed or at >= before]

    def known(self, delivery_id: str) -> Known:
        """The delivery with this id; it must be there."""
        return next(known for known in self.deliveries if known.now.id == delivery_id)

    def backlog(self) -> list[Backlog]:
        """The figures."""
        found = []
        for key, endpoint in sorted(self.endpoints.items()):
            mine = [known.now for known in self.deliveries if known.now.subscription_id == key]
            waiting, claimed, dead = (sum(each.state is state for each in mine) for state in (PENDING, CLAIMED, DEAD))
            oldest = min((each for each in mine if each.state.open), key=lambda each: each.sequence, default=None)
            at = None if oldest is None else oldest.created_at
            found.append(Backlog(key, waiting, claimed, dead, at, endpoint.failures, endpoint.failing_since))
        return found
