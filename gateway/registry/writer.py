"""How a change comes about: planned under a lock, made to last, then shown to queries in one step."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from gateway.errors import StaleGeneration
from gateway.model import GATEWAY
from gateway.registry import audit
from gateway.registry.changes import At
from gateway.registry.snapshot import Snapshot
from gateway.registry.tables import Plan, RegistryTables
from gateway.stores.protocol import RegistryChange, RegistryState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.model import Actor
    from gateway.registry.rules import RegistryRules
    from gateway.registry.snapshot import BoundHook
    from gateway.stores.protocol import RegistryStore

T = TypeVar("T")
_TRIES = 5


class RegistryWriter:
    """Keeps the tables and the snapshot in step with the store.

    One change at a time. A change that has begun is finished even if whoever asked for it goes away,
    so that memory and store never part. `tables` and `snapshot` are for reading.
    """

    def __init__(self, store: RegistryStore, rules: RegistryRules, now: Callable[[], float]) -> None:
        self._store = store
        self._rules = rules
        self._now = now
        self._lock = asyncio.Lock()
        self._running: set[asyncio.Task[object]] = set()
        self._retired: dict[str, list[BoundHook]] = {}
        self.tables = RegistryTables(RegistryState())
        self.snapshot = Snapshot.empty()

    async def load(self) -> None:
        """Read everything from the store. Raises `StoreError`."""
        self.tables = RegistryTables(await self._store.load())
        tables = self.tables
        bound = {
            hook.id: found
            for hook in tables.hooks.values()
            if (found := self._rules.bind(hook, tables.integrations[hook.integration_id])) is not None
        }
        for old_id in self.snapshot.ids - bound.keys():
            self._retire([old_id])
        self._retire(bound)
        self.snapshot = Snapshot.empty().changed(tables.generation, bound)

    async def write(self, plan: Callable[[RegistryTables, At], tuple[Plan, T]], actor: Actor = GATEWAY) -> T:
        """Carry out the change that `plan` describes; return its second value once it lasts.

        The audit log says that `actor` did it.

        Raises what `plan` raises, and `StoreError` if the change could not be made to last: then nothing
        has changed. `plan` is asked again if another process changed the store in the meantime.
        """
        task = asyncio.ensure_future(self._write(plan, actor))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_ignore)
            raise

    async def _write(self, plan: Callable[[RegistryTables, At], tuple[Plan, T]], actor: Actor) -> T:
        async with self._lock:
            for tried in range(1, _TRIES + 1):
                base = self.tables.generation
                at = At(base + 1, self._now())
                what, answer = plan(self.tables, at)
                if what.empty:
                    return answer
                change = RegistryChange(
                    base=base,
                    generation=base + 1,
                    put_integrations=what.put_integrations,
                    put_hooks=what.put_hooks,
                    delete_integrations=what.delete_integrations,
                    delete_hooks=what.delete_hooks,
                    audit=audit.entries(self.tables, what, at, actor),
                )
                try:
                    await self._store.commit(change)
                except StaleGeneration:
                    if tried == _TRIES:
                        raise
                    await self.load()
                    continue
                self._show(base + 1, what)
                return answer
            raise AssertionError  # the loop returns or raises

    def _show(self, generation: int, what: Plan) -> None:
        tables = self.tables
        changes: dict[str, BoundHook | None] = {}
        for hook_id in tables.apply(generation, what):
            hook = tables.hooks.get(hook_id)
            changes[hook_id] = (
                None
                if hook is None
                else self._rules.bind(hook, tables.integrations[hook.integration_id], self.snapshot.get(hook_id))
            )
        self._retire(changes)
        self.snapshot = self.snapshot.changed(generation, changes)

    def withdraw(self, hook_ids: Iterable[str]) -> None:
        """Take hooks out of the snapshot although the store does not know of it (yet)."""
        ids = list(hook_ids)
        self._retire(ids)
        self.snapshot = self.snapshot.changed(self.snapshot.generation, dict.fromkeys(ids))

    def _retire(self, hook_ids: Iterable[str]) -> None:
        """Remember the present generation of these hooks for as long as a query uses it."""
        for hook_id in [i for i, old in self._retired.items() if not any(b.in_flight.count for b in old)]:
            del self._retired[hook_id]
        for hook_id in hook_ids:
            old = self.snapshot.get(hook_id)
            if old is not None and old.in_flight.count:
                self._retired.setdefault(hook_id, []).append(old)

    async def drained(self, hook_ids: Iterable[str]) -> None:
        """Return when no query uses an older generation of these hooks."""
        for hook_id in hook_ids:
            for old in list(self._retired.get(hook_id, ())):
                await old.in_flight.wait_idle()

    async def settle(self) -> None:
        """Return when no change is being made."""
        while self._running:
            await asyncio.wait(self._running)


def _ignore(task: asyncio.Task[object]) -> None:
    """Look at the outcome of a change that nobody waits for any more, so that it does not warn."""
    if not task.cancelled():
        task.exception()
