"""Reading the configuration again while the gateway runs: all of it is taken, or none.

Each part of the running gateway says which changed settings it can take. All parts prepare before any of them changes,
so a configuration that cannot be used leaves everything as it was. What no part takes waits for a restart.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway.config import changed_keys, values_of
from gateway.errors import ConfigError
from gateway.observe.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.config import Settings

__all__ = ["Change", "Part", "Reloaded", "Reloader"]

_log = get_logger("config")


@dataclass(frozen=True, slots=True)
class Change:
    """What one part of the gateway makes of a new configuration.

    `applied` are the changed settings that it takes. `apply` takes them, and does not fail; `discard` is called instead
    if another part cannot take the configuration. `renewed` are files that have been read again.
    """

    applied: frozenset[str] = frozenset()
    apply: Callable[[], Awaitable[None]] | None = None
    discard: Callable[[], Awaitable[None]] | None = None
    renewed: tuple[str, ...] = ()


class Part(Protocol):
    """A part of the running gateway that can take settings."""

    async def prepare(self, settings: Settings, changed: frozenset[str]) -> Change:
        """What it would make of `settings`, of which `changed` differ. Changes nothing yet. Raises `ConfigError`."""
        ...


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What a reload did: the keys that differ from what runs, those in effect now, and those that wait for a restart.

    `renewed` are the files, such as certificates, that were read again.
    """

    changed: tuple[str, ...]
    applied: tuple[str, ...]
    needs_restart: tuple[str, ...]
    renewed: tuple[str, ...]


def _nothing() -> None:
    pass


class Reloader:
    """Takes a new configuration into a running gateway.

    `read` reads it; `settings` are those of the last reload that was taken, or of the start. `parts` are
    those of the running gateway. `begun` and `ended` are called around each reload.
    """

    def __init__(
        self,
        settings: Settings,
        read: Callable[[], Settings],
        *,
        begun: Callable[[], None] = _nothing,
        ended: Callable[[], None] = _nothing,
    ) -> None:
        self._read = read
        self._begun = begun
        self._ended = ended
        self._running = values_of(settings)
        self._one_by_one = asyncio.Lock()
        self.parts: list[Part] = []
        self.settings = settings

    async def reload(self) -> Reloaded:
        """Read the configuration and take what can be taken. Raises `ConfigError`, and then nothing has changed."""
        async with self._one_by_one:
            self._begun()
            try:
                settings = await asyncio.to_thread(self._read)
                reloaded = await self._take(settings)
            except ConfigError as e:
                _log.error("config.not_reloaded", why=e.detail)
                raise
            finally:
                self._ended()
            self.settings = settings
        _log.info(
            "config.reloaded",
            applied=reloaded.applied,
            needs_restart=reloaded.needs_restart,
            renewed=reloaded.renewed,
        )
        return reloaded

    async def _take(self, settings: Settings) -> Reloaded:
        wanted = values_of(settings)
        changed = changed_keys(self._running, wanted)
        changes: list[Change] = []
        try:
            for part in self.parts:
                changes.append(await part.prepare(settings, frozenset(changed)))  # noqa: PERF401  kept if one fails
        except ConfigError:
            for change in changes:
                if change.discard is not None:
                    await change.discard()
            raise
        for change in changes:
            if change.apply is not None:
                await change.apply()
        taken = frozenset[str]().union(*(change.applied for change in changes))
        applied = tuple(key for key in changed if key in taken)
        self._running.update({key: wanted[key] for key in applied})
        return Reloaded(
            changed,
            applied,
            tuple(key for key in changed if key not in taken),
            tuple(dict.fromkeys(name for change in changes for name in change.renewed)),
        )
