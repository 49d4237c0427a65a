"""Which hooks a query would meet, and why not the others: decided as for a real query, without any call."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from gateway.model import HookState, Mode, Reason, Result
from gateway.pipeline.lots import lot
from gateway.pipeline.scope import NothingToSend, Scope
from gateway.pipeline.select import Selection
from gateway.registry.upkeep import LEASE_ENDED
from gateway.resilience.breaker import BreakerState
from gateway.wire.cloudevents import QueryEvent
from gateway.wire.rows import NoRows, rows_of, tokens_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gateway.model import Envelope, Hook, Integration, Query
    from gateway.pipeline.chain import ChainSettings
    from gateway.pipeline.protection import Protections
    from gateway.registry import Registry
    from gateway.registry.snapshot import BoundHook
    from gateway.resilience.breaker import BreakerView

_MOST_NAMES: Final = 5
_NEEDS_RESULT: Final = "its condition looks at the result; give the result, too, to know whether it holds"
_NO_RESULT: Final = Result(b"null")
_IN_SHADOW: Final = "it is called beside the query, and its reply is not applied"


class WhyNot(StrEnum):
    """Why a hook would not run."""

    DISABLED = "disabled"
    LEASE = "lease"  # it has ended
    SUSPENDED = "suspended"
    INTEGRATION_DISABLED = "integration_disabled"
    TYPE = "type"
    CAPABILITY = "capability"
    TENANT = "tenant"
    ENVELOPE = "envelope"
    DEPTH = "depth"
    SIZE = "size"
    SAMPLING = "sampling"
    CONDITION = "condition"
    PROJECTION = "projection"
    BREAKER_OPEN = "breaker_open"


@dataclass(frozen=True, slots=True)
class Explained:
    """What a query would mean for one hook: `reason` and `detail` say why it would not run; `None` if it would.

    `bound` is the hook as queries see it, `None` if they do not. `note` is what else there is to say of one that would.
    """

    hook: Hook
    integration: Integration
    bound: BoundHook | None
    reason: WhyNot | None = None
    detail: str | None = None
    note: str | None = None

    @property
    def mode(self) -> Mode:
        """The mode in force."""
        if self.bound is None:
            return self.hook.mode_in_force
        return Mode.ACTIVE if self.bound.plan is None else self.bound.plan.mode


class OtherBreakers(Protocol):
    """The breakers in the processes that answer queries, where this one does not."""

    @property
    def count(self) -> int:
        """How many processes there are."""
        ...

    def open_breakers(self, hook_id: str) -> Sequence[BreakerView]:
        """Those of a hook that are not closed."""
        ...


class Explainer:
    """Explains queries over the present state of a registry.

    Where other processes answer the queries, `others` are their breakers.
    """

    def __init__(
        self, registry: Registry, protections: Protections, settings: ChainSettings, selection: Selection | None = None
    ) -> None:
        self._selection = selection or Selection()
        self._registry = registry
        self._protections = protections
        self.settings: Final = settings
        self.others: OtherBreakers | None = None

    def explain(self, query: Query, result: Result | None, integration_id: str | None = None) -> list[Explained]:
        """Every hook, or those of one integration: first those that would run, in the order of the chain.

        Without a `result`, a hook whose condition looks at it cannot be told to run.
        """
        present = self._registry.snapshot
        owners = {each.id: each for each in self._registry.integrations()}
        found = [
            self._explained(hook, owners[hook.integration_id], present.get(hook.id), query, result)
            for hook in self._registry.hooks(integration_id)
        ]
        found.sort(key=lambda each: (each.reason is not None, each.bound.place if each.bound else _place(each)))
        return found

    def _explained(
        self, hook: Hook, integration: Integration, bound: BoundHook | None, query: Query, result: Result | None
    ) -> Explained:
        why = next(self._objections(hook, integration, bound, query, result), None)
        if why is not None:
            return Explained(hook, integration, bound, *why)
        found = Explained(hook, integration, bound)
        if found.mode is Mode.SHADOW:
            return replace(found, note=_IN_SHADOW)
        open_breakers = self._open_breakers(hook)
        if not open_breakers or self.others is None:
            return found
        return replace(found, note=f"its breaker is open in {len(open_breakers)} of {self.others.count} workers")

    def _objections(
        self, hook: Hook, integration: Integration, bound: BoundHook | None, query: Query, result: Result | None
    ) -> Iterator[tuple[WhyNot, str]]:
        """What stands in the way, in the order in which it is asked."""
        yield from _of_state(hook, integration, bound)
        yield from _of_selection(hook, integration.envelope, query)
        if bound is None:
            yield WhyNot.ENVELOPE, "nothing is left of what it serves within the integration's envelope"
            return
        settings = self.settings
        if query.depth >= settings.max_depth:
            yield WhyNot.DEPTH, f"the query is nested in {query.depth} gateway calls; {settings.max_depth} is the limit"
        if result is not None and len(result.body) > settings.max_result_bytes:
            size, most = len(result.body), settings.max_result_bytes
            yield WhyNot.SIZE, f"the result has {size} bytes; {most} are the most that hooks are sent"
        yield from _of_rollout(bound, query)
        yield from self._of_condition(bound, query, result)
        if result is not None:
            yield from _of_projection(bound, result)
        yield from self._of_breaker(hook)

    def _of_condition(self, bound: BoundHook, query: Query, result: Result | None) -> Iterator[tuple[WhyNot, str]]:
        plan = bound.plan
        if plan is None:
            return
        if result is None:
            if plan.condition is not None and plan.condition.mentions("result"):
                yield (
                    WhyNot.CONDITION,
                    "its condition looks at the result; to know whether it holds, give the result, too",
                )
                return
            result = _NO_RESULT
        event = QueryEvent(query, self.settings.source)
        refusal = self._selection.refusal(bound, plan, query, event, result)
        if refusal is not None:
            why = WhyNot.SIZE if refusal.reason is Reason.SIZE else WhyNot.CONDITION
            yield why, refusal.detail or "its condition does not hold"

    def _of_breaker(self, hook: Hook) -> Iterator[tuple[WhyNot, str]]:
        found = self._open_breakers(hook)
        if len(found) >= (1 if self.others is None else self.others.count):
            until, why = min((view.next_probe_at or 0.0, view.why) for view in found)
            left = until - self._protections.now()
            yield WhyNot.BREAKER_OPEN, f"its breaker is open for another {left:.1f} s: {why}"

    def _open_breakers(self, hook: Hook) -> list[BreakerView]:
        """The breakers of a hook that let no call through now: its own, or those of the other processes."""
        if self.others is not None:
            views = self.others.open_breakers(hook.id)
        else:
            protection = self._protections.present(hook.id)
            views = [] if protection is None else [protection.breaker.view()]
        now = self._protections.now()
        return [view for view in views if view.state is BreakerState.OPEN and now < (view.next_probe_at or now)]


def _of_state(hook: Hook, integration: Integration, bound: BoundHook | None) -> Iterator[tuple[WhyNot, str]]:
    if hook.state is HookState.DISABLED:
        if hook.reason == LEASE_ENDED:
            yield WhyNot.LEASE, "its lease ended without being renewed; enable it again"
        else:
            yield WhyNot.DISABLED, f"it is disabled: {hook.reason}" if hook.reason else "it is disabled"
    elif hook.state is HookState.SUSPENDED:
        yield WhyNot.SUSPENDED, f"it is suspended: {hook.suspended}"
    elif bound is None and hook.lease_expires_at is not None and integration.enabled:
        yield WhyNot.LEASE, "its lease has ended"
    if not integration.enabled:
        yield WhyNot.INTEGRATION_DISABLED, "the operator has switched its integration off"


def _of_selection(hook: Hook, envelope: Envelope, query: Query) -> Iterator[tuple[WhyNot, str]]:
    for why, asked, wanted, allowed in (
        (WhyNot.TYPE, query.type, hook.types, envelope.types),
        (WhyNot.CAPABILITY, query.capability, hook.capabilities, envelope.capabilities),
        (WhyNot.TENANT, query.tenant, hook.tenants, envelope.tenants),
    ):
        told = f"the query names no {why.value}" if asked is None else f"the query's {why.value} is {asked!r}"
        if wanted is not None and asked not in wanted:
            yield why, f"it serves {_listed(wanted)}, and {told}"
        if allowed is not None and asked not in allowed:
            yield WhyNot.ENVELOPE, f"the integration's envelope allows {_listed(allowed)}, and {told}"


def _of_projection(bound: BoundHook, result: Result) -> Iterator[tuple[WhyNot, str]]:
    plan = bound.plan
    if plan is None:
        return
    try:
        sent = Scope(plan.reads, None).project(result).result if plan.reads is not None else result
        if plan.rows_at is not None:
            rows_of(sent.body, tokens_of(plan.rows_at))
    except NothingToSend as e:
        yield WhyNot.PROJECTION, str(e)
    except NoRows:
        yield WhyNot.PROJECTION, f"there is no array at rows_at {plan.rows_at!r} of the result"


def _of_rollout(bound: BoundHook, query: Query) -> Iterator[tuple[WhyNot, str]]:
    plan = bound.plan
    if plan is None or plan.mode is not Mode.CANARY:
        return
    drawn = lot(bound.hook_id, plan.sticky_by, query)
    if drawn >= plan.percent:
        share = f"it is a canary for {plan.percent:g} % of the queries"
        yield WhyNot.SAMPLING, f"{share}, by {plan.sticky_by.value}, and this one draws {drawn:.2f}"


def _listed(names: Iterable[str]) -> str:
    names = sorted(names)
    shown = ", ".join(map(repr, names[:_MOST_NAMES]))
    return shown if len(names) <= _MOST_NAMES else f"{shown} and {len(names) - _MOST_NAMES} more"


def _place(each: Explained) -> tuple[int, str, int, str]:
    """Where it would stand if queries saw it."""
    return -each.integration.priority, each.integration.name, each.hook.order, each.hook.name
