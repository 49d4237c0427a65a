"""The draw of canaries: the same each time, growing with the share, and about as large as it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import Query, StickyBy
from gateway.pipeline.lots import is_chosen, lot

TEXT = st.text(max_size=5)
JSON = st.none() | st.integers() | TEXT | st.lists(st.integers(), max_size=3) | st.dictionaries(TEXT, TEXT, max_size=3)
QUERIES = st.builds(
    Query, type=TEXT, capability=st.none() | TEXT, tenant=st.none() | TEXT, params=JSON, context=JSON, id=TEXT
)
BY = st.sampled_from(StickyBy)


@given(TEXT, BY, QUERIES)
def test_it_lies_between_none_and_all(hook_id, by, query):
    assert 0 <= lot(hook_id, by, query) < 100
    assert is_chosen(hook_id, by, 100.0, query)
    assert not is_chosen(hook_id, by, 0.0, query)


@given(TEXT, BY, QUERIES, st.floats(0, 100), st.floats(0, 100))
def test_who_is_chosen_stays_so_when_the_share_grows(hook_id, by, query, one, other):
    low, high = sorted((one, other))
    assert not is_chosen(hook_id, by, low, query) or is_chosen(hook_id, by, high, query)


@given(TEXT, QUERIES, QUERIES)
def test_all_queries_of_a_tenant_draw_the_same(hook_id, one, other):
    if one.tenant is not None and one.tenant == other.tenant:
        assert lot(hook_id, StickyBy.TENANT, one) == lot(hook_id, StickyBy.TENANT, other)


@given(TEXT, BY, QUERIES, TEXT, JSON)
def test_neither_the_id_nor_the_context_of_a_query_counts(hook_id, by, query, ident, context):
    again = Query(query.type, query.capability, query.tenant, query.params, context, ident)
    assert lot(hook_id, by, query) == lot(hook_id, by, again)


def test_the_order_of_members_does_not_count_and_what_is_no_json_draws_by_its_id():
    one, other = Query("t", params={"a": 1, "b": 2}), Query("t", params={"b": 2, "a": 1})
    assert lot("hk", StickyBy.QUERY, one) == lot("hk", StickyBy.QUERY, other)
    odd = Query("t", params={1, 2}, id="q1")
    assert lot("hk", StickyBy.QUERY, odd) == lot("hk", StickyBy.QUERY, odd)


@pytest.mark.parametrize(
    ("params", "same"),
    [({"a": 2**64, "b": 1}, {"b": 1, "a": 2**64}), ({"a": "\ud800", "b": 1}, {"b": 1, "a": "\ud800"})],
)
def test_params_that_cannot_be_sent_are_the_same_where_they_are_equal(params, same):
    one, other = Query("t", params=params, id="q1"), Query("t", params=same, id="q2")
    assert lot("hk", StickyBy.QUERY, one) == lot("hk", StickyBy.QUERY, other)
    assert lot("hk", StickyBy.QUERY, one) != lot("hk", StickyBy.QUERY, Query("t", params={**same, "b": 2}))


def test_params_that_hold_themselves_draw_by_the_id_of_the_query():
    round_: list[object] = []
    round_.append(round_)
    one, other = Query("t", params=round_, id="q1"), Query("t", params=round_, id="q2")
    assert lot("hk", StickyBy.QUERY, one) == lot("hk", StickyBy.QUERY, one)
    assert lot("hk", StickyBy.QUERY, one) != lot("hk", StickyBy.QUERY, other)


def test_the_share_is_about_what_it_says_and_each_hook_draws_anew():
    tenants = [Query("t", tenant=f"tenant-{number}") for number in range(10_000)]
    for percent in (1.0, 10.0, 50.0):
        chosen = {q.tenant for q in tenants if is_chosen("hk_one", StickyBy.TENANT, percent, q)}
        assert abs(len(chosen) - 100 * percent) < 200  # four standard deviations of the widest one
        others = {q.tenant for q in tenants if is_chosen("hk_other", StickyBy.TENANT, percent, q)}
        assert len(chosen & others) < len(chosen)
