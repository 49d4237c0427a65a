"""The demo's data and queries: what anyone may ask, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.cli.demo.data import distance_km, open_database
from gateway.cli.demo.queries import QUERIES, run_query
from gateway.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    import sqlite3


@pytest.fixture(scope="module")
def database():
    opened = open_database()
    yield opened
    opened.close()


def column(answer: dict, name: str) -> list:
    at = answer["columns"].index(name)
    return [row[at] for row in answer["rows"]]


def test_every_airport_has_a_country_with_a_name(database: sqlite3.Connection):
    (airports,) = database.execute("select count(*) from airport").fetchone()
    (nameless,) = database.execute(
        "select count(*) from airport left join country on code = airport.country "
        "where country.name is null or country.name = code"
    ).fetchone()
    assert airports > 25_000
    assert nameless == 0


def test_the_filter_returns_only_what_was_asked_for_the_highest_first(database):
    answer = run_query(database, "airports", {"country": "no", "min_elev_ft": "2000", "name": "AIRport", "limit": "5"})
    assert set(column(answer, "country")) == {"NO"}
    heights = column(answer, "elev_ft")
    assert heights == sorted(heights, reverse=True)
    assert min(heights) >= 2000
    assert len(heights) <= 5
    assert all("airport" in name.lower() for name in column(answer, "name"))


def test_the_aggregate_counts_each_country_once_and_respects_the_fewest(database):
    answer = run_query(database, "countries", {"min_airports": "1000", "limit": "1000"})
    counts = column(answer, "airports")
    assert counts == sorted(counts, reverse=True)
    assert min(counts) >= 1000
    whole = run_query(database, "countries", {"limit": "1000"})
    assert sum(column(whole, "airports")) == database.execute("select count(*) from airport").fetchone()[0]


def test_the_join_finds_neighbours_within_the_distance_nearest_first_with_country_names(database):
    answer = run_query(database, "nearby", {"iata": "bsl", "km": "60", "limit": "100"})
    distances = column(answer, "km")
    assert distances == sorted(distances)
    assert max(distances) <= 60
    assert {"France", "Germany", "Switzerland"} == set(column(answer, "country"))
    assert "LFSB" not in column(answer, "icao")


def test_distances_are_those_of_the_globe():
    assert distance_km(60.1939, 11.1004, 51.4706, -0.4619) == pytest.approx(1206, abs=6)  # Oslo to London Heathrow
    assert distance_km(0, 0, 0, 180) == pytest.approx(20015, abs=1)
    assert distance_km(10, 20, 10, 20) == 0


@pytest.mark.parametrize(
    ("query", "given", "field", "said"),
    [
        ("airports", {"limit": "0"}, "/limit", "must be from 1 to 1000"),
        ("airports", {"limit": "many"}, "/limit", "must be a whole number"),
        ("airports", {"limit": "9" * 5000}, "/limit", "must be a whole number"),
        ("airports", {"country": "Norway"}, "/country", "must be a code of 2 letters"),
        ("airports", {"min_elev_ft": "nan"}, "/min_elev_ft", "must be from -2000 to 30000"),
        ("airports", {"contry": "NO"}, "/contry", "did you mean 'country'?"),
        ("nearby", {}, "/iata", "is needed"),
        ("nearby", {"iata": "QQQ"}, "/iata", "no airport has the IATA code 'QQQ'"),
        ("nearby", {"iata": "OSL", "km": "-1"}, "/km", "must be from 0 to 20100"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_is_allowed(database, query, given, field, said):
    with pytest.raises(InvalidInput) as refused:
        run_query(database, query, given)
    (error,) = refused.value.errors
    assert error.field == field
    assert said in error.detail
    assert len(error.detail) < 200


def test_every_wrong_parameter_is_named_at_once(database):
    with pytest.raises(InvalidInput) as refused:
        run_query(database, "nearby", {"km": "x", "limt": "3"})
    assert [error.field for error in refused.value.errors] == ["/iata", "/km", "/limt"]


def test_an_unknown_query_is_answered_with_those_there_are(database):
    with pytest.raises(NotFound, match="airports, countries, nearby"):
        run_query(database, "planes", {})


def test_text_in_a_parameter_is_never_sql(database):
    assert run_query(database, "airports", {"name": "'; drop table airport; --"})["rows"] == []
    assert run_query(database, "airports", {"limit": "1"})["rows"]


def test_every_query_says_what_it_and_its_parameters_are_for():
    for kind in QUERIES.values():
        assert kind.about
        assert all(parameter.about for parameter in kind.parameters)
