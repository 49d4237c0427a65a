"""When a breaker opens, for how long, and what closes it."""

from __future__ import annotations

import pytest

from gateway.resilience.breaker import Breaker, BreakerSettings, BreakerState
from gateway.testing.clock import ManualClock

CLOSED, HALF_OPEN, OPEN = BreakerState.CLOSED, BreakerState.HALF_OPEN, BreakerState.OPEN
SETTINGS = BreakerSettings(
    window=10.0, min_calls=4, failure_rate=0.5, slow_rate=0.75, open_seconds=5.0, max_open_seconds=60.0, probes=2
)


class Tried:
    """A breaker, its clock, and what it told of its changes."""

    def __init__(self, settings: BreakerSettings = SETTINGS, random: float = 0.0) -> None:
        self.clock = ManualClock()
        self.changes: list[tuple[BreakerState, BreakerState, str]] = []
        self.breaker = Breaker(
            settings, clock=self.clock, random=lambda: random, on_change=lambda *change: self.changes.append(change)
        )

    def calls(self, what: str) -> None:
        """One call for each letter: `.` well, `x` failed, `s` slow, `t` failed and slow, `w` withdrawn."""
        for letter in what:
            ticket = self.breaker.enter()
            assert ticket is not None, f"no {letter} let through"
            if letter == "w":
                self.breaker.withdraw(ticket)
            else:
                self.breaker.leave(ticket, failed=letter in "xt", slow=letter in "st")

    def opened(self) -> Tried:
        self.calls("xxxx")
        assert self.breaker.state is OPEN
        return self

    def open_for(self) -> float:
        """How long it is open from now."""
        view = self.breaker.view()
        return view.next_probe_at - self.clock()


@pytest.mark.parametrize(
    ("calls", "state"),
    [
        ("xxx", CLOSED),
        ("xxxx", OPEN),
        ("..xx", OPEN),
        ("...x", CLOSED),
        ("xx..", CLOSED),  # a call that goes well never opens it
        ("xx..x", OPEN),
        ("sss.", CLOSED),
        (".sss", OPEN),
        ("sss.s", OPEN),
        ("..ss", CLOSED),
        ("t.st", OPEN),
        ("wwwwwwww", CLOSED),
        ("xxxwwww", CLOSED),
        ("." * 100 + "x" * 99, CLOSED),
        ("." * 100 + "x" * 100, OPEN),
    ],
)
def test_it_opens_when_a_share_of_enough_calls_failed_or_was_slow(calls, state):
    tried = Tried()
    tried.calls(calls)
    assert tried.breaker.state is state


def test_calls_older_than_the_window_do_not_count():
    tried = Tried()
    tried.calls("xxx")
    tried.clock.advance(10.0)
    tried.calls("x")
    assert tried.breaker.state is CLOSED
    assert tried.breaker.view().calls == 1
    tried.clock.advance(9.0)
    tried.calls("x.x")
    assert tried.breaker.state is OPEN


def test_while_it_is_open_nothing_is_let_through():
    tried = Tried().opened()
    tried.clock.advance(4.999)
    assert tried.breaker.enter() is None
    assert tried.open_for() == pytest.approx(0.001, abs=1e-6)


def test_after_that_a_bounded_number_of_probes_is_let_through():
    tried = Tried().opened()
    tried.clock.advance(5.0)
    tickets = [tried.breaker.enter() for _ in range(50)]
    assert len([ticket for ticket in tickets if ticket is not None]) == 2


def test_probes_that_all_go_well_close_it():
    tried = Tried().opened()
    tried.clock.advance(5.0)
    tried.calls(".")
    assert tried.breaker.state is HALF_OPEN
    tried.calls(".")
    assert tried.breaker.state is CLOSED
    assert tried.breaker.view().calls == 0
    assert [(old, new) for old, new, _ in tried.changes] == [(CLOSED, OPEN), (OPEN, HALF_OPEN), (HALF_OPEN, CLOSED)]


@pytest.mark.parametrize("probe", ["x", "s", "t", ".x", ".s"])
def test_a_probe_that_fails_or_is_slow_opens_it_again(probe):
    tried = Tried().opened()
    tried.clock.advance(5.0)
    tried.calls(probe)
    assert tried.breaker.state is OPEN


def test_a_probe_that_was_given_up_makes_room_for_another():
    tried = Tried().opened()
    tried.clock.advance(5.0)
    tried.calls("wwwww..")
    assert tried.breaker.state is CLOSED


def test_the_open_time_doubles_up_to_the_ceiling():
    tried = Tried().opened()
    times = []
    for _ in range(70):
        times.append(tried.open_for())
        tried.clock.advance(times[-1] + 0.001)
        tried.calls("x")
    assert times[:6] == pytest.approx([5, 10, 20, 40, 60, 60])
    assert times[-1] == pytest.approx(60)


def test_a_random_part_is_taken_off_the_open_time():
    assert Tried(random=1.0).opened().open_for() == pytest.approx(4.0)
    assert Tried(random=0.5).opened().open_for() == pytest.approx(4.5)


@pytest.mark.parametrize(("closed_for", "open_for"), [(9.9, 10.0), (10.1, 5.0)])
def test_the_doubling_starts_anew_after_a_whole_window_without_trouble(closed_for, open_for):
    tried = Tried().opened()
    tried.clock.advance(5.0)
    tried.calls("..")
    tried.clock.advance(closed_for)
    tried.calls("xxxx")
    assert tried.open_for() == pytest.approx(open_for)


def test_what_a_call_of_an_earlier_state_says_is_ignored():
    tried = Tried()
    late = [tried.breaker.enter() for _ in range(10)]
    tried.opened()
    tried.clock.advance(5.0)
    tried.calls("..")
    for ticket in late:
        tried.breaker.leave(ticket, failed=True, slow=True)
    assert tried.breaker.state is CLOSED
    assert tried.breaker.view().calls == 0


def test_a_late_probe_does_not_count_among_later_ones():
    tried = Tried().opened()
    tried.clock.advance(5.0)
    late = tried.breaker.enter()
    tried.calls("x")
    tried.clock.advance(10.0)
    assert tried.breaker.enter() is not None
    tried.breaker.leave(late, failed=False, slow=False)
    tried.breaker.withdraw(late)
    assert tried.breaker.enter() is not None
    assert tried.breaker.enter() is None


@pytest.mark.parametrize(("asked", "open_for"), [(30.0, 30.0), (3600.0, 60.0), (0.5, 0.5)])
def test_a_pause_that_was_asked_for_opens_it_until_then_within_the_ceiling(asked, open_for):
    tried = Tried()
    tried.breaker.pause(tried.breaker.enter(), asked)
    assert tried.open_for() == pytest.approx(open_for)
    tried.clock.advance(open_for)
    tried.calls("..")
    assert tried.breaker.state is CLOSED


def test_a_pause_asked_for_by_a_late_answer_makes_an_open_time_longer_but_does_not_open():
    tried = Tried()
    late = tried.breaker.enter()
    tried.opened().breaker.pause(late, 30.0)
    assert tried.open_for() == pytest.approx(30.0)
    tried.breaker.pause(late, 1.0)
    assert tried.open_for() == pytest.approx(30.0)
    tried.clock.advance(30.0)
    tried.calls("..")
    tried.breaker.pause(late, 30.0)
    assert tried.breaker.state is CLOSED


def test_a_probe_that_asks_for_a_pause_is_a_failed_one():
    tried = Tried().opened()
    tried.clock.advance(5.0)
    tried.breaker.pause(tried.breaker.enter(), 1.0)
    assert tried.open_for() == pytest.approx(10.0)


def test_switched_off_it_still_keeps_pauses_and_closes_after_them():
    tried = Tried(BreakerSettings(enabled=False))
    tried.calls("x" * 100)
    assert tried.breaker.state is CLOSED
    tried.breaker.pause(tried.breaker.enter(), 7.0)
    assert tried.breaker.enter() is None
    tried.clock.advance(7.0)
    tried.calls("x" * 100)
    assert tried.breaker.state is CLOSED


def test_a_reset_closes_it_and_calls_in_flight_no_longer_count():
    tried = Tried()
    late = tried.breaker.enter()
    tried.opened().breaker.reset()
    tried.breaker.pause(late, 30.0)
    assert tried.breaker.state is CLOSED
    tried.calls("xxx")
    late = tried.breaker.enter()
    tried.breaker.reset()
    tried.breaker.leave(late, failed=True, slow=False)
    assert tried.breaker.view().calls == 0
    tried.opened()
    assert tried.open_for() == pytest.approx(5.0)


def test_a_call_that_waited_is_no_longer_admitted_once_it_has_opened():
    tried = Tried()
    waiting = tried.breaker.enter()
    assert tried.breaker.admits(waiting)
    tried.opened()
    assert not tried.breaker.admits(waiting)
    tried.clock.advance(5.0)
    probe = tried.breaker.enter()
    assert (tried.breaker.admits(waiting), tried.breaker.admits(probe)) == (False, True)


def test_the_view_tells_why_and_until_when():
    tried = Tried()
    tried.calls("..xt")
    view = tried.breaker.view()
    assert (view.state, view.why) == (OPEN, "2 of 4 calls failed within 10 s")
    assert (view.since, view.next_probe_at) == (tried.clock(), tried.clock() + 5)
    assert (view.calls, view.failure_rate, view.slow_rate) == (4, 0.5, 0.25)
    tried.clock.advance(6.0)
    view = tried.breaker.view()
    assert (view.state, view.since, view.next_probe_at) == (HALF_OPEN, tried.clock() - 1, None)
