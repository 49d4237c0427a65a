"""What a hook and an envelope may say of conditions, scope, post-conditions, rows and roll-out."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import InvalidInput
from gateway.model import CanaryBounds, Envelope, Granularity, Mode, RowCount
from gateway.registry import HookDraft, IntegrationDraft, RegistryRules
from gateway.transport import AddressGuard

RULES = RegistryRules(AddressGuard())
HOOK = HookDraft("price-fx", "/price")
INTEGRATION = IntegrationDraft("Prices", "https://hooks.example.com")
NARROW = Envelope(
    reads=("/rows/*/price", "/meta"), writes=("/rows/*/price",), modes=frozenset({Mode.SHADOW, Mode.CANARY})
)


@pytest.mark.parametrize(
    ("change", "field", "told"),
    [
        ({"condition": 'query.type = "a"'}, "/condition", "line 1, column 12: Syntax error"),
        ({"condition": "query.tenent == 'a'"}, "/condition", "no 'tenent'; it has type, capability, tenant"),
        ({"condition": "request.type == 'a'"}, "/condition", "undeclared reference to 'request.type'"),
        ({"condition": "1 + 1"}, "/condition", "must be true or false"),
        ({"condition": "x" * 2_001}, "/condition", "at most 2000"),
        ({"reads": ()}, "/reads", "at least one"),
        ({"reads": ("/a", "b")}, "/reads/1", "begin with '/'"),
        ({"reads": ("/a~3",)}, "/reads/0", "at character 2"),
        ({"writes": ("/a/~",)}, "/writes/0", "'~' must be followed"),
        ({"keep": ("a",)}, "/keep/0", "begin with '/'"),
        ({"keep": ()}, "/keep", "at least one"),
        ({"reads": tuple(f"/{n}" for n in range(65))}, "/reads/64", "at most 64"),
        ({"max_growth": 0.5}, "/max_growth", "between 1 and"),
        ({"max_growth": float("nan")}, "/max_growth", "between 1 and"),
        ({"row_count": RowCount.SAME}, "/rows_at", "needed with a row_count"),
        ({"granularity": Granularity.ROWS}, "/rows_at", "needed with the granularity 'rows'"),
        ({"rows_at": "rows"}, "/rows_at", "begin with '/'"),
        ({"rows_at": "/a/*"}, "/rows_at", "no '*'"),
        ({"batch_rows": 0}, "/batch_rows", "between 1 and"),
        ({"result_schema": "nonsense"}, "/result_schema", "not JSON"),
        ({"result_schema": "[]"}, "/result_schema", "must be an object"),
        (
            {"result_schema": '{"properties": {"a/b": {"type": 5}}}'},
            "/result_schema/properties/a~1b/type",
            "is no JSON",
        ),
        ({"result_schema": '{"$ref": "http://127.0.0.1/x"}'}, "/result_schema", "Retrieval is disabled"),
        ({"result_schema": '{"$ref": "file:///etc/passwd"}'}, "/result_schema", "Retrieval is disabled"),
        ({"result_schema": '{"pattern": "(?=a)"}'}, "/result_schema/pattern", "regex"),
        ({"result_schema": json.dumps({"const": "a" * 70_000})}, "/result_schema", "at most 65536"),
        ({"mode": Mode.CANARY}, "/percent", "is needed with the mode 'canary'"),
        ({"mode": Mode.CANARY, "percent": 100.5}, "/percent", "between 0 and 100"),
        ({"percent": -1.0}, "/percent", "between 0 and 100"),
        ({"bounds": CanaryBounds(failure_percent=101)}, "/bounds/failure_percent", "between 0 and 100"),
        ({"bounds": CanaryBounds(change_percent=-1)}, "/bounds/change_percent", "between 0 and 100"),
        ({"bounds": CanaryBounds(p95_ms=-1)}, "/bounds/p95_ms", "between 0"),
        ({"bounds": CanaryBounds(min_calls=0)}, "/bounds/min_calls", "between 1"),
    ],
)
def test_a_wrong_field_of_a_hook_is_named(change: dict[str, Any], field: str, told: str) -> None:
    RULES.check_hook(HOOK, Envelope())
    with pytest.raises(InvalidInput) as caught:
        RULES.check_hook(replace(HOOK, **change), Envelope())
    assert [error.field for error in caught.value.errors] == [field]
    assert told in caught.value.errors[0].detail


@pytest.mark.parametrize(
    "fields",
    [
        {"condition": "query.type == 'search' && size(result.rows) > 0"},
        {"reads": ("",), "writes": ()},
        {"reads": ("/rows/*/price", "/a~1b/~2"), "keep": ("/rows/*/id",)},
        {"row_count": RowCount.MAY_GROW, "rows_at": ""},
        {"granularity": Granularity.ROWS, "rows_at": "/rows", "batch_rows": 100},
        {"result_schema": '{"type": "object", "properties": {"rows": {"$ref": "#/$defs/r"}}, "$defs": {"r": {}}}'},
        {"mode": Mode.CANARY, "percent": 0.0, "bounds": CanaryBounds(5, 100, 50, 10)},
        {"mode": Mode.ACTIVE, "percent": 10.0},
    ],
)
def test_what_makes_sense_may_be_declared(fields: dict[str, Any]) -> None:
    RULES.check_hook(replace(HOOK, **fields), Envelope())


@pytest.mark.parametrize(
    ("change", "field", "told"),
    [
        (
            {"reads": ("/rows/*/cost",)},
            "/reads/0",
            "'/rows/*/cost' is outside the integration's envelope, which allows",
        ),
        ({"reads": ("/meta/a", "/rows")}, "/reads/1", "'/rows/*/price', '/meta'"),
        ({"reads": ("",)}, "/reads/0", "'' is outside"),
        ({"writes": ("/meta",)}, "/writes/0", "outside the integration's envelope"),
        (
            {"mode": Mode.ACTIVE},
            "/mode",
            "'active' is outside the integration's envelope, which allows 'canary', 'shadow'",
        ),
    ],
)
def test_what_a_hook_asks_for_beyond_its_envelope_is_named(change: dict[str, Any], field: str, told: str) -> None:
    good = replace(HOOK, mode=Mode.SHADOW)
    RULES.check_hook(replace(good, reads=("/rows/7/price",), writes=("/rows/*/price",)), NARROW)
    with pytest.raises(InvalidInput) as caught:
        RULES.check_hook(replace(good, **change), NARROW)
    assert [error.field for error in caught.value.errors] == [field]
    assert told in caught.value.errors[0].detail


@pytest.mark.parametrize(
    ("envelope", "field"),
    [
        (Envelope(reads=()), "/envelope/reads"),
        (Envelope(reads=("a",)), "/envelope/reads/0"),
        (Envelope(writes=("/~",)), "/envelope/writes/0"),
        (Envelope(modes=frozenset()), "/envelope/modes"),
        (Envelope(max_cache_seconds=-1), "/envelope/max_cache_seconds"),
        (Envelope(max_growth=0), "/envelope/max_growth"),
        (Envelope(row_count=RowCount.SAME), "/envelope/rows_at"),
        (Envelope(rows_at="/*"), "/envelope/rows_at"),
        (Envelope(keep=("a",)), "/envelope/keep/0"),
        (Envelope(result_schema='{"type": 1}'), "/envelope/result_schema/type"),
    ],
)
def test_a_wrong_field_of_an_envelope_is_named(envelope: Envelope, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        RULES.check_integration(replace(INTEGRATION, envelope=envelope))
    assert [error.field for error in caught.value.errors] == [field]
