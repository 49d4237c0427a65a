"""The immutable view of the registry that the data path reads.

A snapshot holds the hooks that are enabled, each bound to the envelope of its integration, and finds
those that serve a query without looking at the others. A change makes a new snapshot that shares
all it can with the old one; whoever reads the old one goes on undisturbed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gateway.registry.inflight import InFlight
from gateway.registry.learned import Learned

if TYPE_CHECKING:
    from collections.abc import Iterable, KeysView, Mapping

    from gateway.registry.plan import HookPlan
    from gateway.transport.protocol import Endpoint
    from gateway.wire.keyring import KeyRing

_MEMO_SIZE: Final = 65_536


@dataclass(frozen=True, slots=True, eq=False)
class BoundHook:
    """An enabled hook with everything that a call needs, the envelope already taken into account.

    `keys` signs its calls and verifies its replies. `timeout` is in seconds. `fail` says whether its failure fails
    the query, `waits` whether a call waits for a free place when `max_concurrency` are under way; `retry` and
    `fresh_since` as in `gateway.model.Hook`. Compared by identity: another generation is another object, with an
    `in_flight` count of its own. Its replies may be used again for at most `cache_seconds`, if they say so;
    `learned` is whether they did. `plan` is what it asks for beyond a plain call, `None` if nothing.
    """

    hook_id: str
    name: str
    integration_id: str
    integration: str
    generation: int
    endpoint: Endpoint
    keys: KeyRing = field(repr=False)
    timeout: float
    fail: bool
    binary: bool
    may_reject: bool
    signed_replies: bool
    types: frozenset[str] | None
    capabilities: frozenset[str] | None
    tenants: frozenset[str] | None
    place: tuple[int, str, int, str]  # -priority, integration, order, name: the order of the chain
    in_flight: InFlight = field(default_factory=InFlight, repr=False)
    max_concurrency: int = 100
    waits: bool = True
    retry: bool = False
    fresh_since: int = 0
    cache_seconds: float = 0.0
    learned: Learned = field(default_factory=lambda: Learned(reusable=False), repr=False)
    plan: HookPlan | None = None


class _Dimension:
    """The hooks by the values of one of type, capability, tenant; those without a limit apart."""

    __slots__ = ("by_value", "unlimited")

    def __init__(self, by_value: dict[str, dict[str, BoundHook]], unlimited: dict[str, BoundHook]) -> None:
        self.by_value = by_value
        self.unlimited = unlimited

    def candidates(self, value: str | None) -> tuple[dict[str, BoundHook], dict[str, BoundHook]]:
        """The hooks that serve `value`, in two parts."""
        limited = self.by_value.get(value, _NOTHING) if value is not None else _NOTHING
        return limited, self.unlimited

    def changed(
        self,
        gone: Iterable[tuple[str, frozenset[str] | None]],
        come: Iterable[tuple[BoundHook, frozenset[str] | None]],
    ) -> _Dimension:
        """A copy without the hooks `gone` and with those `come`; posting lists not touched are shared."""
        by_value, unlimited = dict(self.by_value), dict(self.unlimited)
        own: set[str] = set()

        def posting(value: str) -> dict[str, BoundHook]:
            if value not in own:
                by_value[value] = dict(by_value.get(value, _NOTHING))
                own.add(value)
            return by_value[value]

        for hook_id, values in gone:
            if values is None:
                unlimited.pop(hook_id, None)
                continue
            for value in values:
                posting(value).pop(hook_id, None)
        for hook, values in come:
            if values is None:
                unlimited[hook.hook_id] = hook
                continue
            for value in values:
                posting(value)[hook.hook_id] = hook
        for value in own:
            if not by_value[value]:
                del by_value[value]
        return _Dimension(by_value, unlimited)


_NOTHING: Final[dict[str, BoundHook]] = {}


class Snapshot:
    """The enabled hooks at one generation."""

    __slots__ = ("_by_id", "_capabilities", "_memo", "_tenants", "_types", "generation")

    def __init__(
        self,
        generation: int,
        by_id: Mapping[str, BoundHook],
        dimensions: tuple[_Dimension, _Dimension, _Dimension],
    ) -> None:
        self.generation: Final = generation
        self._by_id: Final = by_id
        self._types, self._capabilities, self._tenants = dimensions
        self._memo: dict[tuple[str, str | None, str | None], tuple[BoundHook, ...]] = {}

    @classmethod
    def empty(cls) -> Snapshot:
        """The snapshot with no hook, generation 0."""
        return cls(0, {}, (_Dimension({}, {}), _Dimension({}, {}), _Dimension({}, {})))

    @property
    def enabled_count(self) -> int:
        """How many hooks are enabled."""
        return len(self._by_id)

    @property
    def ids(self) -> KeysView[str]:
        """The ids of the enabled hooks."""
        return self._by_id.keys()

    def get(self, hook_id: str) -> BoundHook | None:
        """The enabled hook with this id."""
        return self._by_id.get(hook_id)

    def select(self, query_type: str, capability: str | None, tenant: str | None) -> tuple[BoundHook, ...]:
        """The hooks for a query, in the order of the chain.

        A hook that is limited to some capabilities (tenants) does not serve a query that names none.
        """
        key = (query_type, capability, tenant)
        found = self._memo.get(key)
        if found is None:
            found = self._find(query_type, capability, tenant)
            if len(self._memo) >= _MEMO_SIZE:
                self._memo.clear()
            self._memo[key] = found
        return found

    def _find(self, query_type: str, capability: str | None, tenant: str | None) -> tuple[BoundHook, ...]:
        """Go through the shortest posting list and keep what fits the other two dimensions."""
        lists = (
            self._types.candidates(query_type),
            self._capabilities.candidates(capability),
            self._tenants.candidates(tenant),
        )
        limited, unlimited = min(lists, key=lambda pair: len(pair[0]) + len(pair[1]))
        fitting = [
            hook
            for part in (limited, unlimited)
            for hook in part.values()
            if (hook.types is None or query_type in hook.types)
            and (hook.capabilities is None or capability in hook.capabilities)
            and (hook.tenants is None or tenant in hook.tenants)
        ]
        fitting.sort(key=lambda hook: hook.place)
        return tuple(fitting)

    def changed(self, generation: int, changes: Mapping[str, BoundHook | None]) -> Snapshot:
        """The snapshot after `changes`: by hook id, the hook as it is now, or `None` if it is not enabled."""
        by_id = dict(self._by_id)
        gone = [old for hook_id in changes if (old := by_id.pop(hook_id, None)) is not None]
        come = [hook for hook in changes.values() if hook is not None]
        by_id.update((hook.hook_id, hook) for hook in come)
        return Snapshot(
            generation,
            by_id,
            (
                self._types.changed([(h.hook_id, h.types) for h in gone], [(h, h.types) for h in come]),
                self._capabilities.changed(
                    [(h.hook_id, h.capabilities) for h in gone], [(h, h.capabilities) for h in come]
                ),
                self._tenants.changed([(h.hook_id, h.tenants) for h in gone], [(h, h.tenants) for h in come]),
            ),
        )
