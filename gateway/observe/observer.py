"""The seam through which the data path tells what happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

if TYPE_CHECKING:
    from gateway.model import Outcome, Query


class OutcomeObserver(Protocol):
    """Is told of every outcome, on the path of the query: it must be quick.

    What it raises is logged and reaches neither the query nor other observers.
    """

    def outcome(self, query: Query, outcome: Outcome) -> None:
        """This became of one hook for `query`."""
        ...


@runtime_checkable
class Observer(OutcomeObserver, Protocol):
    """Is told of every chain, too."""

    def chain_finished(self, seconds: float) -> None:
        """A chain with at least one hook ended, with or without an answer, after `seconds`."""
        ...


class Observers:
    """Several, in the order in which they are told: whom to call with an `outcome`, and when a chain has `finished`."""

    def __init__(self, *observers: OutcomeObserver) -> None:
        self.outcome: Final = tuple(each.outcome for each in observers)
        self.finished: Final = tuple(each.chain_finished for each in observers if isinstance(each, Observer))
