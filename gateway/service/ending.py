"""How a served gateway ends: told apart from answering, drained, and within bounds."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol

from gateway.observe.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Drained", "Ending", "drain", "on_signals"]

_HARD_END_SECONDS: Final = 3.0

_log = get_logger("serve")


class Drained(Protocol):
    """What can finish what is in flight."""

    def end_connections(self) -> None:
        """Take what comes, and let each answer be the last one on its connection."""
        ...

    async def drain(self, seconds: float) -> int:
        """Take nothing new, finish within `seconds`; how many requests were broken off."""
        ...


class Ending:
    """The end of a process: `asked` for in good order, then, if someone insists, `at_once`."""

    def __init__(self, asked: asyncio.Event | None = None) -> None:
        self.asked = asked or asyncio.Event()
        self.at_once = asyncio.Event()

    def ask(self) -> None:
        """The first time, ask for a good end; the second time, for a quick one."""
        if not self.asked.is_set():
            self.asked.set()
        elif not self.at_once.is_set():
            _log.warning("serve.ends_at_once", why="asked a second time")
            self.at_once.set()
            # Whatever does not let go then is left behind, as if the process were killed: nothing that was
            # acknowledged is lost by that.
            asyncio.get_running_loop().call_later(_HARD_END_SECONDS, _end_hard)

    async def within(self, seconds: float) -> bool:
        """Wait so long; `False` at once if someone insists."""
        if seconds > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.at_once.wait(), seconds)
        return not self.at_once.is_set()


@contextmanager
def on_signals(ending: Ending, reload: Callable[[], None] | None = None) -> Iterator[None]:
    """Within this context, SIGTERM and SIGINT ask for the end, and SIGHUP, if it is given, calls `reload`."""
    loop = asyncio.get_running_loop()
    wanted = [(signal.SIGTERM, ending.ask), (signal.SIGINT, ending.ask)]
    if reload is not None:
        wanted.append((signal.SIGHUP, reload))
    handled = []
    try:
        for number, do in wanted:
            with suppress(NotImplementedError, RuntimeError, ValueError):  # no main thread, or no such signals here
                loop.add_signal_handler(number, do)
                handled.append(number)
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


async def drain(served: Drained, ending: Ending, *, ready_delay: float, seconds: float) -> int:
    """End `served`: go on for `ready_delay` seconds, then finish what is in flight within `seconds`.

    Clients are told in answers given during the delay that their connections end: so few are left that would close in
    the moment in which a client sends something.

    If someone insists, both are cut short. Returns how many requests were broken off.
    """
    _log.info("serve.draining", ready_delay_seconds=ready_delay, drain_seconds=seconds)
    if ready_delay > 0:
        served.end_connections()
    go_on = await ending.within(ready_delay)
    draining = asyncio.create_task(served.drain(seconds if go_on else 0))
    insisted = asyncio.create_task(ending.at_once.wait())
    await asyncio.wait({draining, insisted}, return_when=asyncio.FIRST_COMPLETED)
    insisted.cancel()
    if not draining.done():
        draining.cancel()
        with suppress(asyncio.CancelledError):
            await draining
        draining = asyncio.create_task(served.drain(0))
    broken_off = await draining
    _log.info("serve.drained", broken_off=broken_off)
    return broken_off


def _end_hard() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(0)
