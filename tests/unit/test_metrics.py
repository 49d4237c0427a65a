"""Every outcome is counted, and the series of what is gone end."""

from __future__ import annotations

import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.model import Outcome, Query, Reason, Status
from gateway.observe.metrics import GatewayMetrics

QUERY = Query("search")
LABELS = ("integration", "hook", "outcome", "reason", "api", "status", "le")


def samples(metrics):
    """Every sample by name and label values, but for the times at which series were made."""
    return {
        (sample.name, *(sample.labels[name] for name in LABELS if name in sample.labels)): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def failed(hook="geo", **fields):
    return Outcome(hook, "acme", Status.FAILED, Reason.TIMEOUT, milliseconds=1000.0, **fields)


def test_outcomes_are_counted_by_hook_outcome_and_reason():
    metrics = GatewayMetrics()
    metrics.outcome(QUERY, Outcome("fx", "acme", Status.APPLIED, milliseconds=3.0))
    metrics.outcome(QUERY, Outcome("fx", "acme", Status.APPLIED, milliseconds=30.0))
    metrics.outcome(QUERY, Outcome("fx", "acme", Status.SKIPPED, Reason.BUDGET))
    metrics.outcome(QUERY, failed())
    found = samples(metrics)
    assert found["gateway_hook_calls_total", "acme", "fx", "applied", ""] == 2
    assert found["gateway_hook_calls_total", "acme", "fx", "skipped", "budget"] == 1
    assert found["gateway_hook_calls_total", "acme", "geo", "failed", "timeout"] == 1


def test_only_calls_that_were_made_are_timed():
    metrics = GatewayMetrics()
    metrics.outcome(QUERY, Outcome("fx", "acme", Status.APPLIED, milliseconds=3.0))
    metrics.outcome(QUERY, Outcome("fx", "acme", Status.SKIPPED, Reason.SIZE))
    metrics.outcome(QUERY, Outcome("fx", "acme", Status.FAILED, Reason.BREAKER_OPEN))
    found = samples(metrics)
    assert found["gateway_hook_call_seconds_count", "acme", "fx"] == 1
    assert found["gateway_hook_call_seconds_bucket", "acme", "fx", "0.0025"] == 0
    assert found["gateway_hook_call_seconds_bucket", "acme", "fx", "0.005"] == 1
    buckets = [key for key in found if key[0] == "gateway_hook_call_seconds_bucket"]
    assert len(buckets) <= 12


def test_failures_that_the_query_survived_count_as_fail_open():
    metrics = GatewayMetrics()
    metrics.outcome(QUERY, failed())
    metrics.outcome(QUERY, failed(fatal=True))
    metrics.outcome(QUERY, Outcome("geo", "acme", Status.REJECTED, milliseconds=1.0))
    assert samples(metrics)["gateway_fail_open_total", "acme", "geo"] == 1


def test_chains_are_timed_and_those_in_flight_are_shown():
    metrics = GatewayMetrics()
    metrics.watch_chains(lambda: 1)
    metrics.chain_finished(0.2)
    found = samples(metrics)
    assert found["gateway_calls_in_flight",] == 1
    assert (found["gateway_chain_seconds_count",], found["gateway_chain_seconds_sum",]) == (1, 0.2)


def test_the_snapshot_is_asked_at_each_scrape():
    metrics = GatewayMetrics()
    generation = 1
    metrics.watch(generation=lambda: generation, hooks_enabled=lambda: generation * 2, names_of=lambda _: None)
    generation = 21
    found = samples(metrics)
    assert (found["gateway_snapshot_generation",], found["gateway_hooks_enabled",]) == (21, 42)


def test_http_requests_are_counted_by_api_and_status():
    metrics = GatewayMetrics()
    for status in (200, 200, 404):
        metrics.http_request("control", status)
    found = samples(metrics)
    assert found["gateway_http_requests_total", "control", "200"] == 2
    assert found["gateway_http_requests_total", "control", "404"] == 1


def test_requests_that_are_tallied_where_they_are_answered_are_counted_with_the_others():
    metrics = GatewayMetrics()
    tallies = metrics.http_requests("gateway")
    before = time.time()
    tallies[200].count += 1
    tallies[200].count += 1
    metrics.http_request("gateway", 404)
    found = samples(metrics)
    assert found["gateway_http_requests_total", "gateway", "200"] == 2
    assert found["gateway_http_requests_total", "gateway", "404"] == 1
    lines = metrics.render().decode().splitlines()
    since = [line for line in lines if line.startswith("gateway_http_requests_created{")]
    assert len(since) == 2
    assert all(before - 1 <= float(line.split()[-1]) <= time.time() + 1 for line in since)


def test_the_series_of_a_removed_hook_end_and_begin_again():
    metrics = GatewayMetrics()
    metrics.outcome(QUERY, failed("geo"))
    metrics.outcome(QUERY, failed("fx"))
    metrics.forget("acme", "geo")
    metrics.forget("acme", "never-seen")
    assert not [key for key in samples(metrics) if "geo" in key]
    metrics.outcome(QUERY, failed("geo"))
    assert samples(metrics)["gateway_hook_calls_total", "acme", "geo", "failed", "timeout"] == 1


def test_the_series_of_hooks_that_were_removed_or_renamed_end():
    metrics = GatewayMetrics()
    names = {"hk_1": ("acme", "fx"), "hk_2": ("acme", "geo-2")}
    metrics.watch(generation=int, hooks_enabled=int, names_of=names.get)
    for hook, hook_id in (("fx", "hk_1"), ("geo", "hk_2"), ("gone", "hk_3")):
        metrics.outcome(QUERY, failed(hook, hook_id=hook_id))
    metrics.tidy()
    assert {key[2] for key in samples(metrics) if key[0] == "gateway_hook_calls_total"} == {"fx"}


def test_names_that_come_and_go_cannot_fill_the_memory():
    metrics = GatewayMetrics(max_hooks=3)
    for n in range(10):
        metrics.outcome(QUERY, failed(f"h{n}"))
    assert {key[2] for key in samples(metrics) if key[0] == "gateway_fail_open_total"} == {"h7", "h8", "h9"}


def test_two_gateways_in_one_process_do_not_mix():
    one, other = GatewayMetrics(), GatewayMetrics()
    one.outcome(QUERY, failed())
    assert ("gateway_fail_open_total", "acme", "geo") not in samples(other)


@pytest.mark.parametrize("name", ['quo"te', "new\nline", "back\\slash", "ünï"])
def test_any_name_makes_a_valid_exposition(name):
    metrics = GatewayMetrics()
    metrics.outcome(QUERY, failed(name))
    assert samples(metrics)["gateway_fail_open_total", "acme", name] == 1
