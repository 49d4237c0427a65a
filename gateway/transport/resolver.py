"""Host names to socket addresses, with a short memory and one look-up per host at a time."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from cachetools import TTLCache

from gateway.errors import DnsFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["AddressInfo", "Resolver", "literal"]

AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]  # as `socket.getaddrinfo` gives it

_HOSTS_KEPT: Final = 1024


def literal(host: str, port: int) -> AddressInfo | None:
    """The socket address of an IP literal, or `None` for a host name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if address.version == 4:
        return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))
    return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, 0, 0))


class Resolver:
    """Resolves host names with the system's resolver; keeps answers for `ttl_seconds`.

    The system's resolver works in a few threads that cannot be interrupted. So a name that takes long is
    looked up once however many calls wait for it, and a call that gives up leaves the look-up to the
    others: one dead name server cannot take all threads. Failures are not kept. `now` is in seconds.
    """

    def __init__(self, ttl_seconds: float = 10.0, *, now: Callable[[], float] = time.monotonic) -> None:
        self._answers: TTLCache[tuple[str, int], Sequence[AddressInfo]] = TTLCache(_HOSTS_KEPT, ttl_seconds, now)
        self._running: dict[tuple[str, int], asyncio.Task[Sequence[AddressInfo]]] = {}

    async def resolve(self, host: str, port: int) -> Sequence[AddressInfo]:
        """The addresses of `host`, at least one. Raises `DnsFailed`."""
        direct = literal(host, port)
        if direct is not None:
            return (direct,)
        key = (host, port)
        known = self._answers.get(key)
        if known is not None:
            return known
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(self._look_up(host, port))
            task.add_done_callback(partial(self._done, key))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():  # by `aclose`, not by our caller
                raise DnsFailed(f"The look-up of the host {host!r} was given up.") from None
            raise

    async def aclose(self) -> None:
        """Give up the look-ups that are under way."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look_up(self, host: str, port: int) -> Sequence[AddressInfo]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a valid name"
            raise DnsFailed(f"The host {host!r} could not be resolved: {reason}.") from None
        if not found:
            raise DnsFailed(f"The host {host!r} has no address.")
        self._answers[host, port] = found
        return found

    def _done(self, key: tuple[str, int], task: asyncio.Task[Sequence[AddressInfo]]) -> None:
        self._running.pop(key, None)
        if not task.cancelled():
            task.exception()  # looked at, also if every caller gave up before
