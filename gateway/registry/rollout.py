"""Up and down the steps of a roll-out: shadow, canary, active."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import Conflict, FieldError, InvalidInput
from gateway.model import Mode
from gateway.registry.tables import Plan

if TYPE_CHECKING:
    from collections.abc import Collection

    from gateway.model import Envelope, Hook
    from gateway.registry.changes import At
    from gateway.registry.snapshot import BoundHook
    from gateway.registry.tables import RegistryTables

FIRST_PERCENT: Final = 10.0
_STEPS: Final = (Mode.SHADOW, Mode.CANARY, Mode.ACTIVE)
_OF_ROLLOUT: Final = ("mode", "percent", "bounds")


def retried(new: Hook, old: Hook, given: Collection[str] = ()) -> Hook:
    """`new`, which was `old`: a canary that stepped back tries again once its owner says anew how it goes live.

    `given` are the fields that a change names, also if they are as they were.
    """
    if new.stepped_back is None:
        return new
    anew = not set(_OF_ROLLOUT).isdisjoint(given) or any(
        getattr(new, name) != getattr(old, name) for name in _OF_ROLLOUT
    )
    return replace(new, stepped_back=None) if anew else new


def step_back(tables: RegistryTables, at: At, bound: BoundHook, why: str) -> tuple[Plan, Hook | None]:
    """A canary in shadow for this reason, unless it was changed since it was bound; `None` if it was, or is gone."""
    old = tables.hooks.get(bound.hook_id)
    if old is None or old.fresh_since != bound.fresh_since or old.mode_in_force is not Mode.CANARY:
        return Plan(), None
    new = replace(old, stepped_back=why, generation=at.generation, version=old.version + 1, updated_at=at.now)
    return Plan(put_hooks=(new,)), new


def promotion(hook: Hook, envelope: Envelope, mode: Mode | None, percent: float | None) -> dict[str, Any]:
    """The fields that take `hook` a step further: to `mode`, or to the next one that its envelope allows.

    With `percent`, to a canary for that share; without, a new canary begins with 10 %. Raises `Conflict` where there
    is no further step, and `InvalidInput` for one that is none.
    """
    now = hook.mode_in_force
    if mode is None:
        mode = Mode.CANARY if percent is not None else _next(now, envelope)
    if mode is Mode.ACTIVE and percent is not None:
        raise InvalidInput(FieldError("/percent", "is for a canary; an active hook is called for all queries"))
    if _STEPS.index(mode) < _STEPS.index(now):
        detail = f"{mode.value!r} is a step back from {now.value!r}; change the hook's mode for that"
        raise InvalidInput(FieldError("/mode", detail))
    if mode is Mode.ACTIVE is now or (mode is now and percent is None):
        msg = f"The hook {hook.name!r} is {now.value} already."
        raise Conflict(msg)
    if mode is Mode.ACTIVE:
        return {"mode": mode, "percent": None}
    if percent is None:
        percent = hook.percent or FIRST_PERCENT
    return {"mode": mode, "percent": percent}


def _next(now: Mode, envelope: Envelope) -> Mode:
    further = _STEPS[_STEPS.index(now) + 1 :]
    allowed = [mode for mode in further if envelope.modes is None or mode in envelope.modes]
    if further and not allowed:
        msg = f"The integration's envelope allows no step beyond {now.value!r}; the operator can change that."
        raise Conflict(msg)
    return allowed[0] if allowed else now
