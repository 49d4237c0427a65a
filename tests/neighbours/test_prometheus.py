"""In front of Prometheus: who owns a series, as its how-to page says; everything else as it was."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from urllib.parse import quote, urlencode

import pytest

PAGE = "hooks-for-prometheus.md"
SYSTEM_PROGRAMS = {
    "prometheus": (shutil.which("prometheus"), "on Debian and Ubuntu, apt-get install prometheus"),
    "promtool": (shutil.which("promtool"), "it comes with prometheus"),
}
AT = 1767225660
INSTANT = f"/api/v1/query?query=http_requests_total&time={AT}"
RANGE = f"/api/v1/query_range?query=pg_up&start={AT - 60}&end={AT}&step=30"
SHOP = {"team": "shop", "on_call": "shop-day"}


def test_the_series_of_an_instant_query_say_who_owns_them(standing):
    answer, own = standing.answering(INSTANT).json, standing.own(INSTANT).json
    for series in own["data"]["result"]:
        series["metric"] |= SHOP
    assert len(own["data"]["result"]) == 3
    assert answer == own


def test_the_series_of_a_range_query_say_so_too_where_there_is_an_owner(standing):
    answer, own = standing.answering(RANGE).json, standing.own(RANGE).json
    assert own["data"]["resultType"] == "matrix"
    first, second = own["data"]["result"]
    first["metric"] |= {"team": "storage", "on_call": "storage-night"}
    assert second["metric"]["instance"] == "db-2:9187"
    assert answer == own


def test_a_query_that_comes_as_a_form_is_one_too(standing):
    form = urlencode({"query": "http_requests_total", "time": AT})
    kind = {"content_type": "application/x-www-form-urlencoded"}
    answer = standing.answering("/api/v1/query", "POST", form, **kind)
    assert answer.json == standing.answering(INSTANT).json


def test_the_params_of_a_form_are_those_of_the_same_query_in_the_url(standing):
    standing.answering(INSTANT)
    standing.run("""gateway hooks change owners/owners --condition 'query.params.query.startsWith("http_")'""")
    kind = {"content_type": "application/x-www-form-urlencoded; charset=utf-8"}
    try:
        for query, told in (("http_requests_total", "owners;applied"), ("pg_up", "owners;skipped;reason=condition")):
            asked = urlencode({"query": query, "time": AT})
            assert told in standing.ask("/api/v1/query", "POST", asked, **kind).hooks
            assert told in standing.ask(f"/api/v1/query?{asked}").hooks
    finally:
        standing.run("gateway hooks change owners/owners --clear condition")


def test_promtool_reads_ranges_and_labels_through_the_gateway(standing):
    url = f"http://127.0.0.1:{standing.ports['8080']}"
    times = ["--start", str(AT - 60), "--end", str(AT), "--step", "30s"]

    def promtool(*arguments):
        return subprocess.run(["promtool", "query", *arguments], capture_output=True, text=True, check=True).stdout

    standing.answering(RANGE)
    assert 'team="storage"} =>\n1 @[1767225600]' in promtool("range", url, "pg_up", *times)
    assert promtool("labels", url, "job") == "db\nweb\n"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/graph",
        "/classic/graph",
        "/classic/static/js/graph/index.js",
        "/api/v1/labels",
        "/api/v1/label/job/values",
        "/api/v1/series?match[]=pg_up&start=1767225600&end=1767225660",
        "/api/v1/status/buildinfo",
        "/federate?match[]=pg_up",
        f"/api/v1/query?query=1%2B1&time={AT}",
        f"/api/v1/query?query=%22text%22&time={AT}",
        f"/api/v1/query?query=nothing_of_the_kind&time={AT}",
    ],
)
def test_pages_scripts_other_calls_and_results_without_series_are_as_they_were(standing, same, path):
    assert same(standing.ask(path), standing.own(path)) == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/query?query=(", 400),
        ("/api/v1/query", 400),
        ("/api/v1/query_range?query=up&start=2&end=1&step=1", 400),
        ("/api/v1/nothing", 404),
        ("/nothing", 404),
    ],
)
def test_errors_of_prometheus_are_its_own(standing, same, path, status):
    answer = standing.ask(path)
    assert answer.status == status
    assert same(answer, standing.own(path)) == []
    assert answer.hooks == ""


def test_methods_that_prometheus_does_not_take_or_answers_by_itself_are_its_own(standing, same):
    for method in ("HEAD", "OPTIONS", "DELETE"):
        answer = standing.ask(INSTANT, method, origin="http://grafana.example")
        assert same(answer, standing.own(INSTANT, method, origin="http://grafana.example")) == [], method
    assert standing.ask("/metrics", "HEAD").body == b""


def test_a_script_that_the_browser_has_is_not_sent_again_and_can_be_had_in_parts(standing, same):
    script = "/classic/static/js/graph/index.js"
    since = standing.ask(script).headers["last-modified"]
    answer = standing.ask(script, if_modified_since=since)
    assert (answer.status, answer.body) == (304, b"")
    assert same(answer, standing.own(script, if_modified_since=since)) == []
    part = standing.ask(script, range="bytes=10-29")
    assert (part.status, len(part.body)) == (206, 20)
    assert same(part, standing.own(script, range="bytes=10-29")) == []


def test_a_browser_gets_the_changed_result_also_where_prometheus_would_compress_it(standing, same):
    browser = {"accept_encoding": "gzip, deflate, br"}
    assert standing.own(INSTANT, **browser).headers["content-encoding"] == "gzip"
    answer = standing.answering(INSTANT, **browser)
    body = gzip.decompress(answer.body) if answer.headers.get("content-encoding") == "gzip" else answer.body
    assert [series["metric"]["team"] for series in json.loads(body)["data"]["result"]] == ["shop"] * 3
    labels = standing.ask("/api/v1/labels", **browser)
    assert same(labels, standing.own("/api/v1/labels", **browser)) == []
    assert labels.headers["content-encoding"] == "gzip"


def test_a_result_beyond_the_limit_is_prometheus_own_and_says_why(standing, same):
    path = f"/api/v1/query_range?query={quote('vector(1)')}&start=0&end=10999&step=1"
    answer = standing.ask(path)
    assert len(answer.body) > 100_000
    assert "owners;skipped;reason=size" in answer.hooks
    assert same(answer, standing.own(path)) == []


def test_a_hook_that_hangs_or_was_killed_leaves_prometheus_own_answer(standing, same):
    standing.answering(INSTANT)
    own = standing.own(INSTANT)
    with standing.hanging_hook():
        answer = standing.ask(INSTANT)
        assert "owners;failed;reason=timeout" in answer.hooks
        assert (same(answer, own), answer.body) == ([], own.body)
    with standing.dead_hook():
        answer = standing.ask(INSTANT)
        assert "owners;failed" in answer.hooks
        assert (same(answer, own), answer.body) == ([], own.body)
    standing.answering(INSTANT)
