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
