"""One event on its way to one subscription, and the attempts to bring it there."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"  # waits for its turn, or for its next attempt
    CLAIMED = "claimed"  # a relay has it, under a lease
    DELIVERED = "delivered"
    DEAD = "dead"  # given up; can be redelivered
    CANCELLED = "cancelled"  # no longer wanted

    @property
    def open(self) -> bool:
        """Whether there is still something to do."""
        return self in {DeliveryState.PENDING, DeliveryState.CLAIMED}


class Cause(StrEnum):
    """Why an attempt is made."""

    SCHEDULE = "schedule"  # the first one, or a retry
    REDELIVER = "redeliver"  # asked for by hand
    PING = "ping"
    RECOVER = "recover"  # asked for by hand, for all since a time
    PROBE = "probe"  # to find out whether a paused endpoint is well again


LOST: Final = "lost"
"""The reason of an attempt that no relay reported on: it may have arrived or not."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one subscription.

    `sequence` is given by the store and grows in the order of publication. `attempts` counts all attempts ever,
    `tries` those that count against the schedule: since it was published or last asked for by hand. `due` is when
    the next attempt may be made; 0 is at once. `blocked`: an earlier delivery with the same key is still open.
    `status` and `reason` tell the last attempt, or why it was given up. Times are seconds since 1970, UTC.
    """

    id: str
    sequence: int
    event_id: str
    event_type: str
    subscription_id: str
    key: str | None = None
    state: DeliveryState = DeliveryState.PENDING
    attempts: int = 0
    tries: int = 0
    due: float = 0.0
    blocked: bool = False
    lease_until: float | None = None
    cause: Cause = Cause.SCHEDULE
    status: int | None = None
    reason: str | None = None
    created_at: float = 0.0
    updated_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to deliver: a request, and what came of it.

    `number` is given by the store, from 1. `ms` is how long it took, `None` if nobody knows. `reason` is `None` for
    a success, otherwise a word (`gateway.model.Reason`, or `LOST`), and `detail` a sentence. `request_headers` are
    without secrets, `excerpt` is the beginning of the response's body.
    """

    started_at: float
    ms: float | None = None
    status: int | None = None
    reason: str | None = None
    detail: str | None = None
    cause: Cause = Cause.SCHEDULE
    request_headers: tuple[tuple[str, str], ...] = ()
    excerpt: bytes = field(default=b"", repr=False)
    number: int = 0


@dataclass(frozen=True, slots=True)
class Recovery:
    """The dead letters of a subscription, from `since` on, on their way back into the queue.

    `total` is how many there were at the start, `requeued` how many are back. Times are seconds since 1970, UTC.
    """

    id: str
    subscription_id: str
    since: float
    created_at: float
    total: int
    requeued: int = 0
    done: bool = False
