"""What follows from an attempt: for its delivery, and for the subscription whose endpoint it was. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gateway.model.delivery import LOST, Cause, DeliveryState
from gateway.model.subscription import Pause
from gateway.relay.catalogue import PING
from gateway.relay.delivery import Verdict
from gateway.relay.schedule import RetrySchedule
from gateway.stores.events import Completion

if TYPE_CHECKING:
    from gateway.model.event import Event
    from gateway.model.subscription import Subscription
    from gateway.relay.delivery import Attempted
    from gateway.stores.events import Claimed, Finished

INTERRUPTED_SECONDS: Final = 5.0
# An event about a delivery that went wrong, if it cannot be delivered itself, is not told of by yet another one.
_NOT_TOLD_OF: Final = ("gateway.delivery.", "gateway.subscription.", PING)


@dataclass(frozen=True, slots=True)
class PausePolicy:
    """When an endpoint is spared: after `failures` failed attempts in a row over at least `seconds`.

    Then one delivery is tried as a probe after `first_probe` seconds; if that fails, the next one after as long as the
    pause has lasted, at most `longest_probe` seconds.
    """

    failures: int = 10
    seconds: float = 3_600.0
    first_probe: float = 60.0
    longest_probe: float = 3_600.0


@dataclass(frozen=True, slots=True)
class Ruling:
    """The rules: the schedule of retries, and the policy of pauses."""

    schedule: RetrySchedule = field(default_factory=RetrySchedule)
    pausing: PausePolicy = field(default_factory=PausePolicy)

    def completion(self, claimed: Claimed, attempted: Attempted, now: float) -> Completion:
        """Where the delivery stands after this attempt. `now` in seconds since 1970."""
        delivery, attempt = claimed.delivery, attempted.attempt
        hold_until = None
        if attempted.retry_after is not None:
            hold_until = now + min(attempted.retry_after, self.schedule.max_retry_after)
        if attempted.verdict is Verdict.DELIVERED:
            return Completion(delivery.id, claimed.token, attempt, DeliveryState.DELIVERED)
        if attempted.verdict is Verdict.GONE:
            return Completion(delivery.id, claimed.token, attempt, DeliveryState.DEAD)
        if attempt.reason == LOST:  # it was interrupted, which is not the endpoint's fault
            soon = now + INTERRUPTED_SECONDS
            return Completion(delivery.id, claimed.token, attempt, DeliveryState.PENDING, due=soon, counts=False)
        if claimed.cause is Cause.PROBE:  # it waits with the others, and its schedule stands still like theirs
            return Completion(
                delivery.id, claimed.token, attempt, DeliveryState.PENDING, counts=False, hold_until=hold_until
            )
        due = self.schedule.next_at(delivery.tries + 1, now, retry_after=attempted.retry_after)
        if due is None:
            return Completion(delivery.id, claimed.token, attempt, DeliveryState.DEAD, hold_until=hold_until)
        return Completion(delivery.id, claimed.token, attempt, DeliveryState.PENDING, due=due, hold_until=hold_until)

    def pause_after(self, claimed: Claimed, finished: Finished, reason: str, now: float) -> Pause | None:
        """How the subscription is to be paused after a failed attempt, or paused for longer; `None` if not."""
        policy, paused = self.pausing, claimed.subscription.paused
        if claimed.cause is Cause.PROBE and paused is not None:
            wait = min(max(now - paused.at, policy.first_probe), policy.longest_probe)
            return Pause(paused.at, reason, probe_at=now + wait)
        since = finished.failing_since
        if paused is not None or since is None or finished.failures < policy.failures or now - since < policy.seconds:
            return None
        return Pause(now, reason, probe_at=now + policy.first_probe)


def is_told_of(event: Event) -> bool:
    """Whether its owner is told that this event could not be delivered."""
    return not event.type.startswith(_NOT_TOLD_OF)


def may_pause_further(present: Subscription, claimed: Claimed) -> bool:
    """Whether the pause that a claim was made under is still the one that holds: nobody else had a say since."""
    before, now = claimed.subscription.paused, present.paused
    if before is None or now is None:
        return before is now
    return now.at == before.at and now.probe_at is not None
