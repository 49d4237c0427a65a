"""The supervisor: keeps so many workers running, replaces those that end, and ends them all.

The listening sockets are its own, one for each worker (`SO_REUSEPORT`) or one for all (Unix, systemd). They stay open
while workers come and go: a connection that a dead worker had not accepted yet waits in the kernel for the next one,
which gets the same socket.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from itertools import chain
from typing import TYPE_CHECKING, Final

from gateway.errors import GatewayError
from gateway.observe.log import get_logger
from gateway.service.problem import Refused
from gateway.service.site import SHUTDOWN_SECONDS
from gateway.service.workers import messages
from gateway.service.workers.member import Member

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Sequence

    from gateway.runtime import Gateway
    from gateway.service.workers.crew import Crew

__all__ = ["Supervisor", "WorkersFailed", "supervising"]

log = get_logger("workers")

START_SECONDS: Final = 60.0  # within which a worker has to be ready
SETTLED_SECONDS: Final = 10.0  # a worker that lived for so long did not end at once after its start
FIRST_PAUSE_SECONDS: Final = 0.25
LONGEST_PAUSE_SECONDS: Final = 15.0
STARTS_BEFORE_GIVING_UP: Final = 3  # of each worker, if none at all was ever ready
LAST_WORDS_SECONDS: Final = 10.0  # that a worker may take to end after it has answered what was in flight
AT_ONCE_SECONDS: Final = 1.0


class WorkersFailed(GatewayError):
    """The processes that answer queries cannot be kept running."""


class Pauses:
    """How long to wait before a worker is started again: longer each time it ended at once after its start."""

    def __init__(self) -> None:
        self._ended_at_once = 0

    def after(self, lived: float) -> float:
        """The pause, in seconds, after a worker that lived for so long; none after one that lived for a while."""
        if lived >= SETTLED_SECONDS:
            self._ended_at_once = 0
            return 0.0
        self._ended_at_once += 1
        if self._ended_at_once == 1:
            return 0.0
        return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** (self._ended_at_once - 2))


class Supervisor:
    """Runs one worker for each group of `sockets`."""

    def __init__(self, crew: Crew, sockets: Sequence[Sequence[socket.socket]]) -> None:
        self._crew = crew
        self._sockets = sockets
        self._stopping = asyncio.Event()
        self._present: dict[int, Member | None] = dict.fromkeys(range(1, len(sockets) + 1))
        self._changed = asyncio.Event()
        self._failed_starts = 0
        self._ever_ready = False
        self._failure: WorkersFailed | None = None

    # ------------------------------------------------------------ how they are

    @property
    def not_ready(self) -> list[int]:
        """The numbers of the workers that cannot answer queries now."""
        return [number for number, member in self._present.items() if member is None or not member.serving]

    async def check(self) -> None:
        """Return if all workers can answer queries; raise `Refused` (503), naming those that cannot."""
        if missing := self.not_ready:
            which = ", ".join(map(str, missing))
            plural = "workers" if len(missing) > 1 else "worker"
            raise Refused(503, f"Of {len(self._present)} workers, not ready: {plural} {which}; the log says why.")

    async def started(self) -> None:
        """Return when all workers are ready, or after a while if at least one is. Raises `WorkersFailed`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                while self.not_ready and self._failure is None:
                    self._changed.clear()
                    await self._changed.wait()
        if self._failure is None and not self._ever_ready:
            self._give_up(f"none was ready within {START_SECONDS:g} s")
        if self._failure is not None:
            raise self._failure

    # ------------------------------------------------------------ keeping them running

    async def run(self) -> None:
        """Keep the workers running, until cancelled."""
        async with asyncio.TaskGroup() as keeping:
            for number, sockets in enumerate(self._sockets, start=1):
                keeping.create_task(self._keep(number, sockets))

    async def _keep(self, number: int, sockets: Sequence[socket.socket]) -> None:
        """Keep worker `number` running."""
        pauses, time = Pauses(), asyncio.get_running_loop().time
        while not self._stopping.is_set():
            begun = time()
            try:
                member = await Member.start(number, sockets, self._crew.received)
            except OSError as error:
                log.error("worker.not_started", worker=number, why=error.strerror)  # noqa: TRY400
                self._failed_starts += 1
            else:
                await self._live(member)
            if self._stopping.is_set():
                return
            if not self._ever_ready and self._failed_starts >= STARTS_BEFORE_GIVING_UP * len(self._sockets):
                self._give_up(f"{self._failed_starts} ended before they were ready; what they logged says why")
                return
            pause = pauses.after(time() - begun)
            if pause:
                log.warning("worker.ends_again_and_again", worker=number, next_start_in=pause)
                await asyncio.sleep(pause)

    async def _live(self, member: Member) -> None:
        """From a worker's start to its end."""
        self._present[member.number] = member
        self._crew.welcome(member)
        ending = asyncio.ensure_future(member.wait())
        watching = asyncio.ensure_future(self._watch(member))
        try:
            await ending
        finally:
            watching.cancel()
            ending.cancel()
            self._crew.left(member)
            self._present[member.number] = None
            self._changed.set()
        if not member.ready.is_set():
            self._failed_starts += 1
        if not self._stopping.is_set():
            log.error("worker.ended", worker=member.number, worker_pid=member.process.pid, by=member.ended_by)

    async def _watch(self, member: Member) -> None:
        """End a worker that does not get ready, or whose link breaks."""
        try:
            async with asyncio.timeout(START_SECONDS):
                await member.ready.wait()
        except TimeoutError:
            member.kill(f"it was not ready within {START_SECONDS:g} s")
            return
        self._ever_ready = True
        self._changed.set()
        await member.link.closed.wait()
        await asyncio.sleep(LAST_WORDS_SECONDS)  # one that was told to end closes the link before it does
        member.kill("its link is closed, and it has not ended")

    def _give_up(self, why: str) -> None:
        self._failure = WorkersFailed(f"No worker could be started: {why}.")
        self._changed.set()

    # ------------------------------------------------------------ ending them

    def end_connections(self) -> None:
        """Have all workers let each answer be the last one on its connection."""
        for member in self._present.values():
            if member is not None:
                member.link.tell(messages.EndConnections())

    async def drain(self, seconds: float) -> int:
        """Have all workers answer what is in flight within `seconds`, and end; how many requests were broken off.

        Workers that do not end then are ended by force, at once if there are no seconds.
        """
        self._stopping.set()
        # A socket that is open here, too, would still be connected to when no worker accepts any more.
        for sock in chain.from_iterable(self._sockets):
            sock.close()
        living = [each for each in self._present.values() if each is not None]
        for member in living:
            member.link.tell(messages.Stop(seconds))
        try:
            async with asyncio.timeout(seconds + (LAST_WORDS_SECONDS if seconds else AT_ONCE_SECONDS)):
                for member in living:
                    await member.exited.wait()
        except TimeoutError:
            for member in living:
                member.kill("it had not ended in time")
            for member in living:
                await member.exited.wait()
        return sum(member.broken_off for member in living)


@asynccontextmanager
async def supervising(
    gateway: Gateway, crew: Crew, sockets: Sequence[Sequence[socket.socket]]
) -> AsyncIterator[Supervisor]:
    """Keep workers of `gateway` running, one for each group of `sockets`, until the context ends.

    What is not drained before is given a few seconds then.
    """
    supervisor = Supervisor(crew, sockets)
    gateway.registry.lead(crew)
    tasks = [asyncio.ensure_future(each) for each in (supervisor.run(), crew.refreshing())]
    for task in tasks:
        task.add_done_callback(_tell_defect)
    try:
        yield supervisor
    finally:
        await supervisor.drain(SHUTDOWN_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await crew.refresh()


def _tell_defect(task: asyncio.Task[None]) -> None:
    """Log what should not happen: that the supervisor itself came to an end."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("workers.not_supervised", exc_info=(type(error), error, error.__traceback__))
