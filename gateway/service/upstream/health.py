"""Whether an upstream is worth asking: down after several failures in a row, up again when a try goes well.

While an upstream is down, requests fail at once instead of waiting for a connection each, and the gateway tries by
itself, in growing intervals, as Envoy's outlier detection lets a host alone for longer each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from gateway.observe.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.service.upstream.limits import Limits

__all__ = ["Health", "UpstreamState", "UpstreamStatus"]

log = get_logger("upstream")


class UpstreamState(StrEnum):
    """What is known of an upstream. `unknown`: it was not asked yet."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


_UP: Final = UpstreamState.UP
_DOWN: Final = UpstreamState.DOWN
_PERIOD: Final = 60.0  # seconds; failures that lie further apart say nothing together


@dataclass(frozen=True, slots=True)
class UpstreamStatus:
    """How an upstream stands. `since` in the clock of the upstreams (seconds), of its present state; `why` it is down.

    `open`, `idle`: connections; `waiting`: requests that wait for one. `requests`: sent since the start; `failures`:
    how many failed, by reason.
    """

    url: str
    state: UpstreamState
    since: float | None
    why: str | None
    open: int
    idle: int
    waiting: int
    requests: int
    failures: dict[str, int]


class Health:
    """What is known of one upstream. `clock` gives seconds and never goes back."""

    __slots__ = (
        "_clock",
        "_failed",
        "_failed_at",
        "_limits",
        "_pause",
        "_place",
        "checked",
        "down",
        "settled",
        "since",
        "state",
        "until",
        "why",
    )

    def __init__(self, place: str, limits: Limits, clock: Callable[[], float]) -> None:
        self.state = UpstreamState.UNKNOWN
        self.since: float | None = None
        self.why: str | None = None
        self.until = 0.0  # when it is tried again, while it is down
        self.down = False  # requests are to fail at once
        self.checked = False  # it is down because of its own answer to a health check
        self.settled = False  # there is nothing that a request which went well could change
        self._place = place
        self._limits = limits
        self._clock = clock
        self._failed = 0
        self._failed_at = 0.0
        self._pause = limits.down

    def good(self, *, checked: bool = False) -> None:
        """A connection was made, an answer came, or a health check went well (`checked`)."""
        if self.checked and not checked:
            return
        self._failed = 0
        self.down = self.checked = False
        self.settled = True
        if self.state is _UP:
            return
        if self.state is _DOWN:
            log.info("upstream.up", upstream=self._place)
        self.state, self.since, self.why = _UP, self._clock(), None
        self._pause = self._limits.down

    def bad(self, why: str, *, checked: bool = False) -> bool:
        """No connection could be made, or a health check failed (`checked`). Whether it is down from now on."""
        now = self._clock()
        if now - self._failed_at > _PERIOD:
            self._failed = 0
        self._failed += 1
        self.settled = False
        self._failed_at = now
        if self.state is _DOWN:
            self.why = why
            self.checked = checked
            self._pause = min(self._pause * 2, self._limits.longest_down)
            self.until = now + self._pause
            return False
        if self._failed < self._limits.down_after:
            return False
        log.warning("upstream.down", upstream=self._place, failures=self._failed, why=why)
        self.state, self.since, self.why, self.checked = _DOWN, now, why, checked
        self.down = True
        self.until = now + self._pause
        return True

    def pause(self) -> float:
        """For how many seconds it is let alone yet."""
        return max(0.0, self.until - self._clock())
