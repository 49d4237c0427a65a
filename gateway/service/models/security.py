"""Keys, TLS and health of an integration as the control API takes and gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field

from gateway.model import TlsSettings
from gateway.service.models.base import ApiModel, Time, rfc3339
from gateway.wire.ed25519 import public_key_of

if TYPE_CHECKING:
    from gateway.model import Integration
    from gateway.registry import Health

__all__ = ["HealthView", "PublicKeys", "SigningPublicKey", "TlsDraft", "TlsView"]

_MOST: Final = 65_536
_PUBLIC_KEY: Final = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
_BEGIN: Final = "-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----\n"

# The registry checks the form, with a sentence of its own.
_PublicKey = Annotated[
    str,
    Field(max_length=100, json_schema_extra={"pattern": "^whpk_[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$"}),
]
PublicKeys = Annotated[
    list[_PublicKey],
    Field(
        max_length=4,
        description="Ed25519 keys that its replies may be signed with (v1a), besides the shared secret.",
        examples=[[_PUBLIC_KEY]],
    ),
]
_CaPem = Annotated[
    str,
    Field(
        max_length=_MOST,
        description="The only authorities whose certificates are accepted, instead of the system's: PEM.",
        examples=[_BEGIN],
    ),
]
_CertificatePem = Annotated[
    str,
    Field(
        max_length=_MOST,
        description="The certificate that the gateway shows, with those between it and its authority: PEM.",
        examples=[_BEGIN],
    ),
]
_ServerName = Annotated[
    str,
    Field(
        max_length=253,
        description="The name that is asked for and that the certificate must have, instead of the URL's host.",
        examples=["hooks.internal.example"],
    ),
]


class TlsDraft(ApiModel):
    """How connections are secured. In a change, what is left out stays, and null takes a part away."""

    ca_pem: _CaPem | None = None
    client_certificate_pem: _CertificatePem | None = None
    client_key_pem: str | None = Field(
        default=None,
        max_length=_MOST,
        repr=False,
        description="The private key of the client certificate: PEM, without a pass phrase. Never shown.",
        examples=["-----BEGIN PRIVATE KEY-----\n…\n-----END PRIVATE KEY-----\n"],
        json_schema_extra={"writeOnly": True},
    )
    server_name: _ServerName | None = None

    def settings(self) -> TlsSettings:
        """What is not secret of it."""
        return TlsSettings(**self.model_dump(exclude={"client_key_pem"}))

    def given(self) -> dict[str, Any]:
        """The parts that were sent."""
        return self.model_dump(exclude_unset=True)


class TlsView(ApiModel):
    """How connections are secured; the client certificate's key is not shown."""

    ca_pem: str | None = Field(description="The only authorities whose certificates are accepted.", examples=[_BEGIN])
    client_certificate_pem: str | None = Field(description="What the gateway shows.", examples=[None])
    server_name: str | None = Field(description="The name that the certificate must have.", examples=[None])

    @classmethod
    def of(cls, integration: Integration) -> TlsView | None:
        """The view of an integration's TLS settings, if it has any."""
        tls = integration.tls
        if tls is None:
            return None
        return cls(ca_pem=tls.ca_pem, client_certificate_pem=tls.client_certificate_pem, server_name=tls.server_name)


class SigningPublicKey(ApiModel):
    """A key that calls are signed with, for whoever verifies them."""

    public_key: str = Field(description="Verifies signatures of the scheme v1a.", examples=[_PUBLIC_KEY])
    expires_at: Time | None = Field(description="Until when calls are signed with it; null: until it is replaced.")

    @classmethod
    def all_of(cls, integration: Integration) -> list[SigningPublicKey]:
        """The keys that calls of an integration are signed with, the newest first."""
        return [
            cls(
                public_key=public_key_of(key.secret),
                expires_at=None if key.expires_at is None else rfc3339(key.expires_at),
            )
            for key in integration.signing_keys
        ]


class HealthView(ApiModel):
    """What the health checks of an integration say."""

    status: Literal["unknown", "up", "down"] = Field(
        description="down: its hooks are suspended until it answers as it should.", examples=["up"]
    )
    checked_at: Time | None = Field(description="When it was last asked.")
    detail: str | None = Field(description="What was wrong the last time.", examples=[None])

    @classmethod
    def of(cls, health: Health) -> HealthView:
        """The view of an integration's health."""
        return cls(
            status=health.status.value,
            checked_at=None if health.checked_at is None else rfc3339(health.checked_at),
            detail=health.detail,
        )
