"""The settings about roll-outs, and about what is remembered of calls for people who ask why."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, SecretStr

from gateway.config.kinds import FROZEN, Count, Switch
from gateway.config.values import parse_operator_key
from gateway.wire.redaction import parse_pattern


def _pattern(value: str) -> str:
    parse_pattern(value)
    return value


def _key(value: SecretStr) -> SecretStr:
    parse_operator_key(value.get_secret_value())
    return value


class JournalSettings(BaseModel):
    """[journal]: what is remembered of calls, in memory."""

    model_config = FROZEN

    calls_per_hook: Count = Field(
        default=100,
        ge=0,
        le=10_000,
        description="How many of the latest calls of a hook are remembered; 0: none.",
    )
    max_hooks: Count = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="Of how many hooks; past it, those remembered longest are forgotten.",
    )
    bodies: Switch = Field(
        default=False,
        description="Whether what was sent and what came back is remembered, too. It costs time in every call.",
    )
    max_body_bytes: Count = Field(
        default=16 * 1024,
        ge=0,
        le=8 * 1024 * 1024,
        description="How much of a body is remembered. Results beyond it are not compared.",
    )
    max_bytes: Count = Field(
        default=16 * 1024 * 1024,
        ge=0,
        le=4 * 1024 * 1024 * 1024,
        description="The memory that bodies and diffs may take, all calls together; the same again for traces.",
    )
    redact: tuple[Annotated[str, AfterValidator(_pattern)], ...] = Field(
        default=(),
        description='What is never shown of bodies and diffs: JSON Pointers into `{"query", "result"}`, with `*` for '
        "any element or member, such as `/result/rows/*/email`.",
    )
    max_traces: Count = Field(
        default=100,
        ge=0,
        le=10_000,
        description="How many traces of queries with the header `gateway-debug` are kept.",
    )
    debug_keys: tuple[Annotated[SecretStr, AfterValidator(_key)], ...] = Field(
        default=(),
        description="Keys for the header `gateway-debug`, at least 16 characters each, beside the operator keys. They "
        "have a query traced and reach nothing else.",
    )


class RolloutSettings(BaseModel):
    """[rollout]: hooks in shadow, and canaries."""

    model_config = FROZEN

    shadow_calls: Count = Field(
        default=100,
        ge=0,
        le=10_000,
        description="How many calls of hooks in shadow may be under way; past it, they are skipped. At most half of "
        "calls.max_concurrency_total is used.",
    )
    shadow_calls_per_hook: Count = Field(
        default=10,
        ge=0,
        le=10_000,
        description="How many of them may be of one hook.",
    )
    shadow_bytes: Count = Field(
        default=64 * 1024 * 1024,
        ge=0,
        le=4 * 1024 * 1024 * 1024,
        description="How large the results may be together that they hold.",
    )
    window_seconds: Count = Field(
        default=300,
        ge=1,
        le=86_400,
        description="The time that is looked back on when the calls of a canary are compared with its bounds.",
    )
    failure_percent: Count = Field(
        default=10,
        ge=0,
        le=100,
        description="How many of 100 calls of a canary may fail that names no bounds; 100: it never steps back.",
    )
    min_calls: Count = Field(
        default=20,
        ge=1,
        le=1_000_000,
        description="From fewer calls than these of such a canary nothing is concluded.",
    )
