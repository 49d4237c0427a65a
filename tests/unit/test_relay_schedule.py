"""When a delivery is tried again."""

from __future__ import annotations

import pytest

from gateway.relay.schedule import DEFAULT_DELAYS, RetrySchedule

NOW = 1_700_000_000.0


def whole(schedule):
    """The waits of a schedule whose attempts all fail at once."""
    waits, made, at = [schedule.first_at(NOW) - NOW], 0, NOW
    while True:
        made += 1
        following = schedule.next_at(made, at)
        if following is None:
            return waits
        waits.append(following - at)
        at = following


def test_the_default_is_the_example_of_standard_webhooks_over_three_days():
    schedule = RetrySchedule(random=lambda: 0.0)
    hour = 3600
    assert whole(schedule) == [0, 5, 300, 1800, 2 * hour, 5 * hour, 10 * hour, 14 * hour, 20 * hour, 24 * hour]
    assert schedule.attempts == 10
    assert sum(whole(schedule)) > 3 * 24 * hour


@pytest.mark.parametrize("chance", [0.0, 0.3, 0.999999])
def test_a_retry_never_comes_sooner_than_the_schedule_says_and_at_most_a_fifth_later(chance):
    waits = whole(RetrySchedule(random=lambda: chance))
    for wait, planned in zip(waits, DEFAULT_DELAYS, strict=True):
        assert planned <= wait <= planned * 1.2 + 1e-6


def test_what_failed_together_does_not_return_together():
    chances = iter([0.1, 0.5, 0.9])
    schedule = RetrySchedule(random=lambda: next(chances))
    assert len({schedule.next_at(1, NOW) for _ in range(3)}) == 3


def test_retry_after_makes_a_wait_longer_never_shorter():
    schedule = RetrySchedule(random=lambda: 0.0)
    assert schedule.next_at(1, NOW, retry_after=120) == NOW + 120
    assert schedule.next_at(3, NOW, retry_after=0) == NOW + 1800
    assert schedule.next_at(3, NOW, retry_after=1) == NOW + 1800


def test_retry_after_is_clamped():
    schedule = RetrySchedule((0.0, 5.0), max_retry_after=3600, random=lambda: 0.0)
    assert schedule.next_at(1, NOW, retry_after=999_999_999) == NOW + 3600


def test_retry_after_does_not_add_attempts():
    assert RetrySchedule((0.0, 5.0)).next_at(2, NOW, retry_after=10) is None


@pytest.mark.parametrize("delays", [(), (0.0, 0.0), (0.0, 5.0, -1.0), (-1.0,)])
def test_a_schedule_that_would_retry_without_delay_is_refused(delays):
    with pytest.raises(ValueError, match=r"wait|attempt"):
        RetrySchedule(delays)
