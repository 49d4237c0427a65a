"""Telling systemd how it goes: ready, reloading, stopping, still alive (sd_notify(3))."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from gateway.observe.log import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, MutableMapping

__all__ = ["ServiceManager"]

_VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")

_log = get_logger("service")


class ServiceManager:
    """The manager that started this process, if it wants to be told (`Type=notify`); says nothing otherwise.

    Takes its variables out of `environment`: what a child has to say is not for the manager. `clock` is the monotonic
    one, in seconds.
    """

    def __init__(
        self,
        environment: MutableMapping[str, str],
        *,
        process: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        where, period, watched = (environment.pop(name, "") for name in _VARIABLES)
        self._clock = clock
        self._address = "\0" + where[1:] if where.startswith("@") else where
        if where and where[0] not in "/@":
            _log.warning("service.manager_unreachable", address=where, why="neither a path nor an abstract address")
            self._address = ""
        self.watchdog_seconds: float | None = None
        if period.isascii() and period.isdigit() and int(period) > 0 and watched in {"", str(process or os.getpid())}:
            self.watchdog_seconds = int(period) / 1_000_000

    @property
    def listens(self) -> bool:
        """Whether anyone is told."""
        return bool(self._address)

    def ready(self, status: str) -> None:
        """The start, or a reload, is done. `status` is for `systemctl status`."""
        self._tell(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """A reload begins; `ready` ends it."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={int(self._clock() * 1_000_000)}\nSTATUS=Reloading the configuration")

    def stopping(self, status: str, seconds: float) -> None:
        """The end begins, and may take so long."""
        self._tell(f"STOPPING=1\nSTATUS={status}\nEXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._tell(f"STATUS={text}")

    def alive(self) -> None:
        """What the watchdog waits for."""
        self._tell("WATCHDOG=1")

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Within this context, the watchdog (`WatchdogSec=`) hears from the event loop twice in its time."""
        if self.watchdog_seconds is None or not self.listens:
            yield
            return
        task = asyncio.create_task(self._be_alive(self.watchdog_seconds / 2), name="watchdog")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _be_alive(self, pause: float) -> None:
        while True:
            self.alive()
            await asyncio.sleep(pause)

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.setblocking(False)
                out.connect(self._address)
                out.send(text.encode())
        except OSError as e:  # the manager will do without: it is no reason not to serve
            _log.warning("service.manager_unreachable", address=self._address, why=e.strerror)
