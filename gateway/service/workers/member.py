"""One worker as the supervisor knows it: a process and the link to it."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from gateway.observe.log import get_logger
from gateway.service.workers import messages
from gateway.service.workers.link import Link

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable, Sequence

    from gateway.service.readiness import KnownUpstream
    from gateway.service.workers.messages import BreakerSeen

log = get_logger("workers")

_serials: Final = count(1)


class Member:
    """A worker with `number`; `serial` is its own among all that there ever were.

    `ready` once it can answer queries, and from then on `serving`: it may answer them. `shown` is its answer to the
    last update of the registry, and `breakers` are those that are not closed, by hook id. `exited` once the process
    has ended; `code` is its exit code then, negative for the signal that ended it. `upstreams` is what it knows of the
    query APIs, `broken_off` how many requests it had to break off when it was told to end.
    """

    link: Link

    def __init__(self, number: int, process: Process) -> None:
        self.number: Final = number
        self.serial: Final = next(_serials)
        self.process: Final = process
        self.ready: Final = asyncio.Event()
        self.exited: Final = asyncio.Event()
        self.serving = False
        self.shown: asyncio.Future[None] | None = None
        self.breakers: dict[str, BreakerSeen] = {}
        self.upstreams: list[KnownUpstream] = []
        self.broken_off = 0
        self.code: int | None = None

    @classmethod
    async def start(
        cls, number: int, sockets: Sequence[socket.socket], received: Callable[[Member, Any], Any]
    ) -> Member:
        """Start a process that will answer queries on `sockets`; `received` is handed what it says."""
        ours, theirs = socket.socketpair()
        with theirs:
            passed = [theirs.fileno(), *(each.fileno() for each in sockets)]
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *(["-P"] if sys.flags.safe_path else []),
                "-m",
                "gateway.service.workers",
                *map(str, passed),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                pass_fds=passed,
            )
        member = cls(number, process)
        member.link = Link(messages.ToSupervisor, lambda message: received(member, message))
        await member.link.open(ours)
        log.info("worker.started", worker=number, worker_pid=process.pid)
        return member

    async def wait(self) -> int:
        """Return once the process has ended; its exit code."""
        self.code = await self.process.wait()
        self.serving = False
        self.link.close()
        self.exited.set()
        return self.code

    def kill(self, why: str) -> None:
        """End the process at once; what is in flight in it is lost."""
        if self.process.returncode is None:
            log.error("worker.killed", worker=self.number, worker_pid=self.process.pid, why=why)
            self.process.kill()

    @property
    def ended_by(self) -> str:
        """What ended the process, in words."""
        code = self.code
        if code is None or code >= 0:
            return f"exit code {code}"
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"
