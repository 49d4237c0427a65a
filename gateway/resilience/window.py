"""Counting calls over the last while, without keeping each of them."""

from __future__ import annotations

from collections import deque
from typing import Final

SLOTS: Final = 10


class SlidingWindow:
    """How many calls there were within the last `seconds`, and how many of them failed or were slow.

    Counted in slots of a tenth of the time, so that a call is forgotten as a whole slot at a time: between
    nine tenths of the time and all of it after it was counted. Slots without a call take no memory. `now` must not
    go back from one call to the next.
    """

    __slots__ = ("_per_second", "_slots", "calls", "failed", "slow")

    def __init__(self, seconds: float) -> None:
        self._per_second = SLOTS / seconds
        self._slots: deque[list[int]] = deque()  # each: its number, calls, failed, slow
        self.calls = self.failed = self.slow = 0

    def add(self, now: float, *, failed: bool, slow: bool) -> None:
        """Count one call that ended at `now`."""
        number = int(now * self._per_second)
        slots = self._slots
        if not slots or slots[-1][0] != number:
            self._forget(number)
            slots.append([number, 0, 0, 0])
        slot = slots[-1]
        slot[1] += 1
        self.calls += 1
        if failed:
            slot[2] += 1
            self.failed += 1
        if slow:
            slot[3] += 1
            self.slow += 1

    def move_to(self, now: float) -> None:
        """Forget what is too old at `now`."""
        self._forget(int(now * self._per_second))

    def clear(self) -> None:
        """Forget everything."""
        self._slots.clear()
        self.calls = self.failed = self.slow = 0

    def _forget(self, number: int) -> None:
        slots = self._slots
        while slots and slots[0][0] <= number - SLOTS:
            _, calls, failed, slow = slots.popleft()
            self.calls -= calls
            self.failed -= failed
            self.slow -= slow
