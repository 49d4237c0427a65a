"""What may be registered, and what a hook gets of what it asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidInput
from gateway.model import Envelope, FailurePolicy, Hook, Integration, SigningSecret
from gateway.registry import HookDraft, IntegrationDraft, RegistryRules
from gateway.transport import AddressGuard
from gateway.wire import signature

RULES = RegistryRules(AddressGuard())
GOOD_HOOK = HookDraft("price-fx", "/hooks/price")
GOOD_INTEGRATION = IntegrationDraft("Price service", "https://hooks.example.com/base")


def fields_of(error: InvalidInput) -> list[str]:
    return [e.field for e in error.errors]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "/name"),
        ({"name": "a\nb"}, "/name"),
        ({"name": "a/b"}, "/name"),
        ({"name": " a"}, "/name"),
        ({"name": "a" * 101}, "/name"),
        ({"base_url": "hooks.example.com"}, "/base_url"),
        ({"base_url": "ftp://example.com"}, "/base_url"),
        ({"base_url": "https://user:pw@example.com"}, "/base_url"),
        ({"base_url": "https://example.com/?a=b"}, "/base_url"),
        ({"base_url": "https://example.com/#a"}, "/base_url"),
        ({"base_url": "https://example.com/a/../b"}, "/base_url"),
        ({"base_url": "https://example.com:99999"}, "/base_url"),
        ({"base_url": "https://example.com/" + "a" * 2_000}, "/base_url"),
        ({"base_url": "http://example.com"}, "/base_url"),
        ({"base_url": "https://127.0.0.1"}, "/base_url"),
        ({"base_url": "https://169.254.169.254"}, "/base_url"),
        ({"base_url": "https://localhost"}, "/base_url"),
        ({"priority": 2**31}, "/priority"),
        ({"health_path": "health"}, "/health_path"),
        ({"envelope": Envelope(max_timeout_ms=10_001)}, "/envelope/max_timeout_ms"),
        ({"envelope": Envelope(max_timeout_ms=0)}, "/envelope/max_timeout_ms"),
        ({"envelope": Envelope(types=frozenset())}, "/envelope/types"),
        ({"envelope": Envelope(tenants=frozenset({"a\0"}))}, "/envelope/tenants"),
    ],
)
def test_a_wrong_field_of_an_integration_is_named(change: dict[str, Any], field: str) -> None:
    RULES.check_integration(GOOD_INTEGRATION)
    with pytest.raises(InvalidInput) as caught:
        RULES.check_integration(replace(GOOD_INTEGRATION, **change))
    assert fields_of(caught.value) == [field]


NARROW = Envelope(types=frozenset({"search", "form"}), capabilities=frozenset({"air"}), max_timeout_ms=500)


@pytest.mark.parametrize(
    ("change", "field", "told"),
    [
        ({"name": "Price"}, "/name", "lower-case"),
        ({"name": "a" * 64}, "/name", "up to 62"),
        ({"name": "9a"}, "/name", "lower-case"),
        ({"path": "hooks"}, "/path", "absolute path"),
        ({"path": ""}, "/path", "absolute path"),
        ({"path": "//evil.example/x"}, "/path", "base URL"),
        ({"path": "/a/../b"}, "/path", "base URL"),
        ({"path": "/a/%2E%2e/b"}, "/path", "base URL"),
        ({"path": "/a b"}, "/path", "percent-encode"),
        ({"path": "/a\r\nx: y"}, "/path", "percent-encode"),
        ({"path": "/ä"}, "/path", "percent-encode"),
        ({"path": "/a#b"}, "/path", "percent-encode"),
        ({"types": frozenset({"question"})}, "/types", "'question' is outside the integration's envelope"),
        ({"types": frozenset({"search", "question"})}, "/types", "allows 'form', 'search'"),
        ({"capabilities": frozenset({"sea"})}, "/capabilities", "'sea'"),
        ({"types": frozenset()}, "/types", "at least one"),
        ({"tenants": frozenset({"x" * 201})}, "/tenants", "200 characters"),
        ({"tenants": frozenset(map(str, range(1_001)))}, "/tenants", "at most 1000"),
        ({"timeout_ms": 501}, "/timeout_ms", "501 is not between 1 and 500"),
        ({"timeout_ms": 0}, "/timeout_ms", "0 is not between"),
        ({"order": 2**40}, "/order", "not between"),
        ({"failure_policy": FailurePolicy.FAIL}, "/failure_policy", "outside the integration's envelope"),
    ],
)
def test_a_wrong_field_of_a_hook_is_named_with_its_limit(change: dict[str, Any], field: str, told: str) -> None:
    RULES.check_hook(GOOD_HOOK, NARROW)
    with pytest.raises(InvalidInput) as caught:
        RULES.check_hook(replace(GOOD_HOOK, **change), NARROW, "/3")
    assert fields_of(caught.value) == ["/3" + field]
    assert told in caught.value.detail


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        RULES.check_hook(HookDraft("X", "y", timeout_ms=-1), Envelope())
    assert fields_of(caught.value) == ["/name", "/path", "/timeout_ms"]


SECRET = SigningSecret(signature.new_secret(), 0.0)
INTEGRATION = Integration("int_1", "one", "https://hooks.example.com/base/", secrets=(SECRET,))
HOOK = Hook("hk_1", "int_1", "price", "/price?x=1", enabled=True)
SETS = st.none() | st.frozensets(st.sampled_from("abcd"), min_size=1)


@given(
    wanted=st.tuples(SETS, SETS, SETS),
    allowed=st.tuples(SETS, SETS, SETS),
    timeout_ms=st.none() | st.integers(1, 10_000),
    ceiling_ms=st.none() | st.integers(1, 10_000),
    fail=st.booleans(),
    may_fail=st.booleans(),
)
def test_a_hook_never_gets_more_than_its_envelope_allows(
    wanted: tuple[frozenset[str] | None, ...],
    allowed: tuple[frozenset[str] | None, ...],
    timeout_ms: int | None,
    ceiling_ms: int | None,
    fail: bool,
    may_fail: bool,
) -> None:
    envelope = Envelope(*allowed, ceiling_ms, FailurePolicy.FAIL if may_fail else FailurePolicy.IGNORE)
    hook = replace(
        HOOK,
        types=wanted[0],
        capabilities=wanted[1],
        tenants=wanted[2],
        timeout_ms=timeout_ms,
        failure_policy=FailurePolicy.FAIL if fail else FailurePolicy.IGNORE,
    )
    bound = RULES.bind(hook, replace(INTEGRATION, envelope=envelope))
    empty = any(w is not None and a is not None and not w & a for w, a in zip(wanted, allowed, strict=True))
    assert (bound is None) == empty
    if bound is None:
        return
    for got, asked, limit in zip((bound.types, bound.capabilities, bound.tenants), wanted, allowed, strict=True):
        assert limit is None or (got is not None and got <= limit)
        assert asked is None or (got is not None and got <= asked)
    assert bound.timeout <= min(timeout_ms or 1_000, ceiling_ms or 10_000) / 1000
    assert bound.fail == (fail and may_fail)


def test_a_hooks_url_is_its_base_url_followed_by_its_path() -> None:
    bound = RULES.bind(HOOK, INTEGRATION)
    assert bound is not None
    assert bound.endpoint.url == "https://hooks.example.com/base/price?x=1"


@pytest.mark.parametrize(
    ("hook", "integration"),
    [(replace(HOOK, enabled=False), INTEGRATION), (HOOK, replace(INTEGRATION, enabled=False))],
)
def test_what_is_switched_off_on_either_tier_is_not_called(hook: Hook, integration: Integration) -> None:
    assert RULES.bind(hook, integration) is None
