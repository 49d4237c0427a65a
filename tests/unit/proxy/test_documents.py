"""Results inside documents, and the tags of results."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonpointer import JsonPointer

from gateway.service.proxy.inner import taken_out
from gateway.service.proxy.validators import entity_tag, is_met_by, is_ours


@pytest.mark.parametrize(
    ("document", "pointer", "inner", "after"),
    [
        (
            b'{"a": 1.50, "b": {"c": [1, 2]}, "d": "\\u0041"}',
            "/b/c",
            b"[1, 2]",
            b'{"a":1.50,"b":{"c":X},"d":"\\u0041"}',
        ),
        (b'[10000000000000000000000.0, {"x": 1}]', "/1/x", b"1", b'[10000000000000000000000.0,{"x":X}]'),
        (b' {"a/b": 1, "m~n": 2}', "/a~1b", b"1", b'{"a/b":X,"m~n":2}'),
        (b'{"": 1}', "/", b"1", b'{"":X}'),
        (b"  [1]", "/0", b"1", b"[X]"),
    ],
)
def test_a_result_is_taken_out_and_another_one_put_in_its_place(document, pointer, inner, after):
    found = taken_out(document, pointer)
    assert found is not None
    value, put_back = found
    assert value.strip() == inner
    assert put_back(b"7") == after.replace(b"X", b"7")


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        (b'{"a": 1}', "/b"),
        (b'{"a": 1}', "/a/b"),
        (b"[1]", "/1"),
        (b"[1]", "/-"),
        (b"[1]", "/01"),
        (b"[1]", "/x"),
        (b"1", "/a"),
        (b'{"a": null}', "/a/b"),
    ],
)
def test_where_there_is_no_result_nothing_is_taken(document, pointer):
    assert taken_out(document, pointer) is None


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        (b"no json", "/a"),
        (b'{"a": ', "/a"),
        (b"", "/a"),
        (b"[" * 100_000, "/0"),
        (b'{"b": NaN}', "/a"),
        (b'\xef\xbb\xbf{"a": 1}', "/a"),
        ('{"a": 1}'.encode("utf-16"), "/a"),
    ],
)
def test_what_cannot_be_read_is_not_taken_for_a_document_without_a_result(document, pointer):
    with pytest.raises(ValueError, match=f"on the way to {pointer}"):
        taken_out(document, pointer)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=15,
)


def places(value, at=""):
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield from places(inner, f"{at}/{str(name).replace('~', '~0').replace('/', '~1')}")


@given(VALUES, st.data())
def test_any_place_of_any_document_holds_what_the_reference_finds_there(value, data):
    pointer = data.draw(st.sampled_from([*places(value)]))
    document = orjson.dumps(value)
    found = taken_out(document, pointer)
    assert found is not None
    inner, put_back = found
    assert orjson.loads(inner) == JsonPointer(pointer).resolve(value)
    assert orjson.loads(put_back(inner)) == value
    changed = orjson.loads(put_back(b'{"new":true}'))
    assert changed == JsonPointer(pointer).set(value, {"new": True}, inplace=False)


def test_a_tag_depends_on_all_that_is_sent_and_on_nothing_else():
    tag = entity_tag(b"{}", b"application/json", b"")
    assert tag == entity_tag(b"{}", b"application/json", b"")
    others = [(b"{ }", b"application/json", b""), (b"{}", b"a/b", b""), (b"{}", b"application/json", b"gzip")]
    assert len({tag, *(entity_tag(*other) for other in others)}) == 4
    assert tag.startswith(b'W/"')
    assert is_ours(tag)
    assert not is_ours(b'"v1"')
    assert not is_ours(None)


@pytest.mark.parametrize(
    ("template", "met"),
    [
        (b"%b", True), (b"*", True), (b'"v1", %b', True), (b'W/"v1",%b , "v2"', True),
        (b'"v1"', False), (b'W/"v1"', False), (b"", False),
    ],
)  # fmt: skip
def test_a_condition_is_met_by_the_very_tag_however_it_is_listed(template, met):
    tag = entity_tag(b"{}", b"application/json", b"")
    assert is_met_by(template.replace(b"%b", tag), tag) is met
    assert is_met_by(tag.removeprefix(b"W/"), tag)
    assert not is_met_by(entity_tag(b"[]", b"application/json", b""), tag)
