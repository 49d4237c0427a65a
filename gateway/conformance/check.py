"""A check: one sentence about an endpoint that holds, does not hold, or does not concern it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.conformance.probe import Probe

    Run = Callable[[Probe], Awaitable[None]]

__all__ = ["CHECKS", "Broken", "Check", "Finding", "NotAsked", "Verdict", "check", "must"]


class Verdict(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"  # it does not concern this endpoint, or was not asked for


class Broken(Exception):  # it says what is broken
    """The sentence of a check does not hold; the text says what was seen."""


class NotAsked(Exception):  # it says why a check is left out
    """The check does not concern this endpoint; the text says why, and how to ask for it."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its `name` and `group`, the `sentence` that must hold, and how to `mend` what breaks it."""

    name: str
    group: str
    sentence: str
    mend: str
    run: Run


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: `detail` says what was seen, or why it was skipped; `milliseconds` that it took."""

    check: Check
    verdict: Verdict
    detail: str
    milliseconds: float


CHECKS: Final[list[Check]] = []


def check(name: str, group: str, sentence: str, *, mend: str) -> Callable[[Run], Run]:
    """Make a coroutine function a check, after those before it."""

    def add(run: Run) -> Run:
        CHECKS.append(Check(name, group, sentence, mend, run))
        return run

    return add


def must(holds: bool, seen: str) -> None:  # noqa: FBT001  # the condition itself
    """Raise `Broken`, saying what was `seen`, unless the condition holds."""
    if not holds:
        raise Broken(seen)
