"""The seam through which the data path tells what happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway.model import Outcome, Query


class Observer(Protocol):
    """Is told of every chain and every outcome, on the path of the query: it must be quick.

    What it raises is logged and does not reach the query.
    """

    def chain_started(self) -> None:
        """A chain with at least one hook begins."""
        ...

    def outcome(self, query: Query, outcome: Outcome) -> None:
        """This became of one hook for `query`."""
        ...

    def chain_finished(self, seconds: float) -> None:
        """The chain ended, with or without an answer, after `seconds`."""
        ...


class NullObserver:
    """Looks away."""

    def chain_started(self) -> None:
        """Do nothing."""

    def outcome(self, query: Query, outcome: Outcome) -> None:
        """Do nothing."""

    def chain_finished(self, seconds: float) -> None:
        """Do nothing."""


class Observers:
    """Tells several, in their order."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def chain_started(self) -> None:
        """Tell them that a chain begins."""
        for each in self._observers:
            each.chain_started()

    def outcome(self, query: Query, outcome: Outcome) -> None:
        """Tell them what became of one hook."""
        for each in self._observers:
            each.outcome(query, outcome)

    def chain_finished(self, seconds: float) -> None:
        """Tell them that the chain ended."""
        for each in self._observers:
            each.chain_finished(seconds)
