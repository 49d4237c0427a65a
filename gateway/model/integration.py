"""Tier one: a registered integration server, and the ceiling the operator set for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from gateway.model.rollout import Mode  # noqa: TC001  a store reads the types of the fields
from gateway.model.scope import RowCount  # noqa: TC001


class FailurePolicy(StrEnum):
    """What a hook's failure means for the query."""

    IGNORE = "ignore"  # the last good result is the answer
    FAIL = "fail"  # the caller gets an error


class Delivery(StrEnum):
    """How a call is put into HTTP (CloudEvents 1.0 HTTP binding)."""

    STRUCTURED = "structured"
    BINARY = "binary"


@dataclass(frozen=True, slots=True)
class Envelope:
    """The operator's ceiling for an integration. `None` means: no limit set here.

    `types`, `capabilities`, `tenants`: what its hooks may serve. `max_timeout_ms`: the highest time
    limit of a hook; `None` is the gateway's own ceiling. `failure_policy`: the most severe policy a hook
    may choose (`ignore` is less severe than `fail`). `may_reject`: whether a 422 reply rejects the query.
    `signed_replies`: whether a reply without a valid signature is a failure.

    `reads`, `writes`: the JSON Pointers (with `*` for any element or member) that its hooks may see and change;
    `modes`: how they may go live; `max_cache_seconds`: how long a reply may be used again (`None` is the gateway's own
    ceiling). `max_growth`, `row_count`, `rows_at`, `keep` and `result_schema` hold for every reply of its hooks, beside
    what a hook declares itself (see `Hook`).
    """

    types: frozenset[str] | None = None
    capabilities: frozenset[str] | None = None
    tenants: frozenset[str] | None = None
    max_timeout_ms: int | None = None
    failure_policy: FailurePolicy = FailurePolicy.IGNORE
    may_reject: bool = False
    signed_replies: bool = False
    reads: tuple[str, ...] | None = None
    writes: tuple[str, ...] | None = None
    modes: frozenset[Mode] | None = None
    max_cache_seconds: float | None = None
    max_growth: float | None = None
    row_count: RowCount | None = None
    rows_at: str | None = None
    keep: tuple[str, ...] | None = None
    result_schema: str | None = None


@dataclass(frozen=True, slots=True)
class ApiKeyHash:
    """A stored API key: `digest` is what `gateway.registry.credentials` makes of it, never the key itself.

    `expires_at` in seconds since 1970.
    """

    digest: str = field(repr=False)
    created_at: float
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """What calls are signed with: a shared secret (`whsec_…`) or an Ed25519 key (`whsk_…`).

    `expires_at` in seconds since 1970, or `None`.
    """

    secret: str = field(repr=False)
    created_at: float
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How connections to an integration are secured, where it differs from other integrations.

    `ca_pem`: the only authorities whose certificates are accepted, instead of the system's.
    `client_certificate_pem`: what the gateway shows of itself; its key is `Integration.client_key_pem`.
    `server_name`: the name that is asked for and that the certificate must have, instead of the URL's host.
    """

    ca_pem: str | None = field(default=None, repr=False)
    client_certificate_pem: str | None = field(default=None, repr=False)
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class Integration:
    """A registered integration server.

    Integrations run by `priority`, higher first, then by name. `enabled` is the operator's own switch.
    `version` counts the changes of this record (its ETag). Times are seconds since 1970, UTC.
    `reply_public_keys` (`whpk_…`) are those that its replies may be signed with, besides the shared secrets.
    Newer keys and secrets come first.
    """

    id: str
    name: str
    base_url: str
    priority: int = 0
    envelope: Envelope = Envelope()
    health_path: str | None = None
    enabled: bool = True
    version: int = 1
    created_at: float = 0.0
    updated_at: float = 0.0
    api_keys: tuple[ApiKeyHash, ...] = field(default=(), repr=False)
    secrets: tuple[SigningSecret, ...] = field(default=(), repr=False)
    signing_keys: tuple[SigningSecret, ...] = field(default=(), repr=False)
    client_key_pem: str | None = field(default=None, repr=False)
    reply_public_keys: tuple[str, ...] = ()
    tls: TlsSettings | None = None
