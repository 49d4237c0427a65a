"""The settings about the query APIs behind the standalone gateway: time limits, connections, health."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from gateway.config.kinds import FROZEN, Count
from gateway.transport.origin import parse_origin

_TARGET: Final = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*")


def _url(text: str) -> str:
    return str(parse_origin(text))


def _target(text: str) -> str:
    if not _TARGET.fullmatch(text):
        raise ValueError('must be a path, such as "/healthz", with other characters than those of URLs %-encoded')
    return text


UpstreamUrl = Annotated[str, AfterValidator(_url)]


class UpstreamSettings(BaseModel):
    """[upstreams]: what holds for each query API behind the standalone gateway."""

    model_config = FROZEN

    connect_timeout_ms: Count = Field(
        default=5_000,
        ge=1,
        le=300_000,
        description="How long a connection may take to be made, name resolution and TLS included, in ms.",
    )
    answer_timeout_seconds: Count = Field(
        default=60,
        ge=1,
        le=86_400,
        description="How long an upstream may take until the head of its answer, in seconds, from the end of the "
        "request on. Then it is 504.",
    )
    idle_timeout_seconds: Count = Field(
        default=60,
        ge=0,
        le=86_400,
        description="How long it may be silent in the middle of an answer, in seconds; 0: for ever. Server-sent events "
        "and upgraded connections may always be silent: a host that is gone is noticed by TCP keep-alive.",
    )
    write_timeout_seconds: Count = Field(
        default=30,
        ge=1,
        le=86_400,
        description="How long it may take nothing of a request that is being sent, in seconds.",
    )
    max_connections: Count = Field(
        default=512,
        ge=1,
        le=65_536,
        description="How many connections there may be to one upstream, idle ones included.",
    )
    wait_ms: Count = Field(
        default=1_000,
        ge=0,
        le=300_000,
        description="How long a request waits while all of them are in use, in ms. Then it is 503.",
    )
    keep_alive_seconds: Count = Field(
        default=30,
        ge=0,
        le=86_400,
        description="How long a connection without a request is kept, in seconds; 0: not at all. Less, if the upstream "
        "says so in `Keep-Alive: timeout=…`.",
    )
    max_header_bytes: Count = Field(
        default=65_536,
        ge=1_024,
        le=16 * 1024 * 1024,
        description="The largest head of an answer, and the most that chunks may take beyond their content.",
    )
    retries: Count = Field(
        default=1,
        ge=0,
        le=10,
        description="How often a request is sent anew, on a new connection, if it broke before a byte of an answer "
        "came. Only GET, HEAD, OPTIONS, TRACE, PUT and DELETE, and only if the gateway still has the whole body.",
    )
    ca_file: Path | None = Field(
        default=None,
        description="A PEM file with the only authorities whose certificates are accepted from https upstreams; unset, "
        "those of the system.",
    )
    down_after_failures: Count = Field(
        default=3,
        ge=1,
        le=1_000,
        description="An upstream is down after so many failed connections or health checks in a row.",
    )
    down_ms: Count = Field(
        default=1_000,
        ge=10,
        le=3_600_000,
        description="How long it is left alone then, in ms, before the gateway tries again; each next time twice as "
        "long. Requests for it are 502 at once in the meantime.",
    )
    max_down_ms: Count = Field(
        default=30_000,
        ge=10,
        le=3_600_000,
        description="The longest time between two such tries, in ms. At least upstreams.down_ms.",
    )
    health_path: Annotated[str, AfterValidator(_target)] | None = Field(
        default=None,
        description="A path of each upstream that is asked by GET now and then: 2xx and 3xx are good answers. Unset, "
        "only connections that fail tell that an upstream is down.",
    )
    health_interval_seconds: Count = Field(
        default=10,
        ge=1,
        le=86_400,
        description="How often it is asked, in seconds.",
    )
    health_timeout_ms: Count = Field(
        default=2_000,
        ge=1,
        le=300_000,
        description="How long such an answer may take, in ms.",
    )

    @model_validator(mode="after")
    def _times_fit(self) -> Self:
        if self.down_ms > self.max_down_ms:
            raise ValueError(
                f"down_ms ({self.down_ms}) must be at most max_down_ms ({self.max_down_ms}); "
                "lower the one or raise the other",
            )
        return self
