"""What a hook asks for beyond a plain call, made ready once when the hook is bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import ConditionError
from gateway.model import Granularity, Mode, OnViolation, StickyBy
from gateway.registry.paths import narrowed
from gateway.wire.cel import compile_condition

if TYPE_CHECKING:
    from gateway.model import CanaryBounds, Envelope, Hook, RowCount
    from gateway.wire.cel import Condition


@dataclass(frozen=True, slots=True)
class PostConditions:
    """What must hold for the result after a reply. Fields as in `gateway.model.Hook`; `None` is no such condition.

    `by` says who declared them: `hook` or `envelope`.
    """

    by: str
    max_growth: float | None = None
    row_count: RowCount | None = None
    rows_at: str | None = None
    keep: tuple[str, ...] | None = None
    result_schema: str | None = None

    @property
    def any(self) -> bool:
        """Whether there is any."""
        return not (
            self.max_growth is None and self.row_count is None and self.keep is None and self.result_schema is None
        )


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class HookPlan:
    """What `gateway.pipeline.turn` does for a hook beyond a plain call, the envelope already taken into account.

    `problem` says why it cannot be called as it was declared. `reads`, `writes`: `None` is the whole result, and
    whatever was read. `drops`: a change outside `writes` is left out instead of failing. `checks`: the hook's own
    post-conditions, then the envelope's. `rows_at` is where the rows are if it is called with batches of `batch_rows`
    (`None`: as many as the gateway thinks fit), else `None`.
    `mode` is the one in force; `percent` from 0 to 100.
    """

    condition: Condition | None = None
    problem: str | None = None
    reads: tuple[str, ...] | None = None
    writes: tuple[str, ...] | None = None
    drops: bool = False
    checks: tuple[PostConditions, ...] = ()
    rows_at: str | None = None
    batch_rows: int | None = None
    coalesce: bool = False
    mode: Mode = Mode.ACTIVE
    percent: float = 100.0
    sticky_by: StickyBy = StickyBy.TENANT
    bounds: CanaryBounds | None = None

    @property
    def plain(self) -> bool:
        """Whether there is nothing beyond a plain call."""
        return (
            self.condition is None
            and self.problem is None
            and self.reads is None
            and self.writes is None
            and not self.checks
            and self.rows_at is None
            and not self.coalesce
            and self.mode is Mode.ACTIVE
        )


def mode_in_force(hook: Hook, envelope: Envelope) -> Mode | None:
    """The mode that `hook` runs in; `None` if its envelope allows none that is not more than it asks for.

    Where its own mode is not allowed, shadow is taken if that is. A canary that stepped back is in shadow.
    """
    if envelope.modes is None or hook.mode in envelope.modes:
        return hook.mode_in_force
    return Mode.SHADOW if Mode.SHADOW in envelope.modes else None


def plan_of(hook: Hook, envelope: Envelope, mode: Mode) -> HookPlan | None:
    """The plan for `hook` within `envelope`; `None` for a plain call."""
    own = PostConditions("hook", hook.max_growth, hook.row_count, hook.rows_at, hook.keep, hook.result_schema)
    held = PostConditions(
        "envelope",
        envelope.max_growth,
        envelope.row_count,
        envelope.rows_at,
        envelope.keep,
        envelope.result_schema,
    )
    condition, problem = _condition(hook)
    reads = narrowed(hook.reads, envelope.reads)
    plan = HookPlan(
        condition=condition,
        problem=problem,
        reads=reads,
        writes=narrowed(reads if hook.writes is None else hook.writes, envelope.writes),
        drops=hook.on_violation is OnViolation.DROP,
        checks=tuple(each for each in (own, held) if each.any),
        rows_at=(hook.rows_at or "") if hook.granularity is Granularity.ROWS else None,
        batch_rows=hook.batch_rows,
        coalesce=hook.coalesce,
        mode=mode,
        percent=100.0 if hook.percent is None else hook.percent,
        sticky_by=hook.sticky_by,
        bounds=hook.bounds,
    )
    return None if plan.plain else plan


def _condition(hook: Hook) -> tuple[Condition | None, str | None]:
    """The condition of `hook`, or why it cannot be had: the extra may have been there when it was declared."""
    if hook.condition is None:
        return None, None
    try:
        return compile_condition(hook.condition), None
    except ConditionError as e:
        return None, f"its condition cannot be used: {e.detail}"
