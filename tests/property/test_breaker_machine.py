"""The breaker against a naive model that keeps every call and counts them all each time."""

from __future__ import annotations

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.resilience.breaker import Breaker, BreakerSettings, BreakerState
from gateway.testing.clock import ManualClock

CLOSED, HALF_OPEN, OPEN = BreakerState.CLOSED, BreakerState.HALF_OPEN, BreakerState.OPEN


class BreakerMachine(RuleBasedStateMachine):
    """Times are whole tenths of the window or simple parts of it, so that slots begin where the model says."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(1_000.0)
        self.told: list[tuple[BreakerState, BreakerState]] = []

    @initialize(
        min_calls=st.integers(1, 6),
        failure=st.sampled_from((0.25, 0.5, 1.0)),
        slow=st.sampled_from((0.5, 1.0)),
        probes=st.integers(1, 3),
        enabled=st.booleans() | st.just(value=True),
        jitter=st.sampled_from((0.0, 0.25)),
    )
    def begin(self, min_calls, failure, slow, probes, enabled, jitter):
        self.settings = BreakerSettings(
            enabled=enabled,
            window=10.0,
            min_calls=min_calls,
            failure_rate=failure,
            slow_rate=slow,
            open_seconds=4.0,
            max_open_seconds=20.0,
            jitter=jitter,
            probes=probes,
        )
        self.breaker = Breaker(
            self.settings,
            clock=self.clock,
            random=lambda: 1.0,
            on_change=lambda old, new, _: self.told.append((old, new)),
        )
        # The model: its state, an epoch that each change begins, and the calls that ended in this epoch.
        self.state, self.epoch, self.until, self.trips = CLOSED, 0, 0.0, 0
        self.closed_at = -math.inf
        self.ended: list[tuple[float, bool, bool]] = []
        self.probing = self.passed = 0
        self.under_way: list[tuple[int, int]] = []  # ticket, epoch

    # ------------------------------------------------------------ the model

    def change(self, state):
        assert state is not self.state
        self.state = state
        self.epoch += 1
        self.probing = self.passed = 0
        if state is not OPEN:
            self.ended = []
        if state is CLOSED:
            self.closed_at = self.clock()

    def grown(self):
        full = min(self.settings.open_seconds * 2 ** (self.trips - 1), self.settings.max_open_seconds)
        return full * (1 - self.settings.jitter)

    def open(self):
        if self.state is CLOSED and self.clock() - self.closed_at >= self.settings.window:
            self.trips = 0
        self.trips += 1
        self.until = self.clock() + self.grown()
        self.change(OPEN)

    def recent(self):
        oldest = math.floor(self.clock()) - 9  # slots of one second
        return [call for call in self.ended if math.floor(call[0]) >= oldest]

    # ------------------------------------------------------------ what happens

    @rule(seconds=st.sampled_from((0.0, 0.5, 1.0, 3.0, 4.0, 10.0, 20.0)))
    def time_passes(self, seconds):
        self.clock.advance(seconds)

    @rule()
    def enter(self):
        if self.state is OPEN and self.clock() >= self.until:
            self.change(HALF_OPEN if self.settings.enabled else CLOSED)
        expected = self.state is CLOSED or (
            self.state is HALF_OPEN and self.probing + self.passed < self.settings.probes
        )
        ticket = self.breaker.enter()
        assert (ticket is not None) == expected
        if ticket is not None:
            self.under_way.append((ticket, self.epoch))
            if self.state is HALF_OPEN:
                self.probing += 1

    def take(self, data):
        return self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), failed=st.booleans(), slow=st.booleans())
    def leave(self, data, failed, slow):
        ticket, epoch = self.take(data)
        if epoch == self.epoch:
            if self.state is HALF_OPEN:
                self.probing -= 1
                if failed or slow:
                    self.open()
                else:
                    self.passed += 1
                    if self.passed == self.settings.probes:
                        self.change(CLOSED)
            elif self.settings.enabled:
                self.ended.append((self.clock(), failed, slow))
                calls = self.recent()
                bad = sum(f for _, f, _ in calls) / len(calls) >= self.settings.failure_rate
                late = sum(s for _, _, s in calls) / len(calls) >= self.settings.slow_rate
                if (failed or slow) and len(calls) >= self.settings.min_calls and (bad or late):
                    self.open()
        self.breaker.leave(ticket, failed=failed, slow=slow)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), seconds=st.sampled_from((1.0, 7.0, 500.0)))
    def pause(self, data, seconds):
        ticket, epoch = self.take(data)
        until = self.clock() + min(seconds, 20.0)
        if self.state is OPEN:
            self.until = max(self.until, until)
        elif epoch == self.epoch:
            if self.state is HALF_OPEN:
                self.trips += 1
                until = max(until, self.clock() + self.grown())
            self.until = until
            self.change(OPEN)
        self.breaker.pause(ticket, seconds)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def withdraw(self, data):
        ticket, epoch = self.take(data)
        if epoch == self.epoch and self.state is HALF_OPEN:
            self.probing -= 1
        self.breaker.withdraw(ticket)

    @rule()
    def reset(self):
        self.trips = 0
        if self.state is CLOSED:
            self.epoch += 1
            self.ended = []
        else:
            self.change(CLOSED)
        self.breaker.reset()

    # ------------------------------------------------------------ what always holds

    @invariant()
    def it_shows_what_the_model_knows(self):
        view = self.breaker.view()
        expired = self.state is OPEN and self.clock() >= self.until
        after = HALF_OPEN if self.settings.enabled else CLOSED
        assert view.state is self.breaker.state is (after if expired else self.state)
        assert view.next_probe_at == (self.until if view.state is OPEN else None)
        calls = self.recent()
        assert view.calls == len(calls)
        if calls:
            assert math.isclose(view.failure_rate, sum(f for _, f, _ in calls) / len(calls))
            assert math.isclose(view.slow_rate, sum(s for _, _, s in calls) / len(calls))

    @invariant()
    def probes_are_bounded_and_open_times_have_a_ceiling(self):
        assert 0 <= self.probing + self.passed <= self.settings.probes
        assert self.until - self.clock() <= self.settings.max_open_seconds

    @invariant()
    def every_change_was_told_once_and_in_order(self):
        state = CLOSED
        for old, new in self.told:
            assert old is state
            state = new
        assert state is self.state


TestBreaker = BreakerMachine.TestCase
TestBreaker.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)
