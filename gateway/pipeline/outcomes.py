"""Outcomes of hooks for which no single call of the guard stands."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from gateway.model import Outcome, Status

if TYPE_CHECKING:
    from gateway.model import Reason
    from gateway.registry.snapshot import BoundHook


def outcome_of(
    hook: BoundHook,
    status: Status,
    reason: Reason | None = None,
    *,
    begun: float,
    detail: str | None = None,
    changed: bool = False,
    bytes_out: int = 0,
    bytes_in: int = 0,
    call_id: str | None = None,
) -> Outcome:
    """The outcome of `hook`, whose turn began at `begun` (`perf_counter`) and ends now."""
    return Outcome(  # by position: that takes half the time
        hook.name,
        hook.integration,
        status,
        reason,
        hook.hook_id,
        hook.integration_id,
        hook.generation,
        (perf_counter() - begun) * 1000,  # milliseconds
        bytes_out,
        bytes_in,
        changed,
        detail,
        hook.fail and status is Status.FAILED,
        call_id,
    )
