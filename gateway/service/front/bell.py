"""What the task of a connection waits for between two requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextvars import Context

__all__ = ["Bell"]


class Bell:
    """Wakes the one task that waits for it, as often as it is rung, within the very call that rings.

    It is awaited as futures are: asyncio takes for one whatever has `_asyncio_future_blocking`. For each request, a
    future would cost an object, a handle, and a turn of the event loop. Rung while nobody waits, it does nothing.
    """

    __slots__ = ("_asyncio_future_blocking", "_cancelled", "_context", "_loop", "_wake")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        self._loop = loop
        self._wake: Callable[[Bell], object] | None = None  # the waiting task's
        self._context: Context | None = None
        self._cancelled = False

    def ring(self) -> None:
        """Let the task go on until it waits again."""
        wake, context = self._wake, self._context
        if wake is None or context is None:
            return
        self._wake = None
        try:
            context.run(wake, self)
        except RuntimeError:  # another task runs, and no task runs within another one
            self._wake = wake
            self._loop.call_soon(self.ring)

    # ------------------------------------------------------------ for the task

    def __await__(self) -> Generator[Bell, None, None]:
        self._asyncio_future_blocking = True
        yield self

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the task."""
        return self._loop

    def add_done_callback(self, wake: Callable[[Bell], object], *, context: Context) -> None:
        """The task waits now, and `wake` is how it goes on."""
        self._wake = wake
        self._context = context

    def result(self) -> None:
        """What the task wakes to."""
        if self._cancelled:
            self._cancelled = False
            raise asyncio.CancelledError

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002  # asyncio's signature
        """The task is cancelled while it waits."""
        self._cancelled = True
        self._loop.call_soon(self.ring)
        return True
