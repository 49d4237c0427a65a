"""A clock that stands still until it is told to go on."""

from __future__ import annotations


class ManualClock:
    """Give it wherever a `now` is taken: calling it tells the time, in seconds since 1970."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._now = now

    def __call__(self) -> float:
        """The time, in seconds since 1970."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let `seconds` (not negative) pass. Raises `ValueError` for a step back."""
        if seconds < 0:
            raise ValueError("time does not go back")
        self._now += seconds
