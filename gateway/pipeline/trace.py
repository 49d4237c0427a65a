"""The full story of one query, for who asked for it: per hook its limits, what was sent, what came back.

A trace follows its query through a context variable, and so into the tasks that are begun on its behalf. Queries
without one pay a look at that variable.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.model.ids import random_id
from gateway.pipeline.exchange import Exchange, changes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.model import Outcome, Query, Result
    from gateway.pipeline.call import Exchanged
    from gateway.pipeline.exchange import Diff
    from gateway.registry.snapshot import BoundHook
    from gateway.wire.redaction import Redaction

_MOST_CALLS: Final = 200


@dataclass(frozen=True, slots=True)
class TracedCall:
    """One call of one query: its own outcome, the exchange and what the reply changed of what was sent."""

    hook: BoundHook
    outcome: Outcome
    exchange: Exchange | None
    diff: Diff


class Trace:
    """Collects what happens to one query. `query` is `None` while no hook had its turn.

    `outcomes` are those of its hooks, in order. Of calls, the first 200 are kept as they are: bodies are not copied
    before somebody asks.
    """

    def __init__(self, ident: str, at: float) -> None:
        self.id: Final = ident
        self.at: Final = at
        self.query: Query | None = None
        self.outcomes: list[Outcome] = []
        self.left_out = 0
        self.size = 0
        self._calls: list[tuple[BoundHook, Result, Result, Outcome, Exchanged]] = []

    def outcome(self, query: Query, outcome: Outcome) -> None:
        """This became of one hook."""
        self.query = query
        self.outcomes.append(outcome)

    def called(self, hook: BoundHook, sent: Result, after: Result, outcome: Outcome, seen: Exchanged) -> None:
        """This call was made."""
        if len(self._calls) == _MOST_CALLS:
            self.left_out += 1
            return
        self._calls.append((hook, sent, after, outcome, seen))
        self.size += outcome.bytes_out + outcome.bytes_in + len(after.body)

    def calls(self, redaction: Redaction, most: int) -> list[TracedCall]:
        """The calls, in the order in which they ended, with at most `most` bytes of each body."""
        return [
            TracedCall(
                hook, outcome, Exchange.of(hook, seen, redaction, most), changes(sent, after, redaction, most)
            )
            for hook, sent, after, outcome, seen in self._calls
        ]  # fmt: skip


TRACE: Final[ContextVar[Trace | None]] = ContextVar("gateway_trace", default=None)


def trace_of(query: Query) -> str | None:
    """The id of the trace that `query` is run in; `None` if it is not traced."""
    trace = TRACE.get()
    if trace is None:
        return None
    trace.query = query
    return trace.id


class Traces:
    """The latest traces: at most `most` of them and about `max_bytes`. `now` gives seconds since 1970."""

    def __init__(self, most: int, max_bytes: int, now: Callable[[], float] = time.time) -> None:
        self._most = most
        self._max_bytes = max_bytes
        self._now = now
        self._kept: OrderedDict[str, Trace] = OrderedDict()

    @contextmanager
    def tracing(self) -> Iterator[Trace]:
        """Trace what is run in this context; kept once it ends."""
        trace = Trace(random_id("tr"), self._now())
        token = TRACE.set(trace)
        try:
            yield trace
        finally:
            TRACE.reset(token)
            self._kept[trace.id] = trace
            self._tidy()

    def get(self, trace_id: str) -> Trace | None:
        """The trace with this id, if it is still there."""
        self._tidy()  # calls off the query's path may have been added since
        return self._kept.get(trace_id)

    def _tidy(self) -> None:
        size = sum(trace.size for trace in self._kept.values())
        while self._kept and (len(self._kept) > self._most or size > self._max_bytes):
            size -= self._kept.popitem(last=False)[1].size
