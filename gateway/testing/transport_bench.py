"""What the cases of the transport exam run on: a loop of their own, a server, a transport, a short way to call.

A case fails also if it leaves a connection, a task or a complaint of the loop behind.
"""

from __future__ import annotations

import asyncio
import functools
from abc import ABC, abstractmethod
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final

from gateway.testing.hook_server import HookServer
from gateway.transport import AddressGuard, Limits, parse_endpoint

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence

    from gateway.errors import CallError
    from gateway.transport import Response, Transport
    from gateway.transport.tls import TlsProfile

__all__ = ["AMPLE", "JSON", "LIMITS", "SOON", "Bench", "CasesOnABench", "case"]

AMPLE: Final = 20.0  # seconds; a deadline that no case reaches
SOON: Final = 0.05  # seconds; a deadline that a case waits for
LIMITS: Final = Limits(body=100_000, head=16_384, header_count=100)
JSON: Final = (("content-type", "application/json"),)


def case(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test in a loop of the class's choice; nothing may be left when it ends."""

    @functools.wraps(test)
    def run(self: CasesOnABench, *args: Any, **kwargs: Any) -> None:
        complaints: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=self.new_loop) as runner:
            loop = runner.get_loop()
            loop.set_exception_handler(lambda _, context: complaints.append(context))
            runner.run(test(self, *args, **kwargs))
            runner.run(_turns())
            assert asyncio.all_tasks(loop) == set(), "tasks are left"
        assert complaints == []

    return run


async def _turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class Bench:
    """A server, a transport that may call it, and a short way to call."""

    def __init__(self, server: HookServer, transport: Transport) -> None:
        self.server = server
        self.transport = transport

    async def __call__(
        self,
        path: str,
        body: bytes = b"{}",
        *,
        method: str = "POST",
        headers: Sequence[tuple[str, str]] = JSON,
        url: str | None = None,
        pool: str = "hook",
        seconds: float = AMPLE,
        limits: Limits = LIMITS,
        tls: TlsProfile | None = None,
    ) -> Response:
        """Call the server's `path` (or that of `url`) with a deadline in `seconds`."""
        endpoint = parse_endpoint((url or self.server.url) + path, pool=pool, tls=tls)
        deadline = asyncio.get_running_loop().time() + seconds
        return await self.transport.exchange(endpoint, method, headers, body, deadline=deadline, limits=limits)


class CasesOnABench(ABC):
    """What a test class of the exam says about its transport."""

    otherwise: ClassVar[Mapping[str, type[CallError]]] = {}
    forgives: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def open_transport(self, guard: AddressGuard, ssl_context: ssl.SSLContext | None) -> Transport:
        """A new transport; called in the running loop. The exam closes it."""

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop for one case; override it to run the exam on another one."""
        return asyncio.new_event_loop()

    @asynccontextmanager
    async def bench(
        self,
        *,
        allow: Sequence[str] = ("127.0.0.0/8",),
        allow_http: bool = True,
        server_tls: ssl.SSLContext | None = None,
        client_tls: ssl.SSLContext | None = None,
    ) -> AsyncIterator[Bench]:
        """A server and a transport; when it is left, the transport is closed and no connection may be open."""
        async with HookServer(ssl=server_tls) as server:
            transport = self.open_transport(AddressGuard(allow, allow_http=allow_http), client_tls)
            try:
                yield Bench(server, transport)
            finally:
                await transport.aclose()
            await server.no_connections()
