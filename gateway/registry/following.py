"""The registry of a process that follows another one's: it takes over what that one shows, and changes nothing itself.

Hooks that an update does not touch keep their `BoundHook`, and with it their breaker, their journal and the count of
their calls in flight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gateway.registry.image import RegistryImage
from gateway.registry.reading import RegistryReading

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.registry.image import RegistryUpdate
    from gateway.registry.rules import RegistryRules
    from gateway.registry.snapshot import BoundHook


class Leader(Protocol):
    """The process that owns the registry, as those that follow see it."""

    def gone(self, hook_id: str, generation: int) -> None:
        """Tell it that a call of this generation of a hook was answered 410."""
        ...

    def stepped_back(self, hook_id: str, generation: int, why: str) -> None:
        """Tell it that this generation of a canary left its bounds."""
        ...


class FollowingRegistry(RegistryReading):
    """Reads like any registry. It has no methods that change anything: only the `leader` makes changes.

    What happens by itself (a hook that is gone, a canary that steps back) is reported to it, and comes back as an
    update. Leases end there, too. `rules` bind hooks as in the leader.
    """

    def __init__(self, rules: RegistryRules, leader: Leader) -> None:
        super().__init__(RegistryImage(rules))
        self._leader = leader

    def take(self, update: RegistryUpdate) -> None:
        """Take over what the leader shows."""
        self._image.take(update)

    async def drained(self, hook_ids: Iterable[str]) -> None:
        """Return when no query of this process uses an older generation of these hooks."""
        await self._image.drained(hook_ids)

    def report_gone(self, hook: BoundHook) -> None:
        """Report it to the leader."""
        self._leader.gone(hook.hook_id, hook.generation)

    def report_step_back(self, hook: BoundHook, why: str) -> None:
        """Report it to the leader."""
        self._leader.stepped_back(hook.hook_id, hook.generation, why)
