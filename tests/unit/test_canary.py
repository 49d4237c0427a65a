"""When a canary steps back: the bounds one by one, over time."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gateway.model import CanaryBounds, Outcome, Reason, Status
from gateway.pipeline.canary import Canaries
from gateway.registry.plan import HookPlan
from gateway.registry.snapshot import Snapshot
from gateway.testing.clock import ManualClock

FINE = Outcome("it", "fake", Status.UNCHANGED)
CHANGED = Outcome("it", "fake", Status.APPLIED, changed=True)
FAILED = Outcome("it", "fake", Status.FAILED, Reason.STATUS)


@dataclass
class Hook:
    """What is asked of a bound hook here."""

    fresh_since: int = 1
    hook_id: str = "hk_it"
    name: str = "it"


class Watched:
    def __init__(self, window=300.0):
        self.reports = []
        self.clock = ManualClock()
        self.canaries = Canaries(lambda *what: self.reports.append(what), Snapshot.empty, self.clock, window=window)

    def ended(self, bounds, *outcomes, seconds=0.001, hook=None):
        for outcome in outcomes:
            self.canaries.ended(hook or Hook(), HookPlan(bounds=bounds), outcome, seconds)
        return self.canaries.has_stepped_back(hook or Hook())


@pytest.mark.parametrize(
    ("bounds", "outcomes", "steps_back"),
    [
        (CanaryBounds(failure_percent=10, min_calls=10), [FAILED] + 9 * [FINE], False),
        (CanaryBounds(failure_percent=10, min_calls=10), 2 * [FAILED] + 8 * [FINE], True),
        (CanaryBounds(failure_percent=0, min_calls=10), [FAILED] + 9 * [FINE], True),
        (CanaryBounds(failure_percent=0, min_calls=10), 9 * [FAILED], False),
        (CanaryBounds(change_percent=50, min_calls=4), 2 * [CHANGED] + 2 * [FINE], False),
        (CanaryBounds(change_percent=50, min_calls=4), 3 * [CHANGED] + [FINE], True),
        (CanaryBounds(min_calls=1), 9 * [FAILED], False),
        (None, 9 * [FAILED], False),
        (CanaryBounds(failure_percent=0, min_calls=1), [FAILED._replace(reason=Reason.BREAKER_OPEN)], False),
        (CanaryBounds(failure_percent=0, min_calls=1), [FAILED._replace(reason=Reason.OVERLOAD)], False),
        (CanaryBounds(failure_percent=0, min_calls=1), [FINE._replace(status=Status.SKIPPED)], False),
    ],
)
def test_it_steps_back_when_a_share_is_larger_than_its_bound(bounds, outcomes, steps_back):
    watched = Watched()
    assert watched.ended(bounds, *outcomes) is steps_back
    assert len(watched.reports) == steps_back


REFUSED = FAILED._replace(reason=Reason.BREAKER_OPEN)


@pytest.mark.parametrize(
    ("bounds", "outcomes", "steps_back"),
    [
        (CanaryBounds(failure_percent=10, min_calls=20), 6 * [FAILED] + 13 * [REFUSED], False),
        (CanaryBounds(failure_percent=10, min_calls=20), 6 * [FAILED] + 14 * [REFUSED], True),
        (CanaryBounds(failure_percent=10, min_calls=20), 14 * [REFUSED] + 6 * [FAILED], True),
        (CanaryBounds(failure_percent=50, min_calls=20), 5 * [FAILED] + 5 * [FINE] + 90 * [REFUSED], False),
        (CanaryBounds(p95_ms=0.5, min_calls=20), 6 * [FAILED] + 90 * [REFUSED], False),
        (CanaryBounds(change_percent=0, min_calls=20), 6 * [CHANGED] + 90 * [REFUSED], False),
    ],
)
def test_one_whose_breaker_lets_few_calls_through_is_judged_by_these(bounds, outcomes, steps_back):
    assert Watched().ended(bounds, *outcomes) is steps_back


def test_failures_older_than_the_window_do_not_count_however_many_calls_its_breaker_keeps_back():
    watched = Watched(window=10.0)
    bounds = CanaryBounds(failure_percent=10, min_calls=20)
    watched.ended(bounds, *6 * [FAILED])
    watched.clock.advance(11.0)
    assert not watched.ended(bounds, *90 * [REFUSED])


def test_its_95th_percentile_counts_not_its_slowest_call():
    bounds = CanaryBounds(p95_ms=100, min_calls=20)
    watched = Watched()
    watched.ended(bounds, FINE, seconds=0.2)
    assert not watched.ended(bounds, *19 * [FINE], seconds=0.05)
    assert watched.ended(bounds, FINE, seconds=0.2)


def test_what_is_older_than_the_window_does_not_count():
    bounds = CanaryBounds(failure_percent=50, min_calls=2)
    watched = Watched(window=10.0)
    watched.ended(bounds, FAILED)
    watched.clock.advance(11.0)
    assert not watched.ended(bounds, FINE, FINE, FINE)


def test_while_queries_still_come_to_it_it_is_reported_again_from_time_to_time():
    watched = Watched()
    watched.ended(CanaryBounds(failure_percent=0, min_calls=1), FAILED)
    for _ in range(5):
        assert watched.canaries.has_stepped_back(Hook())
    assert len(watched.reports) == 1
    watched.clock.advance(1.0)
    assert watched.canaries.has_stepped_back(Hook())
    assert len(watched.reports) == 2


def test_a_hook_that_was_changed_starts_anew_and_calls_from_before_say_nothing():
    bounds = CanaryBounds(failure_percent=0, min_calls=1)
    watched = Watched()
    assert watched.ended(bounds, FAILED)
    assert not watched.ended(bounds, FINE, hook=Hook(fresh_since=2))
    assert not watched.ended(bounds, FAILED, hook=Hook(fresh_since=1))
    assert not watched.canaries.has_stepped_back(Hook(fresh_since=2))


def test_what_is_known_of_hooks_that_are_gone_is_forgotten():
    watched = Watched()
    for number in range(1_000):
        watched.ended(CanaryBounds(), FINE, hook=Hook(hook_id=f"hk_{number}"))
    assert len(watched.canaries._watches) <= 256
