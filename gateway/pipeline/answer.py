"""What a query's caller gets."""

from __future__ import annotations

from typing import Any, Self

from msgspec import Struct, structs

from gateway.model import Outcome, Result  # noqa: TC001  msgspec may read the types of the fields


class Answer(Struct, frozen=True):
    """A result and its provenance: the outcomes of the hooks selected for the query, in order.

    (A struct: made for every query, in a fraction of a dataclass's time.)

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

    def _replace(self, **changes: Any) -> Self:
        """The same with these changes, as of a named tuple."""
        return structs.replace(self, **changes)
