"""The gateway's own events about its registry: read off the audit log, so that none is lost between the two.

The audit log lasts with the change that it tells of. A cursor in the event store says how far it has been published;
it moves in the very transaction in which the events are stored. So whenever the process ends, each entry is
published once, by whichever process comes next.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from gateway.errors import CursorMoved, StoreError
from gateway.model import ActorKind
from gateway.observe.log import get_logger
from gateway.registry.upkeep import LEASE_ENDED
from gateway.relay.catalogue import CATALOGUE, RESERVED_PREFIX
from gateway.relay.patience import Patience
from gateway.stores.events import CursorMove
from gateway.stores.protocol import AuditQuery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.model import AuditEntry
    from gateway.model.event import Event
    from gateway.relay.publisher import Publisher
    from gateway.stores.events import EventLog

__all__ = ["AuditLog", "AuditTail", "told_as"]

log = get_logger("relay")

CURSOR: Final = "audit"
_AT_ONCE: Final = 100
_NAP: Final = 0.1  # seconds between looks whether the registry of this process has changed
_LOOK_ANYWAY: Final = 5.0  # seconds: another process may have ended before it published what it changed
_NAMES: Final = {"hook.created": "hook.registered", "hook.stepped_back": "hook.canary_stepped_back"}


class AuditLog(Protocol):
    """Where the entries come from. (The registry.)"""

    @property
    def generation(self) -> int:
        """Grows with each change."""
        ...

    async def audit(self, query: AuditQuery) -> list[AuditEntry]:
        """The entries that fit. Raises `StoreError`."""
        ...


class AuditTail:
    """Publishes what the audit log says. Any number of them on one store publish each entry once."""

    def __init__(
        self, audit: AuditLog, store: EventLog, publisher: Publisher, told: Callable[[bool], None] = lambda _well: None
    ) -> None:
        self._audit = audit
        self._store = store
        self._publisher = publisher
        self._patience = Patience(told, what="own events")
        self._at: str | None = None

    async def begin(self) -> None:
        """Where nothing was published yet, begin with what is to come. Raises `StoreError`."""
        self._at = await self._store.cursor(CURSOR)
        newest = await self._audit.audit(AuditQuery(limit=1))
        start = newest[0].number if newest else 0
        if self._at is None or int(self._at) > start:  # the latter: with another registry
            await self._move([], str(start))

    async def step(self) -> int:
        """Publish the next entries; how many were read. Raises `StoreError`."""
        if self._at is None:
            await self.begin()
        entries = await self._audit.audit(AuditQuery(after=int(self._at or 0), limit=_AT_ONCE))
        if not entries:
            return 0
        events = [event for entry in entries if (event := self._event(entry)) is not None]
        await self._move(events, str(entries[-1].number))
        return len(entries)

    async def _move(self, events: list[Event], to: str) -> None:
        try:
            await self._publisher.store(events, cursor=CursorMove(CURSOR, self._at, to))
            self._at = to
        except CursorMoved:  # another process was faster
            self._at = await self._store.cursor(CURSOR)

    def _event(self, entry: AuditEntry) -> Event | None:
        name = told_as(entry)
        if name is None:
            return None
        return self._publisher.own_event(
            RESERVED_PREFIX + name,
            _data(entry),
            integration_id=entry.integration_id,
            key=entry.hook_id or entry.integration_id,
            at=entry.at,
        )

    async def run(self) -> None:
        """Publish, until cancelled."""
        time = asyncio.get_running_loop().time
        seen, look_at = -1, 0.0
        while True:
            if self._audit.generation != seen or time() >= look_at:
                seen, look_at = self._audit.generation, time() + _LOOK_ANYWAY
                try:
                    while await self.step():
                        pass
                    self._patience.answered()
                except StoreError as error:
                    seen = -1
                    await self._patience.refused(error)
                except Exception as error:  # a bug of ours must not end the publication for good
                    log.exception("relay.broke")
                    await self._patience.refused(StoreError(f"the gateway failed: {type(error).__name__}"))
            await asyncio.sleep(_NAP)

    @asynccontextmanager
    async def tailing(self) -> AsyncIterator[Self]:
        """Publish in a task of its own until the context ends."""
        task = asyncio.get_running_loop().create_task(self.run(), name="relay-own-events")
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])


def told_as(entry: AuditEntry) -> str | None:
    """The event, without its prefix, that tells of an entry of the audit log; `None` if none does."""
    after = entry.after or {}
    name = _NAMES.get(entry.action, entry.action)
    if name == "integration.changed" and "enabled" in after:
        name = "integration.enabled" if after["enabled"] else "integration.disabled"
    elif name == "hook.disabled" and entry.actor.kind is ActorKind.GATEWAY and after.get("reason") == LEASE_ENDED:
        name = "hook.lease_expired"
    return name if RESERVED_PREFIX + name in CATALOGUE else None


def _data(entry: AuditEntry) -> dict[str, Any]:
    after = entry.after or {}
    data: dict[str, Any] = {"integration": {"id": entry.integration_id, "name": entry.integration}}
    if entry.hook_id is not None:
        data["hook"] = {"id": entry.hook_id, "name": entry.hook}
    actor = entry.actor
    return data | {
        "generation": entry.generation,
        "actor": {"kind": actor.kind.value, "id": actor.id, "name": actor.name},
        "reason": after.get("reason") or after.get("suspended") or after.get("stepped_back"),
        "before": entry.before,
        "after": entry.after,
    }
