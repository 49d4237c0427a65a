"""Records for the exams of stores: small ones, and ones in which every field differs from its default."""

from __future__ import annotations

from gateway.model import (
    ApiKeyHash,
    CanaryBounds,
    Delivery,
    Envelope,
    FailurePolicy,
    Granularity,
    Hook,
    Integration,
    Mode,
    OnOverload,
    OnViolation,
    RowCount,
    SigningSecret,
    StickyBy,
    TlsSettings,
)


def integration(key: str, name: str | None = None) -> Integration:
    """A small integration with the id `key`."""
    return Integration(key, name or f"name-{key}", "https://hooks.example")


def hook(key: str, owner: str, name: str | None = None) -> Hook:
    """A small hook with the id `key`."""
    return Hook(key, owner, name or f"name-{key}", "/hook")


# Every field differs from its default, so that a field which does not come back is noticed.
FULL_INTEGRATION = Integration(
    id="int-full",
    name="full-ünï-\N{SNOWMAN}",
    base_url="https://hooks.example:8443/base",
    priority=-7,
    envelope=Envelope(
        types=frozenset({"search", "form"}),
        capabilities=frozenset({"a"}),
        tenants=frozenset(),
        max_timeout_ms=1500,
        failure_policy=FailurePolicy.FAIL,
        may_reject=True,
        signed_replies=True,
        reads=("/rows/*/price", "/meta"),
        writes=(),
        modes=frozenset({Mode.SHADOW, Mode.CANARY}),
        max_cache_seconds=12.5,
        max_growth=1.5,
        row_count=RowCount.MAY_SHRINK,
        rows_at="",
        keep=("/rows/*/id",),
        result_schema='{"type": "object"}',
    ),
    health_path="/healthz",
    enabled=False,
    version=12,
    created_at=1_700_000_000.25,
    updated_at=1_700_000_001.5,
    api_keys=(ApiKeyHash("sha256:b", 2.5), ApiKeyHash("sha256:a", 1.0, 99.125)),
    secrets=(SigningSecret("whsec_b", 2.5), SigningSecret("whsec_a", 1.0, 99.125)),
    signing_keys=(SigningSecret("whsk_b", 2.5), SigningSecret("whsk_a", 1.0, 99.125)),
    client_key_pem="-----BEGIN PRIVATE KEY-----\nb\n-----END PRIVATE KEY-----\n",
    reply_public_keys=("whpk_b", "whpk_a"),
    tls=TlsSettings(ca_pem="ca", client_certificate_pem="certificate", server_name="hooks.internal"),
)
FULL_HOOK = Hook(
    id="hk-full",
    integration_id="int-full",
    name="full.hook-1",
    path="/hooks/full?x=1",
    types=frozenset({"search"}),
    capabilities=frozenset({"a", "b"}),
    tenants=frozenset(),
    order=-3,
    timeout_ms=250,
    failure_policy=FailurePolicy.FAIL,
    delivery=Delivery.BINARY,
    enabled=True,
    reason='it\'s "gone"\n\N{SNOWMAN}',
    generation=41,
    version=5,
    lease_expires_at=1_700_000_100.75,
    owned_url="https://hooks.example:8443/base/hooks/full",
    created_at=1_700_000_000.25,
    updated_at=1_700_000_001.5,
    suspended="its health check fails",
    max_concurrency=7,
    on_overload=OnOverload.SKIP,
    retry=True,
    fresh_since=4,
    condition='query.tenant == "acme"',
    reads=("/rows/*/price", "/ro~1ws/\N{SNOWMAN}"),
    writes=(),
    on_violation=OnViolation.DROP,
    max_growth=2.0,
    row_count=RowCount.SAME,
    keep=("/rows/*/id",),
    result_schema='{"type": "object"}',
    granularity=Granularity.ROWS,
    rows_at="/rows",
    batch_rows=500,
    coalesce=True,
    cache=False,
    mode=Mode.CANARY,
    percent=12.5,
    sticky_by=StickyBy.QUERY,
    bounds=CanaryBounds(failure_percent=1.5, p95_ms=250.0, change_percent=40.0, min_calls=7),
    stepped_back="5 of 20 calls failed",
)
