"""The demo's hooks as plain functions: a table in, a reply out."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.cli.demo.transformations import (
    JSON_PATCH,
    MERGE_PATCH,
    REPLACE,
    TRANSFORMATIONS,
    height_rank,
    local_time,
    metric_units,
    redact_coordinates,
)
from gateway.wire.patch import apply_json_patch, apply_merge_patch

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
TABLE: dict[str, list] = {
    "columns": ["icao", "elev_ft", "lat", "lon", "tz"],
    "rows": [["ZUDC", 14472.0, 29.3, 100.1, "Asia/Shanghai"], ["ENGM", 681.0, 60.2, 11.1, "Europe/Oslo"]],
}


def test_metric_units_converts_every_column_in_feet_and_renames_it():
    reply = metric_units(TABLE, NOW)
    assert reply.content_type == REPLACE
    assert reply.document["columns"] == ["icao", "elev_m", "lat", "lon", "tz"]
    assert [row[1] for row in reply.document["rows"]] == [4411.1, 207.6]


def test_metric_units_leaves_a_cell_without_a_value_as_it_is():
    assert metric_units({"columns": ["x_ft"], "rows": [[None]]}, NOW).document["rows"] == [[None]]


def test_height_rank_gives_equal_heights_the_same_rank_and_leaves_other_members_alone():
    table = {"columns": ["icao", "elev_m"], "rows": [["A", 5], ["B", 9], ["C", 5], ["D", 1]], "source": "kept"}
    reply = height_rank(table, NOW)
    assert reply.content_type == MERGE_PATCH
    ranked = apply_merge_patch(table, reply.document)
    assert ranked["rows"] == [[2, "A", 5], [1, "B", 9], [2, "C", 5], [4, "D", 1]]
    assert ranked["columns"] == ["rank", "icao", "elev_m"]
    assert ranked["source"] == "kept"


def test_local_time_adds_the_time_at_each_row_s_place():
    reply = local_time(TABLE, NOW)
    assert reply.content_type == JSON_PATCH
    supplemented = apply_json_patch(
        {"columns": [*TABLE["columns"]], "rows": [[*row] for row in TABLE["rows"]]}, reply.document
    )
    assert supplemented["columns"][-1] == "local_time"
    assert [row[-1] for row in supplemented["rows"]] == ["20:00+08:00", "13:00+01:00"]


def test_redact_coordinates_removes_the_place_and_nothing_else():
    reply = redact_coordinates(TABLE, NOW)
    assert reply.content_type == REPLACE
    assert reply.document["columns"] == ["icao", "elev_ft", "tz"]
    assert reply.document["rows"] == [["ZUDC", 14472.0, "Asia/Shanghai"], ["ENGM", 681.0, "Europe/Oslo"]]


def test_a_table_with_nothing_to_change_is_left_unchanged_by_each():
    plain = {"columns": ["name"], "rows": [["x"], ["y"]]}
    assert [one.reply(plain, NOW) for one in TRANSFORMATIONS] == [None] * 4


def test_no_transformation_changes_the_table_it_was_given():
    before = repr(TABLE)
    for one in TRANSFORMATIONS:
        one.reply(TABLE, NOW)
    assert repr(TABLE) == before
