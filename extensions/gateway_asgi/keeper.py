"""Keeps a gateway open for an application's life, in a task of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.service.embedding import embedded_gateway

if TYPE_CHECKING:
    from gateway import Gateway, Settings
    from gateway.service.embedding import Prepare

__all__ = ["Keeper"]


class Keeper:
    """Opens a gateway when it is first needed and closes it when told to.

    A task of its own opens and closes it, since a server may start and end an application in different ones. `prepare`
    and `control` are those of `gateway.service.embedding.embedded_gateway`.
    """

    def __init__(self, settings: Settings | None, *, prepare: Prepare | None = None, control: bool) -> None:
        self._settings = settings
        self._prepare = prepare
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
            async with embedded_gateway(self._settings, prepare=self._prepare, control=self._control) as gateway:
                opened.set_result(gateway)
                await self._end.wait()
        except BaseException as error:
            if opened.done():
                raise
            opened.set_exception(error)
            opened.exception()  # it is raised where the gateway was asked for
