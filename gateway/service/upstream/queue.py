"""The answers to one request, in the order in which they come."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from gateway.errors import GatewayError
    from gateway.service.upstream.answer import UpstreamAnswer

__all__ = ["AnswerQueue"]


class AnswerQueue:
    """Interim answers (1xx), then the final one, or an error. One belongs to each request, not to its connection.

    So who waits for the answer to one request never gets that to another, whatever has become of the connection.
    """

    __slots__ = ("_arrived", "_error", "_loop", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiter: asyncio.Future[UpstreamAnswer] | None = None
        self._arrived: list[UpstreamAnswer] | None = None
        self._error: GatewayError | None = None

    def next(self) -> asyncio.Future[UpstreamAnswer]:
        """The next answer. The future may raise what `fail` was given."""
        waiter: asyncio.Future[UpstreamAnswer] = self._loop.create_future()
        if self._arrived:
            waiter.set_result(self._arrived.pop(0))
        elif self._error is not None:
            waiter.set_exception(self._error)
        else:
            self._waiter = waiter
        return waiter

    def put(self, answer: UpstreamAnswer) -> None:
        """An answer came."""
        waiter = self._waiter
        self._waiter = None
        if waiter is not None and not waiter.done():
            waiter.set_result(answer)
        elif self._arrived is None:
            self._arrived = [answer]
        else:
            self._arrived.append(answer)

    def fail(self, error: GatewayError) -> None:
        """No more will come."""
        waiter = self._waiter
        self._waiter = None
        self._error = error
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
