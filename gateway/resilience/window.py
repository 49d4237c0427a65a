"""Counting calls over the last while, without keeping each of them."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

SLOTS: Final = 10


class SlidingWindow:
    """How many calls there were within the last `seconds`, and how many of them failed or were slow.

    Counted in slots of a tenth of the time, so that a call is forgotten as a whole slot at a time: between
    nine tenths of the time and all of it after it was counted. Slots without a call take no memory. `now` must not
    go back from one call to the next.
    """

    __slots__ = ("_ends", "_per_second", "_slot", "_slots", "calls", "failed", "slow")

    def __init__(self, seconds: float) -> None:
        self._per_second = SLOTS / seconds
        self._slots: deque[list[int]] = deque()  # each: its number, calls, failed, slow
        self._slot = [0, 0, 0, 0]  # the last of them
        self._ends = -math.inf
        self.calls = self.failed = self.slow = 0

    def add(self, now: float, failed: bool, slow: bool) -> None:  # noqa: FBT001  by position: it is called for each call
        """Count one call that ended at `now`."""
        if now >= self._ends:
            self._begin(now)
        slot = self._slot
        slot[1] += 1
        self.calls += 1
        if failed:
            slot[2] += 1
            self.failed += 1
        if slow:
            slot[3] += 1
            self.slow += 1

    def recant(self, now: float) -> None:
        """Count one of the calls that went well of late as failed; one more call if there is none."""
        if now >= self._ends or self._slot[2] >= self._slot[1]:
            self.add(now, True, False)
            return
        self._slot[2] += 1
        self.failed += 1

    def move_to(self, now: float) -> None:
        """Forget what is too old at `now`."""
        self._forget(int(now * self._per_second))

    def clear(self) -> None:
        """Forget everything."""
        self._slots.clear()
        self._ends = -math.inf
        self.calls = self.failed = self.slow = 0

    def _begin(self, now: float) -> None:
        number = int(now * self._per_second)
        self._forget(number)
        self._slot = [number, 0, 0, 0]
        self._slots.append(self._slot)
        self._ends = (number + 1) / self._per_second

    def _forget(self, number: int) -> None:
        slots = self._slots
        while slots and slots[0][0] <= number - SLOTS:
            _, calls, failed, slow = slots.popleft()
            self.calls -= calls
            self.failed -= failed
            self.slow -= slow
