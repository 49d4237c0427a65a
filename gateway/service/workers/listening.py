"""A worker's way out: calls of hooks that somebody listens to go to the supervisor, where they are asked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import ConnectFailed, ReplyTooLarge, TimedOut
from gateway.pipeline.listening import MOST_BYTES, ListenMode
from gateway.service.workers.link import LinkBroken, Refused
from gateway.service.workers.messages import Bring, Brought
from gateway.transport.protocol import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.transport.protocol import Endpoint, Limits, Transport

_NOBODY: Final = Brought(there=False)


class ListenedTransport:
    """A transport around `transport` that brings calls to a listener with `ask` (`Link.ask`), where there is one.

    `modes` says to which hooks somebody listens, by hook id. One who turns out not to listen any more is forgotten, and
    the call goes where it always went.
    """

    def __init__(self, transport: Transport, ask: Callable[[Bring, Any], asyncio.Future[Brought]]) -> None:
        self._transport = transport
        self._ask = ask
        self.modes: dict[str, ListenMode] = {}

    async def exchange(
        self,
        endpoint: Endpoint,
        method: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        *,
        deadline: float,
        limits: Limits,
    ) -> Response:
        """See `gateway.transport.Transport`. The hook is told by the endpoint's pool."""
        mode = self.modes.get(endpoint.pool)
        if mode is ListenMode.LIVE and len(body) <= MOST_BYTES:
            brought = await self._brought(endpoint, headers, body, deadline, limits)
            if brought is not None:
                return brought
        try:
            return await self._transport.exchange(endpoint, method, headers, body, deadline=deadline, limits=limits)
        finally:
            if mode is ListenMode.SHADOW and len(body) <= MOST_BYTES:
                self._bring(endpoint, headers, body, deadline, answers=False)

    def _bring(
        self, endpoint: Endpoint, headers: Sequence[tuple[str, str]], body: bytes, deadline: float, *, answers: bool
    ) -> asyncio.Future[Brought]:
        left = max(0.0, deadline - asyncio.get_running_loop().time())
        return self._ask(Bring(endpoint.pool, endpoint.url, list(headers), body, left, answers), Brought)

    async def _brought(
        self, endpoint: Endpoint, headers: Sequence[tuple[str, str]], body: bytes, deadline: float, limits: Limits
    ) -> Response | None:
        """The listener's reply; `None` if nobody listens, or has room. Raises `CallError`."""
        try:
            async with asyncio.timeout_at(deadline):
                said = await self._bring(endpoint, headers, body, deadline, answers=True)
        except TimeoutError:
            raise TimedOut("The deadline passed before the listener had answered.") from None
        except (LinkBroken, Refused):
            said = _NOBODY
        if not said.there:
            return None
        if said.timed_out:
            raise TimedOut(said.failed)
        if said.failed is not None:
            raise ConnectFailed(said.failed)
        if len(said.body) > limits.body:
            raise ReplyTooLarge(f"The listener's reply is larger than {limits.body} bytes.")
        return Response(said.status, said.headers, said.body, len(said.body))

    async def aclose(self) -> None:
        """Close what it is wrapped around."""
        await self._transport.aclose()
