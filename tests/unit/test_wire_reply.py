"""What each answer of a hook means."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ReplyUnusable
from gateway.model import Result
from gateway.wire import reply
from gateway.wire.patch import apply_json_patch, apply_merge_patch

BEFORE = Result(b'{"rows": [1, 2], "total": 12345678901234567890123}')
JSON, PATCH, MERGE, PROBLEM = (
    "application/json",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/problem+json",
)


def after(status: int, content_type: str | None, body: bytes, *, may_reject: bool = False) -> Result:
    found = reply.decode(
        status, content_type, body, result_type=BEFORE.content_type, may_reject=may_reject, max_depth=20
    )
    return reply.apply(found, BEFORE, max_depth=20)


@pytest.mark.parametrize(
    ("status", "content_type", "body", "expected"),
    [
        (204, None, b"", BEFORE.body),
        (204, "text/html", b"", BEFORE.body),
        (200, JSON, b'{"rows":[3]}', b'{"rows":[3]}'),
        (200, "Application/JSON; charset=utf-8", b" [1] ", b" [1] "),
        (200, 'application/json;charset="UTF-8"', b"null", b"null"),
        (200, JSON, BEFORE.body, BEFORE.body),
        (
            200,
            PATCH,
            b'[{"op":"add","path":"/rows/-","value":3}]',
            b'{"rows":[1,2,3],"total":12345678901234567890123}',
        ),
        (200, PATCH, b"[]", BEFORE.body),
        (200, MERGE, b'{"note":"x","rows":null}', b'{"total":12345678901234567890123,"note":"x"}'),
        (200, MERGE, b"{}", BEFORE.body),
        (200, MERGE, b"7", b"7"),
    ],
)
def test_a_good_reply_gives_this_result(status: int, content_type: str | None, body: bytes, expected: bytes) -> None:
    assert after(status, content_type, body).body == expected


@pytest.mark.parametrize(
    ("status", "content_type", "body", "reason"),
    [
        (200, None, b"{}", "content_type"),
        (200, "text/html", b"{}", "content_type"),
        (200, "application/json; charset=latin-1", b"{}", "content_type"),
        (200, JSON, b"", "bad_json"),
        (200, JSON, b"{", "bad_json"),
        (200, JSON, b"[NaN]", "bad_json"),
        (200, JSON, b'"\xff"', "bad_json"),
        (200, JSON, b"[" * 21 + b"]" * 21, "bad_json"),
        (200, PATCH, b"{}", "bad_patch"),
        (200, PATCH, b"[1]", "bad_patch"),
        (200, PATCH, b"not json", "bad_json"),
        (200, PATCH, b'[{"op":"remove","path":"/nope"}]', "bad_patch"),
        (200, PATCH, b'[{"op":"test","path":"/rows","value":1}]', "bad_patch"),
        (200, PATCH, b'[{"op":"fly","path":"/rows"}]', "bad_patch"),
        (200, PATCH, b'[{"op":"add","path":"/rows/9","value":1}]', "bad_patch"),
        (200, PATCH, b'[{"op":"add","path":"rows","value":1}]', "bad_patch"),
        (200, PATCH, b'[{"op":"add","path":5,"value":1}]', "bad_patch"),
        (200, PATCH, b'[{"op":"remove","path":"/rows/0"},{"op":"remove","path":"/rows/5"}]', "bad_patch"),
        (200, PATCH, b'[{"op":"add","path":"/rows/0","value":' + b"[" * 19 + b"]" * 19 + b"}]", "bad_json"),
        (410, None, b"", "gone"),
        (422, PROBLEM, b"{}", "rejected_not_allowed"),
        (422, JSON, b"{}", "status"),
        (422, None, b"", "status"),
        (500, JSON, b"{}", "status"),
        (201, JSON, b"{}", "status"),
        (302, JSON, b"{}", "status"),
        (404, None, b"", "status"),
    ],
)
def test_a_bad_reply_is_unusable_for_this_reason(
    status: int, content_type: str | None, body: bytes, reason: str
) -> None:
    with pytest.raises(ReplyUnusable) as caught:
        after(status, content_type, body)
    assert caught.value.reason == reason


def test_a_rejection_is_honoured_where_the_envelope_allows_it() -> None:
    found = reply.decode(422, PROBLEM, b'{"title":"no"}', result_type=JSON, may_reject=True, max_depth=20)
    assert found == reply.Reject({"title": "no"})


def test_a_reply_that_changes_nothing_gives_the_very_same_result() -> None:
    assert after(200, JSON, BEFORE.body) is BEFORE
    assert after(204, None, b"") is BEFORE


def test_the_results_own_json_type_is_a_replacement_too() -> None:
    geo = Result(b"{}", "application/geo+json")
    found = reply.decode(
        200, "application/geo+json", b"[]", result_type=geo.content_type, may_reject=False, max_depth=5
    )
    assert reply.apply(found, geo, max_depth=5) == Result(b"[]", "application/geo+json")


def test_a_patch_that_nests_too_deep_is_refused() -> None:
    deep = Result(b'{"a":' + b"[" * 15 + b"]" * 15 + b"}")
    value = b"[" * 10 + b"]" * 10
    patch = b'[{"op":"add","path":"/a' + b"/0" * 14 + b'/-","value":' + value + b"}]"
    path_ok = reply.JsonPatch(orjson.loads(patch.replace(b"/0" * 14, b"/0" * 13)))
    with pytest.raises(ReplyUnusable) as caught:
        reply.apply(reply.JsonPatch(orjson.loads(patch)), deep, max_depth=20)
    assert caught.value.reason == "bad_patch"
    with pytest.raises(ReplyUnusable):
        reply.apply(path_ok, deep, max_depth=20)


MERGE_VALUES = st.recursive(
    st.none() | st.integers(0, 3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=10,
)


def by_the_book(target: object, patch: object) -> object:
    """RFC 7396, section 2, word for word."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = by_the_book(result.get(name), value)
    return result


@given(document=MERGE_VALUES, patch=MERGE_VALUES)
def test_a_merge_patch_does_what_the_rfc_says(document: object, patch: object) -> None:
    expected = by_the_book(document, patch)
    assert apply_merge_patch(orjson.loads(orjson.dumps(document)), patch) == expected


def test_a_merge_patch_may_nest_deeper_than_the_stack() -> None:
    patch: dict[str, object] = {"leaf": 1}
    for _ in range(5_000):
        patch = {"a": patch}
    merged = apply_merge_patch({}, patch)
    for _ in range(5_000):
        merged = merged["a"]
    assert merged == {"leaf": 1}


@pytest.mark.parametrize(
    ("document", "operations", "words"),
    [
        ({"a": "x" * 100}, [{"op": "copy", "from": "", "path": f"/{n}"} for n in range(64)], "copies more than"),
        ([0] * 200_000, [{"op": "move", "from": "/0", "path": "/-"}] * 10_000, "inserts and removes too much"),
        ([0] * 200_000, [{"op": "add", "path": "/0", "value": 0}] * 10_000, "inserts and removes too much"),
        ([], [{"op": "add", "path": "/-", "value": 0}] * 10_001, "10000 is the most"),
    ],
    ids=["copies", "moves", "adds", "operations"],
)
def test_a_patch_that_asks_for_too_much_is_refused(document: object, operations: list, words: str) -> None:
    patch = orjson.dumps(operations)
    with pytest.raises(ReplyUnusable, match=words) as caught:
        found = reply.decode(200, PATCH, patch, result_type=JSON, may_reject=False, max_depth=200)
        reply.apply(found, Result(orjson.dumps(document)), max_depth=200)
    assert caught.value.reason == "bad_patch"


def test_a_patch_of_a_few_thousand_operations_and_some_copies_is_applied() -> None:
    operations = [{"op": "add", "path": f"/rows/{n}/x~1y", "value": n} for n in range(2_000)]
    operations += [{"op": "copy", "from": "/rows/1/x~1y", "path": f"/rows/{n}/z"} for n in range(2_000)]
    patched = apply_json_patch({"rows": [{} for _ in range(2_000)]}, operations)
    assert patched["rows"][7] == {"x/y": 7, "z": 1}


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        (b'{"op":"test","path":"/total","value":"secret-of-the-patch"}', "is a test, and it failed"),
        (b'{"op":"remove","path":"/secret-of-the-patch"}', "has a path that is not in the document"),
        (b'{"op":"add","path":"/rows/secret-of-the-patch/x","value":1}', "has a path that is not in the document"),
        (b'{"op":"secret-of-the-patch","path":"/rows"}', "is none of RFC 6902"),
    ],
)
def test_why_a_patch_does_not_fit_is_said_without_quoting_the_patch_or_the_document(operation, why):
    with pytest.raises(ReplyUnusable) as caught:
        after(200, PATCH, b'[{"op":"test","path":"/rows/0","value":1},' + operation + b"]")
    assert why in caught.value.detail
    assert "operation 1" in caught.value.detail
    assert "secret" not in caught.value.detail
    assert "1234567" not in caught.value.detail


@pytest.mark.parametrize(
    ("operation", "before", "after"),
    [
        (b'{"op":"add","path":"/n","value":0.30000000000000004}', b"{}", b'{"n":0.30000000000000004}'),
        (b'{"op":"add","path":"/n","value":[1e400]}', b"{}", b'{"n":[1e400]}'),
        (b'{"op":"replace","path":"/n","value":{"a":1.50}}', b'{"n":1}', b'{"n":{"a":1.50}}'),
        (b'{"op":"copy","from":"/n","path":"/m"}', b'{"n":[1.50]}', b'{"n":[1.50],"m":[1.50]}'),
        (b'{"op":"test","path":"/n","value":1.5}', b'{"n":1.50}', b'{"n":1.50}'),
        (b'{"op":"test","path":"/n","value":[0.30000000000000004]}', b'{"n":[0.30000000000000004]}', None),
        (b'{"op":"test","path":"","value":{"n":18446744073709551617}}', b'{"n":18446744073709551617}', None),
    ],
)
def test_a_json_patch_may_hold_numbers_that_are_kept_as_they_are_written(operation, before, after):
    answer = reply.decode(
        200, reply.JSON_PATCH, b"[" + operation + b"]", result_type=reply.JSON, may_reject=False, max_depth=50
    )
    assert reply.apply(answer, Result(before), max_depth=50).body == (after or before)


@pytest.mark.parametrize("value", [b"1.51", b"true", b'"1.50"', b"[1.50]", b"null"])
def test_a_test_of_such_a_number_against_another_value_fails(value):
    operation = b'[{"op":"test","path":"/n","value":%b}]' % value
    answer = reply.decode(200, reply.JSON_PATCH, operation, result_type=reply.JSON, may_reject=False, max_depth=50)
    with pytest.raises(ReplyUnusable, match="is a test, and it failed"):
        reply.apply(answer, Result(b'{"n":1.50}'), max_depth=50)
