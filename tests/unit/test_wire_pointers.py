"""JSON Pointers with `*`: how they are read, and what they stand for."""

from __future__ import annotations

import pytest

from gateway.wire import pointers
from gateway.wire.pointers import Places, PointerError


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("", ()),
        ("/", ("",)),
        ("/rows/*/price", ("rows", None, "price")),
        ("/rows/0", ("rows", "0")),
        ("/a~1b/m~0n", ("a/b", "m~n")),
        ("/~01", ("~1",)),
        ("/~2", ("*",)),
        ("/**/a*", ("**", "a*")),
        ("//x", ("", "x")),
        ("/grüße/☃", ("grüße", "☃")),
    ],
)
def test_a_pointer_is_read_into_its_segments(text, segments):
    assert pointers.parse(text) == segments


@pytest.mark.parametrize(
    ("text", "position", "why"),
    [
        ("rows", 0, "begin with '/'"),
        ("*", 0, "begin with '/'"),
        ("/rows/~", 6, "followed by 0"),
        ("/rows/a~3b", 7, "followed by 0"),
        ("/rows/a~2", 7, "whole segment"),
        ("/rows/\x00", 6, "control characters"),
        ("/a\ud800", 2, "lone surrogates"),
        ("/" + "a" * 1_000, 1_000, "at most 1000 characters"),
        ("/a" * 33, 65, "at most 32 segments"),
    ],
)
def test_a_pointer_that_is_none_is_refused_with_the_place_of_the_fault(text, position, why):
    with pytest.raises(PointerError) as e:
        pointers.parse(text)
    assert position == e.value.position
    assert why in str(e.value)
    assert str(e.value).endswith(f"at character {position}")


def test_a_path_is_written_as_a_plain_pointer():
    assert pointers.write(["rows", 3, "a/b", "m~n", "*"]) == "/rows/3/a~1b/m~0n/*"
    assert pointers.write([]) == ""


def test_the_faults_of_a_list_come_with_their_numbers():
    assert [number for number, _ in pointers.errors(["/a", "b", "/c", "/~"])] == [1, 3]
    assert list(pointers.errors(["/a"] * 65)) == [(64, "there may be at most 64 pointers")]


@pytest.mark.parametrize(
    ("segment", "index"),
    [("0", 0), ("17", 17), ("01", None), ("-", None), ("", None), ("1e3", None), ("٣", None), ("1" * 10, None)],
)
def test_only_a_canonical_number_names_an_element(segment, index):
    assert pointers.index(segment) == index


def test_places_are_found_step_by_step_names_and_star_together():
    root = Places(pointers.parse_all(["/rows/*/price", "/rows/0/name", "/meta"]))
    assert root.names == ("rows", "meta")
    assert root.at("meta").whole
    assert root.at("meta").at("anything").at("below").whole
    assert not root.at("other")
    rows = root.at("rows")
    assert rows.starred
    assert rows.at("0").names == ("price", "name")
    assert rows.at("1").names == ("price",)
    assert rows.at("1").at("price").whole
    assert not rows.at("1").at("name")


def test_no_list_of_pointers_is_the_whole_document_and_an_empty_one_is_nothing():
    assert Places(pointers.parse_all(None)).whole
    assert not Places(pointers.parse_all([]))
