"""What of a result a hook sees, and which of its changes become part of the result.

A hook is sent a projection: the places that it `reads`, and nothing else. It answers for the projection, in whatever
form; a patch has been applied to it by the time that it comes here. So there is but one thing to do with any
reply: to compare the projection before and after, and to make the changes that lie in `writes` in the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import ReplyUnusable
from gateway.model import Reason, Result
from gateway.wire import pointers, projection
from gateway.wire.columns import Columns
from gateway.wire.pointers import Places

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.wire.columns import Taken


class NothingToSend(ValueError):
    """Nothing that the hook may read is in the result. The message is a sentence for its owner."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What a hook is sent of a result: `result`, the very one if it may read all of it."""

    result: Result
    taken: Taken | None = None


@dataclass(frozen=True, slots=True)
class Merged:
    """The result after a reply, the very object of before if nothing changed.

    `left_out` tells of changes that the hook may not make and that were left out for that; `None` if there were none.
    """

    result: Result
    left_out: str | None = None


class Scope:
    """What one hook may do with results.

    `reads`, `writes`: JSON Pointers with `*`; `None` is the whole result, and all that it reads. A change outside
    `writes` makes the reply unusable, or with `drops` is left out. Nothing here holds anything of a result, so
    that one may be used by many threads. Raises `PointerError`.
    """

    __slots__ = ("_columns", "_drops", "_reads", "_whole", "_writes")

    def __init__(self, reads: Iterable[str] | None, writes: Iterable[str] | None, *, drops: bool = False) -> None:
        self._reads = pointers.parse_all(reads)
        self._writes = self._reads if writes is None else pointers.parse_all(writes)
        self._drops = drops
        self._whole = () in self._reads
        self._columns = Columns.of(self._reads)

    def project(self, full: Result) -> Sent:
        """What the hook is sent of `full`. Raises `NothingToSend`."""
        if self._whole:
            return Sent(full)
        taken = self._columns.take(full.body) if self._columns is not None else None
        if taken is not None:
            body = taken.projection if taken.found else None
        else:
            try:
                body = projection.project(full.body, self._reads)
            except (ValueError, RecursionError):
                raise NothingToSend("the result is not JSON, so there is no part of it to send") from None
        if body is None:
            raise NothingToSend("the result has nothing at any place that the hook may read")
        return Sent(Result(body, full.content_type), taken)

    def merge(self, full: Result, sent: Sent, after: Result) -> Merged:
        """The result when the hook made `after` of what was `sent` of `full`.

        Raises `ReplyUnusable` (`contract`) naming the first place that the hook changed and may not.
        """
        if after is sent.result or after.body == sent.result.body:
            return Merged(full)
        if sent.taken is not None and self._columns is not None:
            body = self._columns.merge(full.body, sent.taken, after.body, Places(self._writes))
            if body is not None:
                return Merged(full if body == full.body else Result(body, full.content_type))
        try:
            body, merger = projection.merge(full.body, after.body, self._reads, self._writes, drops=self._drops)
        except projection.Outside as e:
            raise ReplyUnusable(Reason.CONTRACT, f"the hook may not write there: {e}") from None
        except (TypeError, ValueError, RecursionError):
            detail = "the result and the reply cannot be compared: one of them is not JSON, or nests too deep"
            raise ReplyUnusable(Reason.CONTRACT, detail) from None
        left_out = None
        if merger.first is not None:
            more = f" and {merger.dropped - 1} more" if merger.dropped > 1 else ""
            left_out = f"left out what the hook may not write: {merger.first}{more}"
        return Merged(full if body is None else Result(body, full.content_type), left_out)
