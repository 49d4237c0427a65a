"""Which hooks are called for a query: their conditions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.model import Envelope, FailurePolicy, Hook, Integration, Query, Reason, Result, Status
from gateway.pipeline import Selection
from gateway.registry import RegistryRules
from gateway.transport import AddressGuard
from gateway.wire.cloudevents import QueryEvent

if TYPE_CHECKING:
    from gateway.pipeline.select import NotCalled

RULES = RegistryRules(AddressGuard())
INTEGRATION = Integration("int", "Name", "https://hooks.example", envelope=Envelope(failure_policy=FailurePolicy.FAIL))
QUERY = Query("search", None, "acme", {"n": 1})


class Unread(Result):
    """A result that must not be parsed."""

    @property
    def value(self) -> Any:
        raise AssertionError("the result was parsed")


def refusal(
    condition: str,
    result: Result | None = None,
    query: Query = QUERY,
    policy: FailurePolicy = FailurePolicy.IGNORE,
    selection: Selection | None = None,
) -> NotCalled | None:
    hook = Hook("hk", "int", "name", "/hook", enabled=True, condition=condition, failure_policy=policy)
    bound = RULES.bind(hook, INTEGRATION)
    assert bound is not None
    assert bound.plan is not None
    event = QueryEvent(query, "/gateway")
    return (selection or Selection()).refusal(bound, bound.plan, query, event, result or Unread(b"{}"))


@pytest.mark.parametrize("condition", ["true", 'query.tenant == "acme"', "query.params.n == 1", 'query.type != "a"'])
def test_a_hook_whose_condition_holds_is_called(condition: str) -> None:
    assert refusal(condition) is None


def test_a_hook_whose_condition_does_not_hold_is_skipped_without_a_parse_of_the_result() -> None:
    skipped = refusal('query.tenant == "other"', Unread(b'{"rows": []}'))
    assert skipped is not None
    assert skipped[:2] == (Status.SKIPPED, Reason.CONDITION)


@pytest.mark.parametrize(("rows", "called"), [(b"[1]", False), (b"[1, 2]", True)])
def test_a_condition_may_ask_for_the_result(rows: bytes, *, called: bool) -> None:
    assert (refusal("size(result.rows) > 1", Result(b'{"rows": ' + rows + b"}")) is None) is called


@pytest.mark.parametrize(
    ("condition", "result", "told"),
    [
        ("query.params.missing == 1", b"{}", "there is no 'missing'"),
        ("result.rows == 1", b"{}", "there is no 'rows'"),
        ("result.rows == 1", b"not json", "which is not JSON"),
        ("query.tenant", b"{}", "not to true or false"),
        ("no such thing", b"{}", "cannot be used: line 1, column 4"),
    ],
)
def test_a_condition_without_an_answer_skips_the_hook_or_fails_it_as_its_policy_says(
    condition: str, result: bytes, told: str
) -> None:
    for policy, expected in (
        (FailurePolicy.IGNORE, (Status.SKIPPED, Reason.CONDITION)),
        (FailurePolicy.FAIL, (Status.FAILED, Reason.CONTRACT)),
    ):
        found = refusal(condition, Result(result), policy=policy)
        assert found is not None
        assert found[:2] == expected
        assert found.detail is not None
        assert told in found.detail


def test_params_that_are_no_json_skip_the_hook() -> None:
    found = refusal("query.params == 1", query=replace(QUERY, params={"a": object()}))
    assert found is not None
    assert found[:2] == (Status.SKIPPED, Reason.CONDITION)


def test_a_result_that_is_too_large_to_look_into_skips_the_hook_unparsed() -> None:
    large = Unread(b"[" + b"1," * 600 + b"1]")
    found = refusal("size(result) > 1", large, selection=Selection(max_bytes=1_000))
    assert found is not None
    assert found[:2] == (Status.SKIPPED, Reason.SIZE)
    assert refusal('query.tenant == "acme"', large, selection=Selection(max_bytes=1_000)) is None


def test_a_condition_that_would_take_too_long_on_this_result_skips_the_hook() -> None:
    found = refusal("result.all(a, result.all(b, a == b))", Result(b"[" + b"1," * 5_000 + b"1]"))
    assert found is not None
    assert found[:2] == (Status.SKIPPED, Reason.SIZE)
    assert refusal("result.all(a, result.all(b, a == b))", Result(b"[1, 1]")) is None
