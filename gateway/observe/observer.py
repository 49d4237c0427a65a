"""The seam through which the data path tells what happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from gateway.observe.log import get_logger

if TYPE_CHECKING:
    from gateway.model import Outcome, Query

log = get_logger("pipeline")


class OutcomeObserver(Protocol):
    """Is told of every outcome, on the path of the query: it must be quick.

    What it raises is logged and does not reach the query.
    """

    def outcome(self, query: Query, outcome: Outcome) -> None:
        """This became of one hook for `query`."""
        ...


@runtime_checkable
class Observer(OutcomeObserver, Protocol):
    """Is told of every chain, too."""

    def chain_started(self) -> None:
        """A chain with at least one hook begins."""
        ...

    def chain_finished(self, seconds: float) -> None:
        """The chain ended, with or without an answer, after `seconds`."""
        ...


class Observers:
    """Tells several, in their order: of chains, those who want to be told. What one of them raises is logged."""

    def __init__(self, *observers: OutcomeObserver) -> None:
        chains = [each for each in observers if isinstance(each, Observer)]
        self._started: Final = [each.chain_started for each in chains]
        self._outcome: Final = [each.outcome for each in observers]
        self._finished: Final = [each.chain_finished for each in chains]

    def chain_started(self) -> None:
        """Tell them that a chain begins."""
        for tell in self._started:
            try:
                tell()
            except Exception:  # who watches must not disturb
                log.exception("observer.broke")

    def outcome(self, query: Query, outcome: Outcome) -> None:
        """Tell them what became of one hook."""
        for tell in self._outcome:
            try:
                tell(query, outcome)
            except Exception:  # who watches must not disturb
                log.exception("observer.broke")

    def chain_finished(self, seconds: float) -> None:
        """Tell them that the chain ended."""
        for tell in self._finished:
            try:
                tell(seconds)
            except Exception:  # who watches must not disturb
                log.exception("observer.broke")
