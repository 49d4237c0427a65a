"""What a hook asks for beyond a plain call, and what of it its envelope leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.model import Envelope, Granularity, Hook, Integration, Mode, OnViolation, RowCount
from gateway.registry import RegistryRules
from gateway.transport import AddressGuard

if TYPE_CHECKING:
    from gateway.registry import BoundHook

RULES = RegistryRules(AddressGuard(), max_cache_seconds=600)
HOOK = Hook("hk", "int", "name", "/hook", enabled=True)


def bound(envelope: Envelope | None = None, **fields: Any) -> BoundHook | None:
    integration = Integration("int", "Name", "https://hooks.example", envelope=envelope or Envelope())
    return RULES.bind(replace(HOOK, **fields), integration)


def plan_of(envelope: Envelope | None = None, **fields: Any) -> Any:
    hook = bound(envelope, **fields)
    assert hook is not None
    return hook.plan


def test_a_hook_that_asks_for_nothing_more_has_no_plan() -> None:
    assert plan_of() is None
    assert plan_of(Envelope(modes=frozenset(Mode), max_cache_seconds=5), percent=10, rows_at="/rows") is None


@pytest.mark.parametrize(
    "fields",
    [
        {"condition": "true"},
        {"reads": ("/a",)},
        {"writes": ()},
        {"max_growth": 1.5},
        {"row_count": RowCount.SAME, "rows_at": ""},
        {"keep": ("/a",)},
        {"result_schema": "{}"},
        {"granularity": Granularity.ROWS, "rows_at": "/rows"},
        {"coalesce": True},
        {"mode": Mode.SHADOW},
        {"mode": Mode.CANARY, "percent": 0.0},
    ],
)
def test_each_thing_beyond_a_plain_call_makes_a_plan(fields: dict[str, Any]) -> None:
    assert plan_of(**fields) is not None


@pytest.mark.parametrize(
    "envelope",
    [Envelope(reads=("/a",)), Envelope(writes=()), Envelope(keep=("/a",)), Envelope(max_growth=2)],
)
def test_what_the_operator_holds_makes_a_plan_for_a_hook_that_asks_for_nothing(envelope: Envelope) -> None:
    assert plan_of(envelope) is not None


def test_reads_and_writes_are_narrowed_to_the_envelope() -> None:
    plan = plan_of(Envelope(reads=("/rows/*/price", "/meta"), writes=("/rows",)), reads=("/rows",), writes=("/rows/*",))
    assert plan.reads == ("/rows/*/price",)
    assert plan.writes == ("/rows/*",)


def test_post_conditions_of_hook_and_operator_both_hold() -> None:
    plan = plan_of(Envelope(row_count=RowCount.SAME, rows_at="/rows"), max_growth=2.0, on_violation=OnViolation.DROP)
    assert [(check.by, check.max_growth, check.row_count) for check in plan.checks] == [
        ("hook", 2.0, None),
        ("envelope", None, RowCount.SAME),
    ]
    assert plan.drops


@pytest.mark.parametrize(
    ("mode", "allowed", "in_force"),
    [
        (Mode.ACTIVE, None, Mode.ACTIVE),
        (Mode.ACTIVE, {Mode.ACTIVE}, Mode.ACTIVE),
        (Mode.ACTIVE, {Mode.SHADOW, Mode.CANARY}, Mode.SHADOW),
        (Mode.CANARY, {Mode.SHADOW}, Mode.SHADOW),
        (Mode.ACTIVE, {Mode.CANARY}, None),
        (Mode.SHADOW, {Mode.ACTIVE}, None),
    ],
)
def test_a_mode_that_is_not_allowed_becomes_shadow_or_the_hook_is_not_called(
    mode: Mode, allowed: set[Mode] | None, in_force: Mode | None
) -> None:
    hook = bound(Envelope(modes=None if allowed is None else frozenset(allowed)), mode=mode)
    assert (None if hook is None else hook.plan.mode if hook.plan else Mode.ACTIVE) is in_force


def test_a_canary_that_stepped_back_runs_in_shadow_whatever_the_envelope_allows() -> None:
    plan = plan_of(Envelope(modes=frozenset({Mode.CANARY})), mode=Mode.CANARY, percent=5.0, stepped_back="too slow")
    assert plan.mode is Mode.SHADOW


@pytest.mark.parametrize(
    ("own", "envelope", "seconds"), [(True, None, 600), (True, 60, 60), (True, 9_999, 600), (False, None, 0)]
)
def test_replies_may_be_used_again_for_as_long_as_hook_envelope_and_gateway_allow(
    *, own: bool, envelope: float | None, seconds: float
) -> None:
    hook = bound(Envelope(max_cache_seconds=envelope), cache=own)
    assert hook is not None
    assert hook.cache_seconds == seconds
