"""Not calling whoever asked not to be called for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Hashable

LONGEST_SECONDS: Final = 120.0


class Pauses:
    """Remembers until when each key is to be left alone. Times in the caller's own clock, in seconds.

    A pause is clamped to `longest`, so that no answer can switch its sender off for good.
    """

    __slots__ = ("_longest", "_until")

    def __init__(self, longest: float = LONGEST_SECONDS) -> None:
        self._longest = longest
        self._until: dict[Hashable, float] = {}

    def pause(self, key: Hashable, seconds: float, now: float) -> None:
        """Leave `key` alone for `seconds` from `now`."""
        for ended in [k for k, until in self._until.items() if until <= now]:
            del self._until[ended]
        if seconds > 0:
            self._until[key] = now + min(seconds, self._longest)

    def left(self, key: Hashable, now: float) -> float:
        """For how many seconds more `key` is to be left alone; 0 if it is not."""
        if not self._until:
            return 0.0
        return max(0.0, self._until.get(key, 0.0) - now)
