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
) -> Outcome:
    """The outcome of `hook`, whose turn began at `begun` (`perf_counter`) and ends now."""
    return Outcome(
        hook=hook.name,
        integration=hook.integration,
        status=status,
        reason=reason,
        hook_id=hook.hook_id,
        integration_id=hook.integration_id,
        generation=hook.generation,
        milliseconds=(perf_counter() - begun) * 1000,
        bytes_out=bytes_out,
        bytes_in=bytes_in,
        changed=changed,
        detail=detail,
        fatal=hook.fail and status is Status.FAILED,
    )
