"""What goes into the registry and what comes out of its changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.model import (
    Delivery,
    Envelope,
    FailurePolicy,
    Granularity,
    Mode,
    OnOverload,
    OnViolation,
    StickyBy,
)

if TYPE_CHECKING:
    from gateway.model import CanaryBounds, Integration, RowCount, TlsSettings


@dataclass(frozen=True, slots=True)
class IntegrationDraft:
    """What an operator says of an integration server. Fields as in `gateway.model.Integration`.

    `client_key_pem` is the private key of `tls.client_certificate_pem`. `secret` (`whsec_…`) is what calls are signed
    with, where the integration server has it already; without it, one is made.
    """

    name: str
    base_url: str
    priority: int = 0
    envelope: Envelope = field(default_factory=Envelope)
    health_path: str | None = None
    enabled: bool = True
    reply_public_keys: tuple[str, ...] = ()
    tls: TlsSettings | None = None
    client_key_pem: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class HookDraft:
    """What an integration server says of one of its hooks. Fields as in `gateway.model.Hook`."""

    name: str
    path: str
    types: frozenset[str] | None = None
    capabilities: frozenset[str] | None = None
    tenants: frozenset[str] | None = None
    order: int = 0
    timeout_ms: int | None = None
    failure_policy: FailurePolicy = FailurePolicy.IGNORE
    delivery: Delivery = Delivery.STRUCTURED
    max_concurrency: int | None = None
    on_overload: OnOverload = OnOverload.WAIT
    retry: bool = False
    condition: str | None = None
    reads: tuple[str, ...] | None = None
    writes: tuple[str, ...] | None = None
    on_violation: OnViolation = OnViolation.FAIL
    max_growth: float | None = None
    row_count: RowCount | None = None
    keep: tuple[str, ...] | None = None
    result_schema: str | None = None
    granularity: Granularity = Granularity.RESULT
    rows_at: str | None = None
    batch_rows: int | None = None
    coalesce: bool = False
    cache: bool = True
    mode: Mode = Mode.ACTIVE
    percent: float | None = None
    sticky_by: StickyBy = StickyBy.TENANT
    bounds: CanaryBounds | None = None


@dataclass(frozen=True, slots=True)
class HookChoice:
    """Which hooks a bulk change is about: those that fit every given criterion.

    `ids`: these very hooks. `types`, `capabilities`: hooks that serve any of them (a hook that names
    none serves all). At least one criterion must be given.
    """

    ids: frozenset[str] | None = None
    types: frozenset[str] | None = None
    capabilities: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Registered:
    """A new integration and its credentials, told this once."""

    integration: Integration
    api_key: str = field(repr=False)
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rotated:
    """An integration with a new credential. `value` is told this once; of a signing key, it is the public one.

    `previous_expires_at` (seconds since 1970) is when the old ones cease to hold; `None` if there were none.
    """

    integration: Integration
    value: str = field(repr=False)
    previous_expires_at: float | None
