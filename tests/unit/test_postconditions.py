"""Post-conditions: what must hold for a result after a reply."""

from __future__ import annotations

import pytest

from gateway.errors import ReplyUnusable
from gateway.model import Reason, Result, RowCount
from gateway.pipeline.postconditions import PostCheck
from gateway.registry.plan import PostConditions

ROWS = b'{"rows":[{"id":1,"n":"a"},{"id":2,"n":"b"}],"total":2}'


def broken(before, after, by="hook", **declared):
    """The sentence about the first condition that is broken; `None` if all hold."""
    try:
        PostCheck(PostConditions(by, **declared)).check(Result(before), Result(after))
    except ReplyUnusable as e:
        return e.detail if e.reason == Reason.CONTRACT else f"a wrong reason: {e.reason}"
    return None


@pytest.mark.parametrize(("after", "holds"), [(b"x" * 10, True), (b"x" * 15, True), (b"x" * 16, False), (b"", True)])
def test_a_result_grows_by_so_much_and_no_more(after, holds):
    why = broken(b"x" * 10, after, max_growth=1.5)
    assert (why is None) == holds
    if why:
        assert why == "the hook's max_growth of 1.5 at '': the result grew from 10 to 16 bytes"


@pytest.mark.parametrize(
    ("allowed", "fits"),
    [
        (RowCount.SAME, {2}),
        (RowCount.MAY_SHRINK, {0, 1, 2}),
        (RowCount.MAY_GROW, {2, 3}),
    ],
)
@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("at", ["", "/rows", "/0/a~1b"])
def test_the_number_of_rows_differs_only_as_it_may(allowed, fits, count, at):
    around = {"": b"%b", "/rows": b'{"rows":%b}', "/0/a~1b": b'[{"a/b":%b}]'}[at]
    before, after = (around % (b"[" + b",".join([b"{}"] * n) + b"]") for n in (2, count))
    why = broken(before, after, row_count=allowed, rows_at=at)
    assert (why is None) == (count in fits)
    if why:
        assert why.endswith(f"row_count '{allowed.value}' at {at!r}: there were 2 rows, and there are {count}")


def test_rows_that_were_not_there_are_not_counted_and_rows_that_are_gone_are_missed():
    declared = {"row_count": RowCount.MAY_SHRINK, "rows_at": "/rows"}
    assert broken(b'{"error":1}', ROWS, **declared) is None
    assert "there is no array any more" in broken(ROWS, b'{"rows":{}}', **declared)
    assert "there is no array any more" in broken(ROWS, b"[]", by="envelope", **declared)


@pytest.mark.parametrize(
    ("after", "row_count", "place"),
    [
        (b'{"rows":[{"id":2},{"id":1}]}', None, None),
        (b'{"rows":[{"id":1.0},{"x":0,"id":2}]}', None, None),
        (b'{"rows":[{"id":3},{"id":1},{"id":2}]}', None, None),
        (b'{"rows":[{"id":1}]}', None, "/rows/1/id"),
        (b'{"rows":[{"id":1},{"id":1}]}', None, "/rows/1/id"),
        (b'{"rows":[{"id":"1"},{"id":2}]}', None, "/rows/0/id"),
        (b'{"rows":[{"id":true},{"id":2}]}', None, "/rows/0/id"),
        (b'{"rows":[{},{"id":2}]}', None, "/rows/0/id"),
        (b"[]", None, "/rows/0/id"),
        (b'{"rows":[{"id":2}]}', RowCount.MAY_SHRINK, None),
        (b'{"rows":[{"id":3}]}', RowCount.MAY_SHRINK, "/rows/0/id"),
        (b'{"rows":[{"id":2},{"id":2}]}', RowCount.MAY_SHRINK, "/rows/1/id"),
    ],
)
def test_values_that_are_to_be_kept_are_found_again_as_often_as_before(after, row_count, place):
    why = broken(ROWS, after, keep=("/rows/*/id",), row_count=row_count, rows_at="/rows")
    if place is None:
        assert why is None or "row_count" in why
    else:
        assert f"keep '/rows/*/id' at {place!r}" in why or "row_count" in why


@pytest.mark.parametrize(
    ("pointer", "before", "after", "holds"),
    [
        ("/total", b'{"total":12345678901234567890}', b'{"total":12345678901234567891}', False),
        ("/total", b'{"total":12345678901234567890}', b'{"x":1,"total":12345678901234567890}', True),
        ("/total", b'{"x":1}', b'{"x":2}', True),
        ("/meta", b'{"meta":{"a":1,"b":[2]}}', b'{"meta":{"b":[2],"a":1}}', True),
        ("/meta", b'{"meta":{"a":1,"b":[2]}}', b'{"meta":{"b":[2,3],"a":1}}', False),
        ("/rows/*/1", b'{"rows":[[1,2],[3,4]]}', b'{"rows":[[9,4],[9,2]]}', True),
        ("/rows/*/1", b'{"rows":[[1,2],[3,4]]}', b'{"rows":[[1],[3,4]]}', False),
        ("/rows/0/id", b'{"rows":[{"id":1}]}', b'{"rows":[{"id":2}]}', False),
        ("", b"[1]", b"[2]", False),
    ],
)
def test_anything_may_be_kept(pointer, before, after, holds):
    assert (broken(before, after, keep=(pointer,)) is None) == holds


def test_a_result_that_does_not_meet_the_schema_is_named_by_place_and_not_by_value():
    schema = '{"properties":{"rows":{"items":{"properties":{"id":{"type":"integer"}},"required":["id"]}}}}'
    assert broken(ROWS, b'{"rows":[{"id":7}]}', result_schema=schema) is None
    why = broken(ROWS, b'{"rows":[{"id":1},{"id":"geheim"}]}', result_schema=schema)
    assert why.startswith("the hook's result_schema at '/rows/1/id': it does not meet '/properties/rows/items/")
    assert "geheim" not in why
    assert "'/rows/0'" in broken(ROWS, b'{"rows":[{}]}', result_schema=schema)


def test_a_result_that_stayed_as_it_was_is_asked_for_nothing():
    result = Result(b'{"id":"x"}')
    PostCheck(PostConditions("hook", result_schema='{"type":"array"}')).check(result, result)


def test_what_is_no_json_cannot_be_looked_at():
    why = broken(b"no JSON", b"{}", keep=("/a",))
    assert "the result is not JSON" in why
