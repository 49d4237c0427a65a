"""A gateway within another program: opened, prepared, and served beside it where that is wanted."""

from __future__ import annotations

import inspect
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from gateway.observe.log import get_logger
from gateway.runtime import open_gateway

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.config import Settings
    from gateway.runtime import Gateway

    Prepare = Callable[[Gateway], Awaitable[None] | None]

__all__ = ["embedded_gateway"]

log = get_logger("embedding")


@asynccontextmanager
async def embedded_gateway(
    settings: Settings | None = None,
    *,
    prepare: Prepare | None = None,
    control: bool = False,
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[Gateway]:
    """A gateway for this event loop, open until the context ends.

    `prepare(gateway)` is called before anybody else gets it: there a program declares integrations and hooks in code.
    With `control`, the control API is served on the address of the setting `control.listen`.
    Raises `StoreError`, `ConfigError`, `ListenFailed` and what `prepare` raises.
    """
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(open_gateway(settings, ssl_context=ssl_context))
        if prepare is not None:
            prepared = prepare(gateway)
            if inspect.isawaitable(prepared):
                await prepared
        if control:
            # Only here: who does not serve the control API need not import a web server.
            from gateway.service.operator_keys import operator_keys
            from gateway.service.serving import listening

            keys, _, _ = operator_keys(gateway.settings)
            url, _ = await stack.enter_async_context(listening(gateway, keys))
            log.info("embedding.control", url=url)
        yield gateway
