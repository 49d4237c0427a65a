"""Provenance as response headers: `gateway-hooks` (RFC 8941 list) and `Server-Timing` (W3C)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.model import Outcome
    from gateway.pipeline.answer import Answer

HOOKS: Final = "gateway-hooks"
SERVER_TIMING: Final = "Server-Timing"
TRACE_ID: Final = "gateway-trace-id"
_HOOKS: Final = HOOKS.encode()
_SERVER_TIMING: Final = SERVER_TIMING.lower().encode()
_TRACE_ID: Final = TRACE_ID.encode()


def hooks_header(outcomes: Iterable[Outcome]) -> str:
    """The value of `gateway-hooks`, like `price-fx;applied;ms=3.1, geo;failed;reason=timeout;ms=1000`."""
    return ", ".join([_item(outcome) for outcome in outcomes])


def _item(outcome: Outcome) -> str:
    told = f"{outcome.hook};{outcome.status}"
    if outcome.reason is not None:
        told += f";reason={outcome.reason}"
    told += f";ms={outcome.milliseconds:.1f}".removesuffix(".0")
    if outcome.batches_failed:
        told += f";batches={outcome.batches};batches_failed={outcome.batches_failed}"
    return told


def server_timing(outcomes: Iterable[Outcome], query_ms: float | None = None) -> str:
    """The value of `Server-Timing`: the data-query phase, if known, and each hook, in milliseconds."""
    parts = [] if query_ms is None else [f"query;dur={query_ms:.1f}"]
    parts += [f'hook-{outcome.hook};dur={outcome.milliseconds:.1f};desc="{outcome.status}"' for outcome in outcomes]
    return ", ".join(parts)


def fields(answer: Answer) -> list[tuple[bytes, bytes]]:
    """The same as `headers`, as they go over the wire: names in lower case."""
    outcomes = answer.outcomes
    told = []
    if outcomes:
        timing = server_timing(outcomes, answer.query_ms)
        told = [(_HOOKS, hooks_header(outcomes).encode()), (_SERVER_TIMING, timing.encode())]
    if answer.trace_id is not None:
        told.append((_TRACE_ID, answer.trace_id.encode()))
    return told


def headers(answer: Answer) -> dict[str, str]:
    """The headers that tell the caller of an answer what became of its hooks; none if there were none.

    Where the query was traced, they name the trace.
    """
    return failure_headers(answer.outcomes, answer.query_ms, trace_id=answer.trace_id)


def failure_headers(
    outcomes: Iterable[Outcome], query_ms: float | None = None, *, trace_id: str | None = None
) -> dict[str, str]:
    """The same for outcomes alone."""
    outcomes = tuple(outcomes)
    told = {HOOKS: hooks_header(outcomes), SERVER_TIMING: server_timing(outcomes, query_ms)} if outcomes else {}
    if trace_id is not None:
        told[TRACE_ID] = trace_id
    return told
