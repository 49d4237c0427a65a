"""The settings of the server that clients speak to: what a request may be, and how long a client may take."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, model_validator

from gateway.config.kinds import FROZEN, Count, SocketMode, Switch, certificate_named


class ServerSettings(BaseModel):
    """[server]: the standalone gateway towards its clients."""

    model_config = FROZEN

    max_header_bytes: Count = Field(
        default=32 * 1024,
        ge=1024,
        le=1024 * 1024,
        description="The largest head of a request, from its first line to the empty one; past it, 431. "
        "Holds for the trailers behind a body, too.",
    )
    max_headers: Count = Field(
        default=100,
        ge=1,
        le=10_000,
        description="How many headers a request may have; past it, 431.",
    )
    max_target_bytes: Count = Field(
        default=8 * 1024,
        ge=64,
        le=1024 * 1024,
        description="The longest path with query; past it, 414.",
    )
    max_connections: Count = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="How many connections of clients may be open at once, in each worker. "
        "One more is answered with 503 and closed.",
    )
    head_timeout_seconds: Count = Field(
        default=10,
        ge=1,
        le=3600,
        description="How long a request's head may take to come, from its first byte; "
        "on a new connection, from the connection's start; past it, 408.",
    )
    body_timeout_seconds: Count = Field(
        default=30,
        ge=1,
        le=86_400,
        description="How long the gateway waits for more of a request's body; past it, the request fails with 408.",
    )
    idle_timeout_seconds: Count = Field(
        default=75,
        ge=1,
        le=86_400,
        description="How long a connection stays open between two requests.",
    )
    write_timeout_seconds: Count = Field(
        default=30,
        ge=1,
        le=86_400,
        description="How long a client may take none of its answer; past it, the connection is broken off.",
    )
    socket_mode: SocketMode = Field(
        default="660",
        description="The mode of the file, in octal, where the gateway listens on a Unix socket.",
    )
    tls_certificate: Path | None = Field(
        default=None,
        description="A PEM file with a certificate and its intermediates: the gateway then speaks TLS 1.2 and 1.3. "
        "A file that changes is in use within ten seconds, or at a reload.",
    )
    tls_key: Path | None = Field(
        default=None,
        description="A PEM file with the certificate's private key, without a passphrase; unset, it is in the same "
        "file.",
    )
    ready_delay_seconds: Count = Field(
        default=0,
        ge=0,
        le=3600,
        description="How long, after SIGTERM, the gateway still accepts while `/readyz` is 503 already: the time in "
        "which a load balancer takes notice. Behind one, 5 or more.",
    )
    drain_seconds: Count = Field(
        default=20,
        ge=0,
        le=86_400,
        description="How long, after that, requests in flight may take before they are broken off.",
    )
    access_log: Switch = Field(
        default=False,
        description="Whether each answered request is a line of the log, `request.answered`, whatever the level.",
    )
    access_log_query: Switch = Field(
        default=False,
        description="Whether such a line has the query string, too. Query strings hold names, and sometimes keys.",
    )

    @model_validator(mode="after")
    def _certificate_fits(self) -> Self:
        return certificate_named(self)
