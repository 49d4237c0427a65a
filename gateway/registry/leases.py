"""Waking up when the next lease ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_LONGEST_NAP = 60.0  # the clock may be set while we wait


class LeaseTimer:
    """Runs `expire` at the time of the earliest lease's end. `now` gives seconds since 1970."""

    def __init__(self, expire: Callable[[], Awaitable[None]], now: Callable[[], float]) -> None:
        self._expire = expire
        self._now = now
        self._handle: asyncio.TimerHandle | None = None
        self._task: asyncio.Future[None] | None = None
        self._stopped = False

    def watch(self, earliest: float | None) -> None:
        """Wake up at `earliest`; with `None`, not at all."""
        if earliest is None:
            self._cancel()
        else:
            self.again_in(max(0.0, earliest - self._now()))

    def again_in(self, seconds: float) -> None:
        """Wake up in so many seconds."""
        self._cancel()
        if not self._stopped:
            self._handle = asyncio.get_running_loop().call_later(min(seconds, _LONGEST_NAP), self._wake)

    def _wake(self) -> None:
        self._task = asyncio.ensure_future(self._expire())

    def _cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def stop(self) -> None:
        """Do not wake up any more."""
        self._stopped = True
        self._cancel()
