"""What a query's caller gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gateway.model import Outcome, Result


class Answer(NamedTuple):
    """A result and its provenance: the outcomes of the hooks selected for the query, in order.

    (A named tuple: made for every query, in a quarter of the time.)

    `query_ms` is the time of the data-query phase where the pipeline ran it, `hooks_ms` that of the chain;
    both in milliseconds. `trace_id` names the trace of a query that is traced.
    """

    result: Result
    outcomes: tuple[Outcome, ...] = ()
    query_ms: float | None = None
    hooks_ms: float = 0.0
    trace_id: str | None = None

    @property
    def changed(self) -> bool:
        """Whether any hook changed the result."""
        return any(outcome.changed for outcome in self.outcomes)
