"""The time limits of one connection: how long it may take to answer, to go on with an answer, and to take a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.errors import UpstreamFailed

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["TimeLimits"]

_SLACK: Final = 0.001  # seconds; uvloop's clock ticks in milliseconds


class TimeLimits:
    """Two points in time, for what is read and what is written, and one timer for both. `fail` is told what passed.

    The timer is left running after a wait and serves the next ones: with limits that only move on, a busy connection
    makes one timer per time limit instead of one per request.
    """

    __slots__ = ("_fail", "_loop", "_timer", "_timer_at", "_what_read", "_what_written", "read_by", "write_by")

    def __init__(self, loop: asyncio.AbstractEventLoop, fail: Callable[[UpstreamFailed], None]) -> None:
        self.read_by = 0.0  # loop time; 0: nobody waits
        self.write_by = 0.0
        self._fail = fail
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._what_read = self._what_written = 0.0

    def answer_by(self, seconds: float, now: float) -> None:
        """The head of an answer must come within `seconds`; `now` in the loop's time."""
        self._what_read = seconds
        by = self.read_by = now + seconds
        if self._timer is None or self._timer_at > by:
            self._arm(by)

    def piece_by(self, seconds: float) -> None:
        """The next piece of an answer must come within `seconds`."""
        self._what_read = -seconds
        self.read_by = self._loop.time() + seconds
        self._arm(self.read_by)

    def written_by(self, seconds: float) -> None:
        """Something of the request must be taken within `seconds`."""
        self._what_written = seconds
        self.write_by = self._loop.time() + seconds
        self._arm(self.write_by)

    def end(self) -> None:
        """No limit holds any more."""
        self.read_by = self.write_by = 0.0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, by: float) -> None:
        if self._timer is not None:
            if self._timer_at <= by:
                return
            self._timer.cancel()
        self._timer_at = by
        self._timer = self._loop.call_at(by, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = self._loop.time() + _SLACK
        if self.write_by and self.write_by <= now:
            self._passed(f"took nothing of the request for {self._what_written:g} s (upstreams.write_timeout_seconds)")
        elif not self.read_by or self.read_by > now:
            by = min([each for each in (self.read_by, self.write_by) if each], default=0.0)
            if by:
                self._arm(by)
        elif self._what_read > 0:
            self._passed(f"did not answer within {self._what_read:g} s (upstreams.answer_timeout_seconds)")
        else:
            self._passed(f"was silent for {-self._what_read:g} s in its answer (upstreams.idle_timeout_seconds)")

    def _passed(self, what: str) -> None:
        self._fail(UpstreamFailed(f"The query API behind the gateway {what}.", timed_out=True))
