"""How often a source may be wrong, on a clock of the test's own."""

from __future__ import annotations

import pytest

from gateway.service.failed_auth import FailedAuth
from gateway.service.problem import Refused


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def failures(clock):
    return FailedAuth(3, 60.0, now=clock)


def fail(failures, address, times):
    for _ in range(times):
        failures.check(address)
        failures.failed(address)


def test_a_source_waits_after_so_many_failures_until_the_window_ends(failures, clock):
    fail(failures, "192.0.2.1", 3)
    clock.now += 10.5
    with pytest.raises(Refused) as caught:
        failures.check("192.0.2.1")
    assert (caught.value.status, caught.value.headers) == (429, {"retry-after": "50"})
    clock.now += 49.6
    fail(failures, "192.0.2.1", 3)


def test_other_sources_do_not_wait(failures):
    fail(failures, "192.0.2.1", 3)
    failures.check("192.0.2.2")
    failures.check(None)


def test_a_success_forgets_the_failures(failures):
    fail(failures, "192.0.2.1", 2)
    failures.succeeded("192.0.2.1")
    fail(failures, "192.0.2.1", 3)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
    ],
)
def test_an_ipv6_source_is_its_network(failures, one, other, same):
    fail(failures, one, 3)
    if same:
        with pytest.raises(Refused):
            failures.check(other)
    else:
        failures.check(other)


def test_no_limit_is_no_limit(clock):
    fail(FailedAuth(0, now=clock), "192.0.2.1", 1_000)


def test_many_sources_take_no_more_memory_than_some(failures):
    for n in range(20_000):
        failures.failed(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}")
    assert len(failures._sources) == 10_000


def test_a_flood_is_counted_in_full_and_logged_a_line_a_second(clock, caplog):
    counted = []
    failures = FailedAuth(3, now=clock, counted=counted.append)
    fail(failures, "192.0.2.1", 3)
    for _ in range(50):
        with pytest.raises(Refused):
            failures.check("192.0.2.1")
    clock.now += 1.5
    failures.failed("192.0.2.2")
    assert (counted.count(False), counted.count(True)) == (4, 50)
    assert [record.getMessage() for record in caplog.records] == [
        "auth.failed remote=192.0.2.1 refused_unseen=false not_logged_before=0",
        "auth.failed remote=192.0.2.2 refused_unseen=false not_logged_before=52",
    ]
