"""The metrics of all processes together: counters are summed and never go back, of gauges each as it makes sense."""

from __future__ import annotations

import pytest

from gateway.model import Outcome, Query, Status
from gateway.observe.metrics import GatewayMetrics
from gateway.service.workers.messages import News
from gateway.service.workers.samples import Samples
from gateway.service.workers.sums import Sums

CALLS = 'gateway_hook_calls_total{hook="fx",integration="prices",outcome="applied",reason=""}'


class Process:
    """The metrics of one process, and what it tells of them."""

    def __init__(self) -> None:
        self.metrics = GatewayMetrics()
        self._samples = Samples(self.metrics.families)

    def calls(self, count: int, hook: str = "fx") -> None:
        for _ in range(count):
            outcome = Outcome(hook, "prices", Status.APPLIED, hook_id="hk_1", milliseconds=3.0)
            self.metrics.outcome(Query(type="search"), outcome)

    def news(self) -> News:
        families, ended = self._samples.news()
        return News([], families, ended, [])


def told(own: Process, sums: Sums) -> dict[str, float]:
    text = own.metrics.render(sums.families).decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_counters_and_histograms_of_all_are_summed_and_stay_when_a_worker_is_gone() -> None:
    own, one, other, sums = Process(), Process(), Process(), Sums()
    one.calls(3)
    other.calls(4)
    sums.take(1, one.news())
    sums.take(2, other.news())
    before = told(own, sums)
    assert before[CALLS] == 7
    assert before['gateway_hook_call_seconds_count{hook="fx",integration="prices"}'] == 7
    one.calls(1)
    sums.take(1, one.news())
    assert told(own, sums)[CALLS] == 8
    sums.ended(1)
    assert told(own, sums)[CALLS] == 8
    after = Process()  # the one that takes its place begins at nothing
    after.calls(2)
    sums.take(3, after.news())
    assert told(own, sums)[CALLS] == 10


def test_only_what_changed_is_told() -> None:
    one = Process()
    one.calls(1)
    one.news()
    assert one.news() == News([], [], [], [])
    one.calls(1)
    assert {family.name for family in one.news().metrics} == {"gateway_hook_calls", "gateway_hook_call_seconds"}
    one.metrics.forget("prices", "fx")
    assert any(name == "gateway_hook_calls_total" for name, _ in one.news().ended)


def test_what_a_worker_that_is_gone_had_counted_of_a_removed_hook_ends() -> None:
    own, one, sums = Process(), Process(), Sums()
    one.calls(3)
    sums.take(1, one.news())
    sums.ended(1)
    sums.tidy({("prices", "fx")})
    assert told(own, sums)[CALLS] == 3
    sums.tidy(set())
    assert CALLS not in told(own, sums)


@pytest.mark.parametrize(
    ("name", "of_own", "of_workers", "expected"),
    [
        ("gateway_snapshot_generation", 7, (5, 6), 7),  # the supervisor's alone
        ("gateway_bulkhead_total_in_use", 1, (2, 3), 6),  # summed
    ],
)
def test_of_gauges_each_is_put_together_as_it_makes_sense(
    name: str, of_own: int, of_workers: tuple[int, int], expected: int
) -> None:
    own, workers, sums = Process(), (Process(), Process()), Sums()
    for process, value in zip((own, *workers), (of_own, *of_workers), strict=True):
        generation = value if name == "gateway_snapshot_generation" else 0
        in_use = value if name == "gateway_bulkhead_total_in_use" else 0
        process.metrics.watch(
            generation=lambda value=generation: value, hooks_enabled=lambda: 0, names_of=lambda _: None
        )
        process.metrics.watch_protection(load_of=lambda _: ("closed", 0, 0), total=lambda value=in_use: (value, 0))
    for number, worker in enumerate(workers):
        sums.take(number, worker.news())
    assert told(own, sums)[name] == expected
