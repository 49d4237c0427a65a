"""The journal: what became of each hook's calls lately, in memory and bounded.

On the path of a query it costs one tuple in a deque. Bodies are kept only where the operator wants that.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.model import Status
from gateway.pipeline.exchange import Exchange, changes
from gateway.pipeline.trace import TRACE
from gateway.wire.redaction import Redaction

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from gateway.model import Outcome, Query, Reason, Result
    from gateway.pipeline.call import Exchanged
    from gateway.pipeline.exchange import Diff
    from gateway.registry.snapshot import BoundHook

    _Kept = tuple[int, float, str, str, str | None, str | None, Outcome, Outcome | None]

_LONGEST_NAME: Final = 200
_SHADOWED: Final = Status.SHADOWED


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """How much is remembered.

    The last `calls_per_hook` of each of `max_hooks` hooks. With `bodies`, what was sent and what came back, up to
    `max_body_bytes` of each body. Bodies and diffs together take at most about `max_bytes`. `redaction` says what is
    not to be kept of them.
    """

    calls_per_hook: int = 100
    max_hooks: int = 1_000
    bodies: bool = False
    max_body_bytes: int = 16 * 1024
    max_bytes: int = 16 * 1024 * 1024
    redaction: Redaction = field(default_factory=Redaction)


class Entry(NamedTuple):
    """One turn of one hook.

    `number` grows from entry to entry; `at` is when it ended, in seconds since 1970. `query_id`, `type`,
    `capability` and `tenant` are the query's. `would_be` is, of a hook in shadow, the outcome that its reply would
    have had; its time and bytes are those of the call.
    """

    number: int
    at: float
    query_id: str
    type: str
    capability: str | None
    tenant: str | None
    outcome: Outcome
    would_be: Outcome | None = None

    @property
    def call_id(self) -> str | None:
        """The `webhook-id` of the call; `None` if none was made."""
        return (self.would_be or self.outcome).call_id


@dataclass(frozen=True, slots=True)
class Detail:
    """What was kept of one call beside its entry: the exchange, where bodies are kept, and what it changed."""

    exchange: Exchange | None = None
    diff: Diff | None = None

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return (self.exchange.kept if self.exchange else 0) + (self.diff.kept if self.diff else 0)


class Journal:
    """Remembers what became of calls: an `Observer` of the chain, and what the guard shows its exchanges to.

    `now` gives seconds since 1970. For one thread.
    """

    def __init__(self, settings: JournalSettings | None = None, now: Callable[[], float] = time.time) -> None:
        self._settings = settings or JournalSettings()
        self._now = now
        self._number = 0
        self._hooks: dict[str, deque[_Kept]] = {}
        self._details: OrderedDict[str, Detail] = OrderedDict()
        self._kept = 0

    # ------------------------------------------------------------ the data path tells

    def outcome(self, query: Query, outcome: Outcome, would_be: Outcome | None = None) -> None:
        """This became of one hook. Of one in shadow, nothing is kept until `shadowed` tells what would have become."""
        if outcome.status is _SHADOWED and would_be is None:
            return
        capability, tenant = query.capability, query.tenant
        kept = self._hooks.get(outcome.hook_id)
        if kept is None:
            kept = self._begin(outcome.hook_id)
        if tenant is not None and len(tenant) > _LONGEST_NAME:
            tenant = tenant[:_LONGEST_NAME]
        if capability is not None and len(capability) > _LONGEST_NAME:
            capability = capability[:_LONGEST_NAME]
        # A plain tuple, made into an entry when somebody asks: this is done for every call.
        number = self._number = self._number + 1
        kept.append((number, self._now(), query.id, query.type, capability, tenant, outcome, would_be))

    def shadowed(self, query: Query, outcome: Outcome, diff: Diff) -> None:
        """A call of a hook in shadow ended: `outcome` is what would have become of it, `diff` what it changed."""
        shown = outcome._replace(status=_SHADOWED, reason=None, detail=None, changed=False)
        self.outcome(query, shown, outcome)
        if outcome.call_id is not None:
            kept = self._details.get(outcome.call_id)
            self._keep(outcome.call_id, Detail(kept.exchange if kept else None, diff))

    def watching(self) -> bool:
        """Whether `called` is to be told of the next call."""
        return self._settings.bodies or TRACE.get() is not None

    def called(self, hook: BoundHook, sent: Result, after: Result, outcome: Outcome, seen: Exchanged) -> None:
        """This call was made: `sent` went out, `after` is what its reply made of it."""
        trace = TRACE.get()
        if trace is not None:
            trace.called(hook, sent, after, outcome, seen)
        if self._settings.bodies:
            most, redaction = self._settings.max_body_bytes, self._settings.redaction
            exchange = Exchange.of(hook, seen, redaction, most)
            self._keep(seen.ident, Detail(exchange, changes(sent, after, redaction, most)))

    def _begin(self, hook_id: str) -> deque[_Kept]:
        if len(self._hooks) >= self._settings.max_hooks:
            del self._hooks[next(iter(self._hooks))]
        kept = self._hooks[hook_id] = deque(maxlen=self._settings.calls_per_hook)
        return kept

    def _keep(self, call_id: str, detail: Detail) -> None:
        old = self._details.pop(call_id, None)
        self._kept += detail.size - (old.size if old else 0)
        self._details[call_id] = detail
        while self._kept > self._settings.max_bytes:
            self._kept -= self._details.popitem(last=False)[1].size

    # ------------------------------------------------------------ who asks

    def entries(
        self,
        hook_id: str,
        *,
        statuses: Collection[Status] | None = None,
        reasons: Collection[Reason] | None = None,
        since: float | None = None,
        until: float | None = None,
        before: int | None = None,
    ) -> Iterator[Entry]:
        """What became of the calls of a hook, the latest first: those that fit every criterion.

        From `since` on and before `until` (seconds since 1970), with numbers lower than `before`.
        """
        for entry in map(Entry._make, reversed(self._hooks.get(hook_id, ()))):
            if (
                (before is None or entry.number < before)
                and (statuses is None or entry.outcome.status in statuses)
                and (reasons is None or entry.outcome.reason in reasons)
                and (since is None or entry.at >= since)
                and (until is None or entry.at < until)
            ):
                yield entry

    def detail(self, entry: Entry) -> Detail | None:
        """What was kept of the call of this entry beside it."""
        return None if entry.call_id is None else self._details.get(entry.call_id)

    def get(self, call_id: str) -> Entry | None:
        """The entry of the call with this `webhook-id`, if it is still remembered."""
        entries = (Entry._make(each) for kept in self._hooks.values() for each in reversed(kept))
        return next((entry for entry in entries if entry.call_id == call_id), None)

    # ------------------------------------------------------------ between processes

    @property
    def number(self) -> int:
        """That of the last entry."""
        return self._number

    def after(self, number: int) -> list[tuple[Entry, Detail | None]]:
        """The entries with higher numbers that are still remembered, of all hooks, with what was kept beside them."""
        found: list[_Kept] = []
        for kept in self._hooks.values():
            for each in reversed(kept):
                if each[0] <= number:
                    break
                found.append(each)
        entries = sorted(map(Entry._make, found), key=lambda entry: entry.number)
        return [(entry, self.detail(entry)) for entry in entries]

    def absorb(self, entry: Entry, detail: Detail | None) -> None:
        """Remember what another process has seen; the entry gets a number of this journal's."""
        hook_id = entry.outcome.hook_id
        kept = self._hooks.get(hook_id)
        if kept is None:
            kept = self._begin(hook_id)
        number = self._number = self._number + 1
        kept.append((number, *entry[1:]))
        if detail is not None and entry.call_id is not None:
            self._keep(entry.call_id, detail)
