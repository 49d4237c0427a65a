"""Provenance as response headers: `gateway-hooks` (RFC 8941 list) and `Server-Timing` (W3C)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.model import Outcome
    from gateway.pipeline.answer import Answer

    Headers = list[tuple[bytes, bytes]]

HOOKS: Final = "gateway-hooks"
SERVER_TIMING: Final = "Server-Timing"
TRACE_ID: Final = "gateway-trace-id"
_HOOKS: Final = HOOKS.encode()
_SERVER_TIMING: Final = SERVER_TIMING.lower().encode()
_TRACE_ID: Final = TRACE_ID.encode()


def hooks_header(outcomes: Iterable[Outcome]) -> str:
    """The value of `gateway-hooks`, like `price-fx;applied;ms=3.1, geo;failed;reason=timeout;ms=1000`."""
    return _values(outcomes, None)[0].decode()


def fields(answer: Answer) -> Headers:
    """The same as `headers`, as they go over the wire: names in lower case."""
    told: Headers = []
    if answer.outcomes:
        hooks, timing = _values(answer.outcomes, answer.query_ms)
        told = [(_HOOKS, hooks), (_SERVER_TIMING, timing)]
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
    told = {}
    if outcomes := tuple(outcomes):
        hooks, timing = _values(outcomes, query_ms)
        told = {HOOKS: hooks.decode(), SERVER_TIMING: timing.decode()}
    if trace_id is not None:
        told[TRACE_ID] = trace_id
    return told


def _values(outcomes: Iterable[Outcome], query_ms: float | None) -> tuple[bytes, bytes]:
    """The values of `gateway-hooks` and of `Server-Timing`: each hook, and the data-query phase where it is known.

    Made in one go, as bytes: it is done for every query.
    """
    hooks = []
    timing = [] if query_ms is None else [b"query;dur=%.1f" % query_ms]
    for outcome in outcomes:
        hook, status, ms = outcome.hook.encode(), outcome.status.encode(), b"%.1f" % outcome.milliseconds
        told = hook + b";" + status
        if outcome.reason is not None:
            told += b";reason=" + outcome.reason.encode()
        told += b";ms=" + ms.removesuffix(b".0")
        if outcome.batches_failed:
            told += b";batches=%d;batches_failed=%d" % (outcome.batches, outcome.batches_failed)
        hooks.append(told)
        timing.append(b'hook-%b;dur=%b;desc="%b"' % (hook, ms, status))
    return b", ".join(hooks), b", ".join(timing)
