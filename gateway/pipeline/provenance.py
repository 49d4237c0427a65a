"""Provenance as response headers: `gateway-hooks` (RFC 8941 list) and `Server-Timing` (W3C)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.model import Outcome, Reason, Status
    from gateway.pipeline.answer import Answer

    Headers = list[tuple[bytes, bytes]]

HOOKS: Final = "gateway-hooks"
SERVER_TIMING: Final = "Server-Timing"
TRACE_ID: Final = "gateway-trace-id"
_HOOKS: Final = HOOKS.encode()
_SERVER_TIMING: Final = SERVER_TIMING.lower().encode()
_TRACE_ID: Final = TRACE_ID.encode()
_MOST_REMEMBERED: Final = 1024


class Constants(dict["tuple[str, Status, Reason | None]", "tuple[bytes, bytes, bytes]"]):
    """What is said of every outcome of a hook that has the same status and reason: all but numbers. Remembered."""

    def __missing__(self, key: tuple[str, Status, Reason | None]) -> tuple[bytes, bytes, bytes]:
        """How an item of `gateway-hooks` begins, and how one of `Server-Timing` begins and ends."""
        hook, status, reason = key
        why = "" if reason is None else f";reason={reason}"
        made = (f"{hook};{status}{why};ms=".encode(), f"hook-{hook};dur=".encode(), f';desc="{status}"'.encode())
        if len(self) >= _MOST_REMEMBERED:
            self.clear()
        self[key] = made
        return made


def hooks_header(outcomes: Iterable[Outcome]) -> str:
    """The value of `gateway-hooks`, like `price-fx;applied;ms=3.1, geo;failed;reason=timeout;ms=1000`."""
    return _values(outcomes, None, Constants())[0].decode()


def fields(answer: Answer, constants: Constants) -> Headers:
    """The same as `headers`, as they go over the wire: names in lower case."""
    told: Headers = []
    if answer.outcomes:
        hooks, timing = _values(answer.outcomes, answer.query_ms, constants)
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
        hooks, timing = _values(outcomes, query_ms, Constants())
        told = {HOOKS: hooks.decode(), SERVER_TIMING: timing.decode()}
    if trace_id is not None:
        told[TRACE_ID] = trace_id
    return told


def _values(outcomes: Iterable[Outcome], query_ms: float | None, constants: Constants) -> tuple[bytes, bytes]:
    """The values of `gateway-hooks` and of `Server-Timing`: each hook, and the data-query phase where it is known."""
    hooks = []
    timing = [] if query_ms is None else [b"query;dur=%.1f" % query_ms]
    for outcome in outcomes:
        item, dur, desc = constants[outcome.hook, outcome.status, outcome.reason]
        ms = b"%.1f" % outcome.milliseconds
        item += ms.removesuffix(b".0")
        if outcome.batches_failed:
            item += b";batches=%d;batches_failed=%d" % (outcome.batches, outcome.batches_failed)
        hooks.append(item)
        timing.append(dur + ms + desc)
    return b", ".join(hooks), b", ".join(timing)
