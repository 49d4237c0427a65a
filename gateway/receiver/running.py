"""Runs a handler until it is done or it is too late."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import ConfigError
from gateway.receiver.messages import HttpReply

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.receiver.metrics import ReceiverMetrics
    from gateway.receiver.reception import Admitted, Reception, Turn

__all__ = ["Runner"]

THREADS: Final = 32


class Runner:
    """Lets handlers answer. Ordinary functions run in threads, at most `threads` at once; `clock` never steps."""

    def __init__(
        self, reception: Reception, metrics: ReceiverMetrics, *, clock: Callable[[], float], threads: int = THREADS
    ) -> None:
        self._reception = reception
        self._metrics = metrics
        self._clock = clock
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._under_way: dict[tuple[str, bytes], asyncio.Future[HttpReply]] = {}

    async def run(self, admitted: Admitted) -> HttpReply:
        """The reply to the request; to a turn it is 503 once the deadline has passed, and a coroutine is cancelled.

        A call that comes again while it is still under way waits for the same reply.
        """
        key = (admitted.message_id, admitted.digest)
        same = self._under_way.get(key)
        if same is None:
            same = self._under_way[key] = asyncio.ensure_future(self._all(admitted))
            same.add_done_callback(lambda _: self._under_way.pop(key, None))
        return await asyncio.shield(same)

    async def _all(self, admitted: Admitted) -> HttpReply:
        return self._reception.concluded(admitted, await asyncio.gather(*map(self._one, admitted.turns)))

    async def _one(self, turn: Turn | HttpReply) -> HttpReply:
        if isinstance(turn, HttpReply):
            return turn
        call, function = turn.call, turn.handler.function
        began = self._clock()
        self._metrics.began()
        try:
            # On the loop's own clock, for the other one may be a test's.
            async with asyncio.timeout(max(0.0, call.remaining())) as limit:
                try:
                    if inspect.iscoroutinefunction(function):
                        returned = await function(call)
                    else:
                        returned = await self._in_thread(partial(function, call))
                        if inspect.isawaitable(returned):
                            returned = await returned
                    if limit.expired():  # the handler did not let itself be cancelled
                        return self._reception.late(turn)
                    return self._reception.answered(turn, returned)
                except Exception as error:  # noqa: BLE001  the handler is someone else's code
                    return self._reception.failed(turn, error)
        except TimeoutError:
            return self._reception.late(turn)
        finally:
            self._metrics.ended(call.hook, self._clock() - began)

    def run_now(self, admitted: Admitted) -> HttpReply:
        """The same without an event loop, in the thread of the caller: an ordinary function is not interrupted."""
        return self._reception.concluded(admitted, [self._one_now(turn) for turn in admitted.turns])

    def _one_now(self, turn: Turn | HttpReply) -> HttpReply:
        if isinstance(turn, HttpReply):
            return turn
        call, function = turn.call, turn.handler.function
        if inspect.iscoroutinefunction(function):
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                return asyncio.run(self._one(turn))
            raise ConfigError("A handler is a coroutine, and an event loop runs here: await receiver.reply(…) instead.")
        began = self._clock()
        self._metrics.began()
        try:
            returned = function(call)
            if call.remaining() < 0:
                return self._reception.late(turn)
            return self._reception.answered(turn, returned)
        except Exception as error:  # noqa: BLE001  the handler is someone else's code
            return self._reception.failed(turn, error)
        finally:
            self._metrics.ended(call.hook, self._clock() - began)

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="hook")
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._pool, context.run, work)

    def close(self) -> None:
        """Let the threads end once they are done."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
