"""The settings of the control API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, Field, SecretStr, model_validator

from gateway.config.kinds import FROZEN, Count, ListenAddress, SocketMode, certificate_named
from gateway.config.values import Address, parse_operator_key


def _key(value: SecretStr) -> SecretStr:
    parse_operator_key(value.get_secret_value())
    return value


OperatorKey = Annotated[SecretStr, AfterValidator(_key)]


class ControlSettings(BaseModel):
    """[control]: the control API."""

    model_config = FROZEN

    listen: ListenAddress = Field(
        default=Address("127.0.0.1", 8081),
        description="Where the control API, /metrics and the health checks listen: as for the gateway.",
    )
    operator_keys: tuple[OperatorKey, ...] = Field(
        default=(),
        description="Bearer keys of operators, at least 16 characters each. "
        "With none at all, one is made and printed at the first start.",
    )
    operator_keys_file: Path | None = Field(
        default=None,
        description="A file with further operator keys, one a line; empty lines do not count.",
    )
    max_body_bytes: Count = Field(
        default=1024 * 1024,
        ge=1024,
        le=64 * 1024 * 1024,
        description="The largest request body that the control API reads; past it, 413.",
    )
    max_failed_auth: Count = Field(
        default=20,
        ge=0,
        le=1_000_000,
        description="How many keys that are not valid one source address may send in a window; past it, 429. "
        "0 is no limit. Behind a proxy, all callers share its address.",
    )
    failed_auth_window_seconds: Count = Field(
        default=60,
        ge=1,
        le=86_400,
        description="How long such a window is, from the first wrong key on. A valid key ends it.",
    )
    socket_mode: SocketMode = Field(
        default="660",
        description="The mode of the file, in octal, where the control API listens on a Unix socket.",
    )
    tls_certificate: Path | None = Field(
        default=None,
        description="As `server.tls_certificate`, for the control API.",
    )
    tls_key: Path | None = Field(
        default=None,
        description="As `server.tls_key`, for the control API.",
    )

    @model_validator(mode="after")
    def _certificate_fits(self) -> Self:
        return certificate_named(self)
