"""When a delivery is tried again: a schedule over days, with jitter, that heeds `Retry-After`.

The default is the example of the Standard Webhooks specification.
Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import random as _random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_MINUTE: Final = 60.0
_HOUR: Final = 3_600.0

DEFAULT_DELAYS: Final = (
    0.0,
    5.0,
    5 * _MINUTE,
    30 * _MINUTE,
    2 * _HOUR,
    5 * _HOUR,
    10 * _HOUR,
    14 * _HOUR,
    20 * _HOUR,
    24 * _HOUR,
)


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """How long to wait before each attempt.

    `delays`, in seconds: the first is the wait before the first attempt, each further one the wait after a failed
    attempt until the next; there are as many attempts as delays. Each wait is made longer by up to `jitter` of
    itself (0.2 is a fifth), at random, so that what failed together does not return together. It is never shorter.
    A `Retry-After` makes a wait longer, too, up to `max_retry_after` seconds. `random` gives numbers from 0 to 1.

    Raises `ValueError` for a schedule without attempts, a negative wait, or a retry without any wait at all.
    """

    delays: tuple[float, ...] = DEFAULT_DELAYS
    jitter: float = 0.2
    max_retry_after: float = 24 * _HOUR
    random: Callable[[], float] = _random.random

    def __post_init__(self) -> None:
        if not self.delays:
            raise ValueError("a schedule has at least one attempt")
        if self.delays[0] < 0 or any(delay <= 0 for delay in self.delays[1:]):
            raise ValueError("the first wait is not negative, and every wait before a retry is more than 0 s")

    @property
    def attempts(self) -> int:
        """How many attempts there are."""
        return len(self.delays)

    def first_at(self, now: float) -> float:
        """When the first attempt is due of what is published at `now` (both in seconds since 1970)."""
        return now + self._longer(self.delays[0])

    def next_at(self, made: int, now: float, *, retry_after: float | None = None) -> float | None:
        """When the next attempt is due, after `made` (1 or more) failed ones; `None` if there is none left.

        `now` and the answer are seconds since 1970; `retry_after` is how many seconds the endpoint asked for.
        """
        if made >= len(self.delays):
            return None
        delay = self._longer(self.delays[made])
        if retry_after is not None:
            delay = max(delay, self._longer(min(retry_after, self.max_retry_after)))
        return now + delay

    def _longer(self, delay: float) -> float:
        return delay * (1 + self.jitter * self.random())
