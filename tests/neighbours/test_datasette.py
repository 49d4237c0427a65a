"""In front of Datasette: prices in the reader's currency, as its how-to page says; everything else as it was."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import pytest

PAGE = "hooks-for-datasette.md"
SYSTEM_PROGRAMS = {"datasette": (Path(sys.executable).with_name("datasette"), "it is in requirements.lock")}
ROWS = "/shop/products.json?_shape=array&_size=3&_currency=USD"
TIMING = rb'("query_ms": |Queries took |Query took )[0-9.e-]+'  # Datasette says how long it took: never the same


def test_the_change_is_in_every_shape_that_a_client_of_datasette_reads(standing):
    own = standing.own(ROWS).json
    assert [row["price_eur"] for row in own] == [14.85, 15.2, 15.55]
    changed = [row | {"price": price, "currency": "USD"} for row, price in zip(own, (16.34, 16.72, 17.1), strict=True)]
    assert standing.answering(ROWS).json == changed
    objects = standing.ask("/shop/products.json?_shape=objects&_size=3&_currency=USD").json
    assert objects["rows"] == changed
    assert objects["columns"] == ["id", "title", "price_eur", "price", "currency"]
    lists = standing.ask("/shop/products.json?_size=3&_currency=USD").json
    assert lists["rows"] == [list(row.values()) for row in changed]
    (one,) = standing.ask("/shop/products/1.json?_currency=GBP").json["rows"]
    assert one == [1, "Bach: Sonata, book 1", 14.85, 12.62, "GBP"]
    whole = standing.ask("/shop/products.json?_size=max&_shape=array&_currency=CHF").json
    assert [len(whole), {row["currency"] for row in whole}] == [200, {"CHF"}]


def test_the_links_to_the_next_page_lead_through_the_gateway(standing):
    first = standing.answering(ROWS)
    (link,) = [url for url in first.headers["link"].split(";") if url.startswith("<")]
    assert link.startswith(f"<http://127.0.0.1:{standing.ports['8080']}/shop/products.json?")
    second = standing.ask(link.strip("<>").split("/", 3)[3].join(["/", ""])).json
    assert [(row["id"], row["currency"]) for row in second] == [(4, "USD"), (5, "USD"), (6, "USD")]


def test_what_the_hook_did_not_write_keeps_its_place_and_its_digits(standing):
    plain = standing.own("/shop/products.json?_shape=objects&_size=2").json
    found = standing.answering("/shop/products.json?_shape=objects&_size=2&_currency=USD").json
    differing = {name for name in plain if found[name] != plain[name]}
    assert differing <= {"rows", "columns", "query_ms", "next_url", "suggested_facets"}  # the last two name the URL
    assert list(found) == list(plain)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/shop",
        "/shop/products?_currency=USD",
        "/shop/products/1",
        "/shop/products.csv?_currency=USD&_size=max",
        "/shop/products.csv?_dl=1&_stream=1",
        "/shop/products.json?_shape=array&_nl=on&_currency=USD",
        "/shop/products.json?_size=5",
        "/-/versions.json?_currency=USD",
        "/-/static/app.css",
        "/shop.db",
        "/shop.json?sql=select+1+as+one&_currency=USD&_shape=arrayfirst",
    ],
)
def test_pages_files_and_everything_that_nobody_asked_to_change_are_as_they_were(standing, same, path):
    assert same(standing.ask(path), standing.own(path), TIMING) == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/shop/nothing.json?_currency=USD", 404),
        ("/nothing/products.json?_currency=USD", 404),
        ("/shop.json?sql=select+nonsense&_currency=USD", 400),
        ("/shop/products.json?_shape=unheard-of&_currency=USD", 400),
        ("/shop/products.json?_size=many&_currency=USD", 400),
        ("/other.db", 404),
    ],
)
def test_errors_of_datasette_are_its_own(standing, same, path, status):
    answer = standing.ask(path)
    assert answer.status == status
    assert same(answer, standing.own(path), TIMING) == []
    assert answer.hooks == ""


def test_head_is_answered_as_by_datasette_and_has_no_body(standing, same):
    for path in ("/", "/shop/products.json?_currency=USD", "/-/static/app.css"):
        answer = standing.ask(path, "HEAD")
        assert (answer.status, answer.body) == (200, b"")
        assert same(answer, standing.own(path, "HEAD")) == []


def test_a_browser_that_takes_gzip_and_has_a_copy_gets_the_changed_result_whole(standing):
    headers = {"accept_encoding": "gzip, deflate, br, zstd", "if_none_match": '"x"', "range": "bytes=0-9"}
    answer = standing.answering(ROWS, **headers)
    body = gzip.decompress(answer.body) if answer.headers.get("content-encoding") == "gzip" else answer.body
    assert (answer.status, b'"currency":"USD"' in body) == (200, True)
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert not {"etag", "last-modified"} & set(answer.headers)


def test_a_result_beyond_the_limit_is_datasettes_own_and_says_why(standing, same):
    rows = "with+recursive+n(i)+as+(select+1+union+all+select+i%2B1+from+n+where+i<300)"
    sql = f"{rows}+select+i,printf('%2501000d',i)+from+n"
    path = f"/shop.json?sql={sql}&_currency=USD"
    answer = standing.ask(path)
    assert len(answer.body) > 300_000
    assert "prices;skipped;reason=size" in answer.hooks
    assert same(answer, standing.own(path), TIMING) == []


def test_a_hook_that_hangs_or_was_killed_leaves_datasettes_own_answer(standing, same):
    standing.answering(ROWS)
    own = standing.own(ROWS)
    with standing.hanging_hook():
        answer = standing.ask(ROWS)
        assert "prices-of-array;failed;reason=timeout" in answer.hooks
        assert (same(answer, own), answer.body) == ([], own.body)
    with standing.dead_hook():
        answer = standing.ask(ROWS)
        assert "prices-of-array;failed" in answer.hooks
        assert (same(answer, own), answer.body) == ([], own.body)
    standing.answering(ROWS)
