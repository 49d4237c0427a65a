"""A circuit breaker: whoever fails too often is left alone for a while, then tried with care.

The states are those of Nygard, "Release It!" (2007): closed, open, half-open. Taken from the systems that do
it best: rates over a sliding time window and slow calls (resilience4j), open times that grow (Envoy's outlier
detection). In half-open state most libraries let every caller through; here the number of probes is bounded.
"""

from __future__ import annotations

import random as _random
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from gateway.resilience.window import SlidingWindow

if TYPE_CHECKING:
    from collections.abc import Callable

    OnChange = Callable[["BreakerState", "BreakerState", str], None]


class BreakerState(StrEnum):
    """Whether calls are let through: all, none, or a few to see."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


# To find a member through its class takes longer than everything else that is done for a call that goes well.
_CLOSED: Final = BreakerState.CLOSED
_OPEN: Final = BreakerState.OPEN
_HALF_OPEN: Final = BreakerState.HALF_OPEN


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When a breaker opens, and for how long.

    It opens when at least `min_calls` ended within the last `window` seconds and a share of them of at least
    `failure_rate` failed, or of at least `slow_rate` was slow. It is open for `open_seconds` the first time
    and twice as long each next time, at most `max_open_seconds`; a random part of up to `jitter` of that is taken
    off, so that not everything is probed at once. The doubling starts anew once it has been closed for a
    whole window. In half-open state, `probes` calls must succeed in time to close it; no more than that
    are let through. With `enabled` off, only a pause that was asked for opens it.
    """

    enabled: bool = True
    window: float = 30.0
    min_calls: int = 5
    failure_rate: float = 0.5
    slow_rate: float = 0.9
    open_seconds: float = 5.0
    max_open_seconds: float = 120.0
    jitter: float = 0.2
    probes: int = 1


@dataclass(frozen=True, slots=True)
class BreakerView:
    """A breaker at one moment.

    `since` and `next_probe_at` are in the breaker's clock. `since` is `None` if it never changed its state;
    `why` says why it last did. `calls` are those in the window; the rates are shares of them, 0 if there are
    none. `next_probe_at` is when an open breaker lets a call through again.
    """

    state: BreakerState
    since: float | None
    why: str | None
    calls: int
    failure_rate: float
    slow_rate: float
    next_probe_at: float | None


class Breaker:
    """Decides for one callee whether it may be called, from what became of earlier calls.

    Every call that `enter` lets through is followed by exactly one of `leave`, `pause` and `withdraw` with its
    ticket. What a call of an earlier state says is ignored: a late failure does not open a breaker that has just
    closed. Only a failed or slow call opens it, never one that went well.

    `clock` gives seconds and never goes back. `random` gives numbers from 0 to 1. `on_change` is told of each
    change of the state: old, new, why. For one thread; nothing here waits.
    """

    __slots__ = (
        "_clock",
        "_on_change",
        "_passed",
        "_probing",
        "_random",
        "_settings",
        "_since",
        "_state",
        "_ticket",
        "_trips",
        "_until",
        "_why",
        "_window",
    )

    def __init__(
        self,
        settings: BreakerSettings,
        *,
        clock: Callable[[], float],
        random: Callable[[], float] = _random.random,
        on_change: OnChange | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._random = random
        self._on_change = on_change
        self._window = SlidingWindow(settings.window)
        self._state = _CLOSED
        self._ticket = 1  # one more with each change of the state
        self._since: float | None = None
        self._why: str | None = None
        self._until = 0.0
        self._trips = 0  # how often it opened without being closed for a whole window in between
        self._probing = 0
        self._passed = 0

    # ------------------------------------------------------------ before a call

    def enter(self) -> int | None:
        """A ticket for one call, or `None` if none may be made now."""
        if self._state is _CLOSED:
            return self._ticket
        return self._enter_to_probe()

    def _enter_to_probe(self) -> int | None:
        if self._state is _OPEN:
            if self._clock() < self._until:
                return None
            if not self._settings.enabled:
                self._change(_CLOSED, "the pause has ended")
                return self._ticket
            self._change(_HALF_OPEN, "its open time has ended")
        if self._probing + self._passed >= self._settings.probes:
            return None
        self._probing += 1
        return self._ticket

    def admits(self, ticket: int) -> bool:
        """Whether the call with this ticket, which has waited since it entered, may still be made."""
        return ticket == self._ticket or self._state is _CLOSED

    # ------------------------------------------------------------ after a call

    def leave(self, ticket: int, failed: bool, slow: bool) -> None:  # noqa: FBT001  by position: it is called for each call
        """The call has ended: it failed or not, and was slow or not."""
        if ticket != self._ticket:
            return
        if self._state is _HALF_OPEN:
            self._probed(failed=failed, slow=slow)
        elif self._settings.enabled:
            self._window.add(self._clock(), failed, slow)
            if failed or slow:
                self._judge()

    def recant(self) -> None:
        """A call that has left as one that went well did not: what it brought turned out to be of no use."""
        if self._state is _CLOSED and self._settings.enabled:
            self._window.recant(self._clock())
            self._judge()

    def pause(self, ticket: int, seconds: float) -> None:
        """The callee asked not to be called for `seconds`: open until then, at most for `max_open_seconds`."""
        now = self._clock()
        until = now + min(seconds, self._settings.max_open_seconds)
        if self._state is _OPEN:
            self._until = max(self._until, until)
        elif ticket == self._ticket:
            if self._state is _HALF_OPEN:
                self._trips += 1
                until = max(until, now + self._open_time())
            self._until = until
            self._change(_OPEN, f"it asked for a pause of {seconds:g} s")

    def withdraw(self, ticket: int) -> None:
        """The call was given up, or says nothing about the callee."""
        if ticket == self._ticket and self._state is _HALF_OPEN:
            self._probing -= 1

    def reset(self) -> None:
        """Close and forget everything; calls in flight say nothing any more."""
        self._trips = 0
        if self._state is _CLOSED:
            self._ticket += 1
            self._window.clear()
        else:
            self._change(_CLOSED, "it was reset")

    # ------------------------------------------------------------ how it stands

    @property
    def state(self) -> BreakerState:
        """The state that the next call would meet."""
        if self._state is _OPEN and self._clock() >= self._until:
            return _HALF_OPEN if self._settings.enabled else _CLOSED
        return self._state

    def view(self) -> BreakerView:
        """Everything there is to tell."""
        window = self._window
        window.move_to(self._clock())
        state = self.state
        return BreakerView(
            state=state,
            since=self._since if state is self._state else self._until,
            why=self._why,
            calls=window.calls,
            failure_rate=window.failed / window.calls if window.calls else 0.0,
            slow_rate=window.slow / window.calls if window.calls else 0.0,
            next_probe_at=self._until if state is _OPEN else None,
        )

    # ------------------------------------------------------------ changes

    def _judge(self) -> None:
        window, settings = self._window, self._settings
        if window.calls < settings.min_calls:
            return
        if window.failed >= settings.failure_rate * window.calls:
            self._open(f"{window.failed} of {window.calls} calls failed within {settings.window:g} s")
        elif window.slow >= settings.slow_rate * window.calls:
            self._open(f"{window.slow} of {window.calls} calls were slow within {settings.window:g} s")

    def _probed(self, *, failed: bool, slow: bool) -> None:
        self._probing -= 1
        if failed or slow:
            self._open(f"a probe {'failed' if failed else 'was slow'}")
            return
        self._passed += 1
        if self._passed >= self._settings.probes:
            self._change(_CLOSED, "the probes went well")

    def _open(self, why: str) -> None:
        now = self._clock()
        if self._state is _CLOSED and now - (self._since or 0.0) >= self._settings.window:
            self._trips = 0
        self._trips += 1
        self._until = now + self._open_time()
        self._change(_OPEN, why)

    def _open_time(self) -> float:
        settings = self._settings
        longest = min(settings.max_open_seconds, settings.open_seconds * 2.0 ** min(self._trips - 1, 60))
        return longest * (1 - settings.jitter * self._random())

    def _change(self, new: BreakerState, why: str) -> None:
        old, self._state = self._state, new
        self._ticket += 1
        self._since, self._why = self._clock(), why
        self._probing = self._passed = 0
        if new is not _OPEN:  # while it is open, the figures tell why it is
            self._window.clear()
        if self._on_change is not None:
            self._on_change(old, new, why)
