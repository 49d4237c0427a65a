"""In front of pygeoapi: live numbers in a map's features, as its how-to page says; everything else as it was."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

PAGE = "hooks-for-pygeoapi.md"
INSTALLED = Path(__file__).parents[2] / ".venv-neighbours" / "bin"
SYSTEM_PROGRAMS = {name: (INSTALLED / name, "call .ci/neighbours") for name in ("pygeoapi", "gunicorn")}
ITEMS = "/collections/stations/items?f=json"
HARBOUR = "/collections/stations/items/harbour?f=json"
TIMING = rb'"timeStamp": ?"[^"]*"'  # the time of the answer, which is never the same
NOW = {
    "harbour": {"bikes": 3, "seen": "2026-01-01T08:00:00Z"},
    "pool": {"bikes": 0, "seen": "2026-01-01T08:01:30Z"},
}


def test_the_features_of_a_collection_say_what_is_there_now(standing):
    answer, own = standing.answering(ITEMS).json, standing.own(ITEMS).json
    for feature in own["features"]:
        feature["properties"] |= NOW.get(feature["id"], {})
    assert [feature["id"] for feature in own["features"]] == ["harbour", "north-gate", "pool"]
    assert answer | {"timeStamp": None} == own | {"timeStamp": None}


def test_a_single_feature_says_so_too_also_with_the_numbers_of_a_minute_later(standing):
    own = standing.own(HARBOUR).json
    own["properties"] |= NOW["harbour"]
    assert standing.answering(HARBOUR).json == own
    live = standing.folder / "live.json"
    before = live.read_text()
    live.write_text(json.dumps({"harbour": {"bikes": 2}}))
    try:
        assert standing.ask(HARBOUR).json["properties"]["bikes"] == 2
    finally:
        live.write_text(before)


def test_an_answer_that_is_negotiated_is_changed_or_left_as_what_it_is(standing, same):
    standing.answering(ITEMS)
    items = "/collections/stations/items"
    assert "bikes" in standing.ask(items, accept="application/geo+json").json["features"][0]["properties"]
    page = standing.ask(items, accept="text/html,application/xhtml+xml")
    assert page.headers["content-type"].startswith("text/html")
    assert same(page, standing.own(items, accept="text/html,application/xhtml+xml")) == []


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/?f=json",
        "/openapi?f=json",
        "/conformance?f=json",
        "/collections?f=html",
        "/collections/stations?f=json",
        "/collections/stations/queryables?f=json",
        "/collections/stations/items?f=html",
        "/collections/stations/items?f=csv",
        "/collections/stations/items/pool?f=html",
        "/static/css/default.css",
    ],
)
def test_pages_tables_styles_and_documents_without_features_are_as_they_were(standing, same, path):
    assert same(standing.ask(path), standing.own(path), TIMING) == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/collections/nothing/items?f=json", 404),
        ("/collections/stations/items/nothing?f=json", 404),
        ("/collections/stations/items?f=json&limit=many", 400),
        ("/collections/stations/items?f=unheard-of", 400),
        ("/nothing", 404),
    ],
)
def test_errors_of_pygeoapi_are_its_own(standing, same, path, status):
    answer = standing.ask(path)
    assert answer.status == status
    assert same(answer, standing.own(path), TIMING) == []
    assert answer.hooks == ""


def test_head_is_answered_as_by_pygeoapi(standing, same):
    for path in (ITEMS, "/", "/static/css/default.css"):
        answer = standing.ask(path, "HEAD")
        assert (answer.status, answer.body) == (200, b"")
        assert same(answer, standing.own(path, "HEAD")) == []


def test_a_style_that_the_browser_has_is_not_sent_again_and_can_be_had_in_parts(standing, same):
    style = "/static/css/default.css"
    etag = standing.ask(style).headers["etag"]
    answer = standing.ask(style, if_none_match=etag)
    assert (answer.status, answer.body) == (304, b"")
    assert same(answer, standing.own(style, if_none_match=etag)) == []
    part = standing.ask(style, range="bytes=10-29")
    assert (part.status, len(part.body)) == (206, 20)
    assert same(part, standing.own(style, range="bytes=10-29")) == []


def test_a_browser_gets_the_changed_result_also_where_pygeoapi_would_compress_it(standing, same):
    browser = {"accept_encoding": "gzip, deflate, br"}
    assert standing.own(ITEMS, **browser).headers["content-encoding"] == "gzip"
    answer = standing.answering(ITEMS, **browser)
    body = gzip.decompress(answer.body) if answer.headers.get("content-encoding") == "gzip" else answer.body
    assert json.loads(body)["features"][0]["properties"]["bikes"] == 3
    for path in ("/collections/stations/items?f=html", "/collections/stations/items?f=csv", "/static/css/default.css"):
        assert same(standing.ask(path, **browser), standing.own(path, **browser)) == []


def test_a_result_beyond_the_limit_is_pygeoapis_own_and_says_why(standing, same):
    stations = standing.folder / "stations.json"
    before = stations.read_text()
    document = json.loads(before)
    document["features"] += [document["features"][0] | {"id": f"more-{number}"} for number in range(900)]
    stations.write_text(json.dumps(document))
    try:
        answer, own = (ask(f"{ITEMS}&limit=1000") for ask in (standing.ask, standing.own))
    finally:
        stations.write_text(before)
    assert len(own.body) > 100_000
    assert "live;skipped;reason=size" in answer.hooks
    assert same(answer, own, TIMING) == []


def test_a_hook_that_hangs_or_was_killed_leaves_pygeoapis_own_answer(standing, same):
    standing.answering(HARBOUR)
    own = standing.own(HARBOUR)
    with standing.hanging_hook():
        answer = standing.ask(HARBOUR)
        assert "live;failed;reason=timeout" in answer.hooks
        assert (same(answer, own), answer.body) == ([], own.body)
    with standing.dead_hook():
        answer = standing.ask(HARBOUR)
        assert "live;failed" in answer.hooks
        assert (same(answer, own), answer.body) == ([], own.body)
    standing.answering(HARBOUR)
