"""Keeps a gateway open for an application's life, in a task of its own."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from gateway import open_gateway
from gateway.observe.log import get_logger

if TYPE_CHECKING:
    from gateway import Gateway, Settings

__all__ = ["Keeper"]

log = get_logger("asgi")


class Keeper:
    """Opens a gateway when it is first needed and closes it when told to.

    A task of its own opens and closes it, since a server may start and end an application in different ones. With
    `control`, the control API is served beside it, on the address of the setting `control.listen`.
    """

    def __init__(self, settings: Settings | None, *, control: bool) -> None:
        self._settings = settings
        self._control = control
        self._end = asyncio.Event()
        self._opened: asyncio.Future[Gateway] | None = None
        self._task: asyncio.Task[None] | None = None

    async def gateway(self) -> Gateway:
        """The open gateway. Raises `StoreError`, `ConfigError` and `ListenFailed`, at each call anew."""
        if self._opened is None or (self._opened.done() and self._opened.exception() is not None):
            self._opened = asyncio.get_running_loop().create_future()
            self._end = asyncio.Event()
            self._task = asyncio.create_task(self._keep(self._opened), name="gateway")
        return await asyncio.shield(self._opened)

    async def aclose(self) -> None:
        """Close it, if it is open."""
        self._end.set()
        if self._task is not None:
            await asyncio.wait([self._task])
            self._task = self._opened = None

    async def _keep(self, opened: asyncio.Future[Gateway]) -> None:
        try:
            async with AsyncExitStack() as stack:
                gateway = await stack.enter_async_context(open_gateway(self._settings))
                if self._control:
                    # Only here: who does not serve the control API need not import a web server.
                    from gateway.service.operator_keys import operator_keys
                    from gateway.service.serving import listening

                    keys, _, _ = operator_keys(gateway.settings)
                    url, _ = await stack.enter_async_context(listening(gateway, keys))
                    log.info("asgi.control", url=url)
                opened.set_result(gateway)
                await self._end.wait()
        except BaseException as error:
            if opened.done():
                raise
            opened.set_exception(error)
            opened.exception()  # it is raised where the gateway was asked for
