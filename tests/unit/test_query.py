"""A query as a value: made in one way, changed only into another one."""

from __future__ import annotations

import copy
from dataclasses import FrozenInstanceError, asdict, replace

import pytest

from gateway import Query

FIELDS = {
    "type": "search",
    "capability": "airports",
    "tenant": "a",
    "params": {"q": 1},
    "context": {"user": "u"},
    "id": "q_1",
    "depth": 2,
    "traceparent": "00-1-2-01",
    "tracestate": "a=b",
}


def test_each_field_is_what_was_given_for_it():
    assert asdict(Query(**FIELDS)) == asdict(Query(*FIELDS.values())) == FIELDS


def test_what_is_not_given_is_empty_and_the_id_is_new():
    one, other = Query("search"), Query("search")
    assert one.id != other.id
    assert replace(one, id="") == Query("search", None, None, None, None, "", 0, None, None)
    with pytest.raises(TypeError, match="type"):
        Query()


def test_a_query_does_not_change_but_others_are_made_of_it():
    query = Query(**FIELDS)
    with pytest.raises(FrozenInstanceError):
        query.tenant = "b"
    assert asdict(replace(query, tenant="b")) == {**FIELDS, "tenant": "b"}
    assert copy.deepcopy(query) == query
