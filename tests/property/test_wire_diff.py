"""A diff is a patch: applied to the one document it makes the other, whatever they are."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.diff import TooDifferent, json_patch
from gateway.wire.patch import apply_json_patch

SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0]) | st.text("a~/", max_size=2)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab~/", max_size=2), inner, max_size=4),
    max_leaves=12,
)


def typed(value):
    """`value` such that true differs from 1."""
    if isinstance(value, dict):
        return {name: typed(member) for name, member in value.items()}
    if isinstance(value, list):
        return [typed(element) for element in value]
    return (isinstance(value, bool), value)


@given(VALUES, VALUES)
def test_applied_to_the_document_before_it_makes_the_one_after(before, after):
    patch = json_patch(orjson.dumps(before), orjson.dumps(after))
    patched = apply_json_patch(orjson.loads(orjson.dumps(before)), json.loads(orjson.dumps(patch)))
    assert typed(patched) == typed(after)


@given(VALUES)
def test_equal_documents_do_not_differ(value):
    assert json_patch(orjson.dumps(value), json.dumps(value).encode()) == []


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ('{"a": 1.50}', '{"a": 1.5}', []),
        ('{"a": 1.0000000000000000001}', '{"a": 1.0000000000000000001, "b": 0}', [("add", "/b")]),
        ('{"a": 1.0000000000000000001}', '{"a": 1.0000000000000000002}', [("replace", "/a")]),
        ("[1, 2, 3]", "[1, 3]", [("remove", "/1")]),
        ("[1, 3]", "[1, 2, 3]", [("add", "/1")]),
        ("[1, 2, 3]", "[1, 9, 3]", [("replace", "/1")]),
        ('{"a/b": {"~": 1}}', '{"a/b": {"~": 2}}', [("replace", "/a~1b/~0")]),
        ("[]", "{}", [("replace", "")]),
    ],
)
def test_only_what_differs_is_told_where_it_stands(before, after, expected):
    patch = json_patch(before.encode(), after.encode())
    assert [(operation["op"], operation["path"]) for operation in patch] == expected


def test_a_patch_with_more_operations_than_are_asked_for_is_not_told():
    assert len(json_patch(b"[1, 2]", b"[3, 4]", most=2)) == 2
    with pytest.raises(TooDifferent, match="more than 1 operations"):
        json_patch(b"[1, 2]", b"[3, 4]", most=1)
