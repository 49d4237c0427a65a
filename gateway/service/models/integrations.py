"""Integrations as the control API takes and gives them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, RootModel

from gateway.model import Envelope
from gateway.registry import IntegrationDraft
from gateway.service.models.base import ApiModel, Time, listed, pointers, rfc3339, to_model
from gateway.service.models.fields import (
    MAX_LEASE_SECONDS,
    BaseUrl,
    Enabled,
    HealthPath,
    Id,
    IntegrationName,
    MaxTimeoutMs,
    NextCursor,
    Policy,
    Priority,
    Version,
    Words,
)
from gateway.service.models.plan_fields import (
    Keep,
    MaxCacheSeconds,
    MaxGrowth,
    ModeName,
    Modes,
    Reads,
    ResultSchema,
    RowCountName,
    RowsAt,
    Writes,
)
from gateway.service.models.security import HealthView, PublicKeys, SigningPublicKey, TlsDraft, TlsView

if TYPE_CHECKING:
    from gateway.model import Integration
    from gateway.registry import Health, Registered, Rotated

__all__ = [
    "CredentialOrder",
    "EnvelopeDraft",
    "EnvelopeView",
    "IntegrationChange",
    "IntegrationPage",
    "IntegrationRequest",
    "IntegrationView",
    "NewCredential",
    "NewIntegration",
]

_ALLOWED = "null allows any."


class EnvelopeDraft(ApiModel):
    """The ceiling of what an integration's hooks may do. In a change, what is left out stays."""

    types: Words | None = Field(
        default=None, description=f"The query types it may serve; {_ALLOWED}", examples=[["search"]]
    )
    capabilities: Words | None = Field(
        default=None, description=f"The capabilities it may serve; {_ALLOWED}", examples=[["prices"]]
    )
    tenants: Words | None = Field(
        default=None, description=f"The tenants it may serve; {_ALLOWED}", examples=[["acme"]]
    )
    max_timeout_ms: MaxTimeoutMs | None = Field(default=None)
    failure_policy: Policy = "ignore"
    may_reject: bool = Field(default=False, description="Whether a 422 of a hook rejects the query.", examples=[False])
    signed_replies: bool = Field(
        default=False, description="Whether a reply without a valid signature is a failure.", examples=[False]
    )

    reads: Reads | None = None
    writes: Writes | None = None
    modes: Modes | None = None
    max_cache_seconds: MaxCacheSeconds | None = None
    max_growth: MaxGrowth | None = None
    row_count: RowCountName | None = None
    rows_at: RowsAt | None = None
    keep: Keep | None = None
    result_schema: ResultSchema | None = None

    def given(self) -> dict[str, Any]:
        """The fields that were sent, as `gateway.model.Envelope` has them."""
        return to_model(self.model_dump(exclude_unset=True))


class IntegrationRequest(ApiModel):
    """What an operator says of a new integration server."""

    name: IntegrationName
    base_url: BaseUrl
    priority: Priority = 0
    envelope: EnvelopeDraft = Field(default_factory=EnvelopeDraft, description="The ceiling of what its hooks may do.")
    health_path: HealthPath | None = Field(default=None)
    enabled: Enabled = True
    reply_public_keys: PublicKeys = Field(default_factory=list)
    tls: TlsDraft | None = Field(default=None, description="How connections to it are secured; null: as all others.")

    def draft(self) -> IntegrationDraft:
        """The same for the registry."""
        return IntegrationDraft(
            name=self.name,
            base_url=self.base_url,
            priority=self.priority,
            envelope=Envelope(**self.envelope.given()),
            health_path=self.health_path,
            enabled=self.enabled,
            reply_public_keys=tuple(self.reply_public_keys),
            tls=None if self.tls is None else self.tls.settings(),
            client_key_pem=None if self.tls is None else self.tls.client_key_pem,
        )


class IntegrationChange(ApiModel):
    """A merge patch (RFC 7396): what is left out stays; null, where allowed, is the default."""

    # The factories make a field optional without a default in the schema; their values are never read.
    name: IntegrationName = Field(default_factory=str)
    base_url: BaseUrl = Field(default_factory=str)
    priority: Priority = Field(default_factory=int)
    envelope: EnvelopeDraft = Field(default_factory=EnvelopeDraft, description="Merged into the present envelope.")
    health_path: HealthPath | None = Field(default_factory=lambda: None)
    enabled: Enabled = Field(default_factory=bool)
    reply_public_keys: PublicKeys = Field(default_factory=list)
    tls: TlsDraft | None = Field(
        default_factory=lambda: None, description="Merged into the present settings; null: as for all others."
    )

    def given(self) -> dict[str, Any]:
        """The fields that were sent, for the registry."""
        values = {name: getattr(self, name) for name in self.model_fields_set}
        if "envelope" in values:
            values["envelope"] = self.envelope.given()
        if self.tls is not None:
            values["tls"] = self.tls.given()
        return values


class EnvelopeView(ApiModel):
    """The ceiling of what an integration's hooks may do; null allows any."""

    types: list[str] | None = Field(description="The query types it may serve.", examples=[["search"]])
    capabilities: list[str] | None = Field(description="The capabilities it may serve.", examples=[["prices"]])
    tenants: list[str] | None = Field(description="The tenants it may serve.", examples=[None])
    max_timeout_ms: int | None = Field(description="The highest time limit of a hook.", examples=[2000])
    failure_policy: Literal["ignore", "fail"] = Field(
        description="The most severe policy of a hook.", examples=["ignore"]
    )
    may_reject: bool = Field(description="Whether a 422 of a hook rejects the query.", examples=[False])
    signed_replies: bool = Field(description="Whether an unsigned reply is a failure.", examples=[False])
    reads: list[str] | None = Field(description="What of a result may be sent to its hooks.", examples=[None])
    writes: list[str] | None = Field(description="What of a result its hooks may change.", examples=[None])
    modes: list[ModeName] | None = Field(description="The modes that its hooks may have.", examples=[None])
    max_cache_seconds: float | None = Field(description="For how long replies may be used again.", examples=[None])
    max_growth: float | None = Field(description="How many times as large a result may get.", examples=[None])
    row_count: RowCountName | None = Field(description="How the number of rows may differ.", examples=[None])
    rows_at: str | None = Field(description="Where the array of rows is, for row_count.", examples=[None])
    keep: list[str] | None = Field(description="What must be there after each hook as it was.", examples=[None])
    result_schema: dict[str, Any] | None = Field(description="What results must meet after each hook.", examples=[None])

    @classmethod
    def of(cls, envelope: Envelope) -> EnvelopeView:
        """The view of an envelope."""
        return cls(
            types=listed(envelope.types),
            capabilities=listed(envelope.capabilities),
            tenants=listed(envelope.tenants),
            max_timeout_ms=envelope.max_timeout_ms,
            failure_policy=envelope.failure_policy.value,
            may_reject=envelope.may_reject,
            signed_replies=envelope.signed_replies,
            reads=pointers(envelope.reads),
            writes=pointers(envelope.writes),
            modes=None if envelope.modes is None else sorted(mode.value for mode in envelope.modes),
            max_cache_seconds=envelope.max_cache_seconds,
            max_growth=envelope.max_growth,
            row_count=None if envelope.row_count is None else envelope.row_count.value,
            rows_at=envelope.rows_at,
            keep=pointers(envelope.keep),
            result_schema=None if envelope.result_schema is None else json.loads(envelope.result_schema),
        )


class IntegrationView(ApiModel):
    """A registered integration server, without its credentials."""

    id: Id = Field(examples=["int_1c9d7x2k4m6p8q0r"])
    name: IntegrationName
    base_url: BaseUrl
    priority: Priority
    envelope: EnvelopeView
    health_path: str | None = Field(description="Where it answers health checks.", examples=["/health"])
    enabled: Enabled
    reply_public_keys: list[str] = Field(
        description="Ed25519 keys that its replies may be signed with, besides the shared secret.", examples=[[]]
    )
    signing_public_keys: list[SigningPublicKey] = Field(
        description="Ed25519 keys that calls to it are signed with, besides the shared secret; the newest first."
    )
    tls: TlsView | None = Field(description="How connections to it are secured; null: as all others.")
    health: HealthView | None = Field(description="What its health checks say; null without a health_path.")
    version: Version
    created_at: Time
    updated_at: Time

    @classmethod
    def of(cls, integration: Integration, health: Health | None = None) -> IntegrationView:
        """The view of an integration, with what its health checks say."""
        return cls(**_viewed(integration, health))


class NewIntegration(IntegrationView):
    """A new integration with its credentials, shown this once."""

    api_key: str = Field(description="Its key for this API. Not shown again.", examples=["gwk_…"])
    secret: str = Field(description="Signs the calls (Standard Webhooks). Not shown again.", examples=["whsec_…"])

    @classmethod
    def made(cls, registered: Registered, health: Health | None = None) -> NewIntegration:
        """The view of what the registry just made."""
        return cls(**_viewed(registered.integration, health), api_key=registered.api_key, secret=registered.secret)


class IntegrationPage(ApiModel):
    """A page of integrations, sorted by name."""

    items: list[IntegrationView] = Field(description="The integrations.")
    next_cursor: NextCursor


class CredentialOrder(ApiModel):
    """Which credential is to be replaced, or made: a signing key is an Ed25519 key pair for v1a signatures."""

    what: Literal["api_key", "secret", "signing_key"] = Field(description="The one to replace.", examples=["secret"])
    grace_seconds: float = Field(
        default=3600,
        ge=0,
        le=MAX_LEASE_SECONDS,
        description="How long the old one holds beside the new one; 0 ends it at once.",
        examples=[3600],
    )


class NewApiKey(ApiModel):
    """A new API key, shown this once."""

    what: Literal["api_key"] = Field(description="What was replaced.", examples=["api_key"])
    api_key: str = Field(description="The new key.", examples=["gwk_…"])
    previous_expires_at: Time | None = Field(description="Until when the old one holds; null: it ended at once.")


class NewSecret(ApiModel):
    """A new signing secret, shown this once."""

    what: Literal["secret"] = Field(description="What was replaced.", examples=["secret"])
    secret: str = Field(description="The new secret.", examples=["whsec_…"])
    previous_expires_at: Time | None = Field(description="Until when the old one holds; null: it ended at once.")


class NewSigningKey(ApiModel):
    """The public part of a new signing key; the gateway keeps the private one."""

    what: Literal["signing_key"] = Field(description="What was replaced.", examples=["signing_key"])
    public_key: str = Field(description="Verifies the calls' v1a signatures.", examples=["whpk_…"])
    previous_expires_at: Time | None = Field(description="Until when the old one signs, too; null: there is none.")


class NewCredential(RootModel[NewApiKey | NewSecret | NewSigningKey]):
    """The new credential, shown this once."""

    @classmethod
    def made(cls, what: Literal["api_key", "secret", "signing_key"], rotated: Rotated) -> NewCredential:
        """The view of what the registry just made."""
        until = None if rotated.previous_expires_at is None else rfc3339(rotated.previous_expires_at)
        if what == "api_key":
            return cls(NewApiKey(what=what, api_key=rotated.value, previous_expires_at=until))
        if what == "signing_key":
            return cls(NewSigningKey(what=what, public_key=rotated.value, previous_expires_at=until))
        return cls(NewSecret(what=what, secret=rotated.value, previous_expires_at=until))


def _viewed(integration: Integration, health: Health | None = None) -> dict[str, Any]:
    return {
        "id": integration.id,
        "name": integration.name,
        "base_url": integration.base_url,
        "priority": integration.priority,
        "envelope": EnvelopeView.of(integration.envelope),
        "health_path": integration.health_path,
        "enabled": integration.enabled,
        "reply_public_keys": list(integration.reply_public_keys),
        "signing_public_keys": SigningPublicKey.all_of(integration),
        "tls": TlsView.of(integration),
        "health": None if health is None else HealthView.of(health),
        "version": integration.version,
        "created_at": rfc3339(integration.created_at),
        "updated_at": rfc3339(integration.updated_at),
    }
