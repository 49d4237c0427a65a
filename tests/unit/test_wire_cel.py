"""Conditions in CEL: what they come to, what is refused, and what they may cost."""

from __future__ import annotations

import contextlib
import sys
import uuid
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConditionError, ConditionFailed, ConditionTooCostly
from gateway.model import CanaryBounds, Mode
from gateway.wire.cel import MAX_SOURCE, compile_condition
from gateway.wire.cel_cost import Extent

QUERY = {
    "type": "search",
    "capability": None,
    "tenant": "acme",
    "params": {"n": 3, "f": 1.5, "ids": [1, 2], "big": 2**63, "s": "a"},
    "context": {"user": {"roles": ["admin"]}},
}
RESULT = {"rows": [{"id": 1, "price": 2.5}, {"id": 2, "price": -1}]}
VALUES = {"query": QUERY, "result": RESULT}
ROWS = {"query": Extent(300, 30), "result": Extent(250_000, 20_000)}


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ("true", True),
        ('query.type == "search"', True),
        ('query["type"] == "form"', False),
        ("query.capability == null", True),
        ("query.params.n > 2 && query.params.f < 2.0", True),
        ("query.params.big > 1", True),
        ("query.params.ids.exists(i, i == 2)", True),
        ('"admin" in query.context.user.roles', True),
        ("has(query.params.nothing)", False),
        ("!has(query.params.nothing) || query.params.nothing > 1", True),
        ('query.tenant.matches("^a.*e$")', True),
        ("size(result.rows) == 2", True),
        ("result.rows.all(r, r.price > 0)", False),
        ("result.rows.exists_one(r, r.price > 0)", True),
        ("result.rows.filter(r, r.price > 0).map(r, r.id) == [1]", True),
        ("query.params.n == 3.0", True),
    ],
)
def test_a_condition_holds_or_does_not(source: str, *, holds: bool) -> None:
    assert compile_condition(source).holds(VALUES) is holds


@pytest.mark.parametrize(
    ("source", "mentions"),
    [
        ("true", set()),
        ('query.type == "result"', {"query"}),
        ("query.result == 1", {"query"}),
        ('query["result"] == 1', {"query"}),
        ('{"result": 1}.result == 1', set()),
        ("[1].exists(result, result == 1)", set()),
        ("[1].exists(result, result == query)", {"query"}),
        ("result.exists(result, result == 1)", {"result"}),
        ("has(result.rows)", {"result"}),
        (".result == 1", {"result"}),
        ("type(result) == map || size(query) > 1", {"query", "result"}),
    ],
)
def test_it_says_which_variables_it_makes_use_of(source: str, mentions: set[str]) -> None:
    condition = compile_condition(source)
    assert {name for name in ("query", "result") if condition.mentions(name)} == mentions


def test_it_needs_no_value_for_what_it_does_not_mention() -> None:
    assert compile_condition('query.tenant == "acme"').holds({"query": QUERY})


def test_it_names_the_members_of_a_variable() -> None:
    condition = compile_condition('query.tenent == "a" || has(query.params.type) || query["x"] == 1 || result.a.b == 1')
    assert condition.members_of("query") == {"tenent", "params"}


def test_other_variables_can_be_named() -> None:
    condition = compile_condition('event == "price.changed" && data.new > data.old', ("event", "data"))
    assert condition.holds({"event": "price.changed", "data": {"new": 2, "old": 1}})


@pytest.mark.parametrize(
    ("source", "line", "column", "told"),
    [
        ('query.type = "s"', 1, 12, "Syntax error"),
        ("query.type == \n  )", 2, 3, "Syntax error"),
        ("foo == 1", 1, 1, "undeclared reference to 'foo'"),
        ("true &&\n bar.baz", 2, 5, "undeclared reference"),
        ("", 1, 1, "Syntax error"),
        ('query.tenant == "\ud800"', 1, 18, "surrogate"),
        ("query.tenant ? 1 : true", 1, 14, "no matching overload"),
        ("1 + 1", 1, 1, "kind int"),
        ('"a" + query.tenant', 1, 1, "kind string"),
        ("[query]", 1, 1, "kind list"),
        ("query.tenant\0", 1, 13, "Syntax error"),
        (" " * MAX_SOURCE + "true", None, None, f"at most {MAX_SOURCE}"),
        ("(" * 40 + "true" + ")" * 40, None, None, "nests too deep"),
        ("[[[[[1]]]]].all(a, a.all(b, b.all(c, c.all(d, d.all(e, e == 1)))))", None, None, "nested more than 4 deep"),
    ],
)
def test_what_does_not_compile_is_refused_with_its_place(
    source: str, line: int | None, column: int | None, told: str
) -> None:
    with pytest.raises(ConditionError, match=told) as caught:
        compile_condition(source)
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("query.params.nothing == 1", "there is no 'nothing'"),
        ("query.tenant > 1", "does not fit the kind of value"),
        ("query.params.ids[7] == 1", "beyond the end"),
        ("query.tenant.x == 1", "no object"),
        ("1 / 0 == 1", "divides by zero"),
        ("int(query.tenant) == 1", "cannot be converted"),
        ('query.tenant.matches("(")', "regular expression"),
        ("query.tenant", "kind string"),
        ("query.context", "kind map"),
    ],
)
def test_a_condition_without_an_answer_says_why_and_shows_no_value(source: str, told: str) -> None:
    with pytest.raises(ConditionFailed, match=told) as caught:
        compile_condition(source).holds(VALUES)
    assert "acme" not in caught.value.detail
    assert "admin" not in caught.value.detail


def test_a_missing_member_that_was_named_by_a_value_is_not_shown() -> None:
    with pytest.raises(ConditionFailed) as caught:
        compile_condition("query.params[query.tenant] == 1").holds(VALUES)
    assert "acme" not in caught.value.detail


def test_what_can_be_written_as_json_is_as_good_as_json() -> None:
    key = uuid.UUID("12345678123456781234567812345678")
    params = {"key": key, "pair": (1, 2), "mode": Mode.SHADOW, "bounds": CanaryBounds(5.0)}
    condition = compile_condition(
        'query.key == "12345678-1234-5678-1234-567812345678" && query.pair == [1, 2] && query.mode == "shadow" '
        "&& query.bounds.failure_percent == 5.0"
    )
    assert condition.holds({"query": params})


@pytest.mark.parametrize("value", [{1, 2}, object(), {1: 2}, [2**70], float])
def test_what_is_no_json_is_a_failure_of_the_condition_and_no_other(value: Any) -> None:
    with pytest.raises(ConditionFailed):
        compile_condition("query.params == 1").holds({"query": {"params": value}})


def test_a_value_that_nests_beyond_all_bounds_is_refused_before_it_reaches_the_engine() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(ConditionFailed):
        compile_condition("size(query) == 1").holds({"query": nested})


@pytest.mark.parametrize(
    "source",
    [
        "result.rows.all(r, result.rows == result.rows)",
        "result.rows.all(r, result.rows.all(s, s.id == r.id))",
        "result.rows.all(r, r in result.rows)",
        "result.rows.map(r, result.rows).size() > 0",
        "result.rows.map(r, r.id).size() > 0",
        "result.rows.all(r, (result.text + result.text).size() > 1)",
        "result.rows.all(r, result.text.matches('(a|aa)*c') == false)",
        "[1, 2, 3].all(a, [1, 2, 3].all(b, [1, 2, 3].all(c, result == result)))",
        "result.map(r, result).map(r, r).size() > 1",
        "result.all(r, r.name.matches('^(a{100}b{100}){1,3}$') == false)",
        "result.all(r, r.name.matches(result[0].name) == false)",
        " && ".join(["result == result"] * 20),
    ],
)
def test_what_would_take_too_long_is_not_begun(source: str) -> None:
    condition = compile_condition(source)
    with pytest.raises(ConditionTooCostly):
        condition.holds({"query": None, "result": None}, {"query": b"{}", "result": b"[" + b'"aaaa",' * 40_000 + b"0]"})
    with pytest.raises(ConditionTooCostly):
        condition.holds({"query": None, "result": [{"text": "a" * 20} for _ in range(12_000)]})


@pytest.mark.parametrize(
    "source",
    [
        "size(result.rows) > 1",
        "result.rows.all(r, r.price >= 0.0)",
        "result.rows.exists(r, r.id == query.params.id)",
        "result.rows.exists(r, r.name == query.params.id && r.code.startsWith('A'))",
        "result.rows.all(r, r.tags.all(t, t == 'x'))",
        "result.rows.all(r, r.name.contains('x') || size(r.name) < 20)",
        "query.params.ids.map(i, i * 2).exists(i, i == 4)",
        "query.params.ids.exists(i, query.context.allowed.exists(j, i == j))",
    ],
)
def test_what_looks_at_each_row_once_is_allowed_for_large_results(source: str) -> None:
    condition = compile_condition(source)
    assert condition.cost(ROWS) < 5_000_000


@pytest.mark.parametrize(
    "source",
    [
        "result.rows.exists(r, r.name.matches('^[A-Z]{3}$'))",
        "result.rows.filter(r, r.price > 2.0).size() > 3",
        "result.rows.map(r, r.price).exists(p, p > 2.0)",
        "result.rows.all(r, r in result.rows)",
    ],
)
def test_what_costs_more_for_each_row_is_allowed_for_a_hundred_of_them(source: str) -> None:
    rows = [{"name": "KEF", "price": n * 1.5, "city": "Keflavik"} for n in range(100)]
    assert compile_condition(source).holds({"result": {"rows": rows}}) in (True, False)


def test_what_was_affordable_once_does_not_make_larger_values_so() -> None:
    condition = compile_condition("result.all(a, result.all(b, a == b))")
    assert condition.holds({"result": [1] * 20})
    with pytest.raises(ConditionTooCostly):
        condition.holds({"result": [1] * 2_000})
    assert condition.holds({"result": [1] * 20})


def test_a_loop_that_the_engine_stops_is_a_failure_of_the_condition() -> None:
    condition = compile_condition("query.all(x, x == 1)")
    with pytest.raises(ConditionFailed, match="too many steps"):
        condition.holds({"query": [1] * 20_000})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(JSON, JSON)
def test_any_json_gives_true_false_or_a_failure_of_the_condition(params: Any, result: Any) -> None:
    condition = compile_condition("query.a == result.a || result.b.exists(x, x > query.n)")
    values = {"query": orjson.loads(orjson.dumps(params)), "result": orjson.loads(orjson.dumps(result))}
    with contextlib.suppress(ConditionFailed):
        assert condition.holds(values) in (True, False)


@given(st.text(max_size=30) | st.text("query.result()[]\"'+=&|!<>all, x1?:{}", max_size=30))
def test_any_text_compiles_or_is_refused_as_a_condition(source: str) -> None:
    with contextlib.suppress(ConditionError):
        compile_condition(source)


SIZES = st.integers(2, 10_000)


@given(SIZES, SIZES, SIZES)
def test_more_data_never_costs_less(query: int, result: int, more: int) -> None:
    condition = compile_condition("result.rows.exists(r, r.id == query.id && query.ids.all(i, i != r.id))")
    less = condition.cost({"query": Extent(query, query // 9), "result": Extent(result, result // 9)})
    larger = {"query": Extent(query + more, (query + more) // 9), "result": Extent(result + more, (result + more) // 9)}
    assert less <= condition.cost(larger)


def test_without_the_engine_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cel_expr_python", None)
    with pytest.raises(ConditionError, match=r"query-hook-gateway\[conditions\]"):
        compile_condition("query.type == 'never compiled before'", ("query", "without_the_engine"))
