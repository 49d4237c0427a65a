"""A fault server in a process of its own, so that what it does costs the gateway under test no time.

```python
with FaultServerProcess() as server:
    async with FaultMatrix.open(server) as matrix:
        cell = await matrix.run(fault, FailurePolicy.IGNORE, Place.MIDDLE, concurrency=50)
```
"""

from __future__ import annotations

import asyncio
import multiprocessing
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

from gateway.testing.fault_server import FAULTS, Fault, FaultServer, Site
from gateway.testing.fault_sites import LOOPBACK, FaultResolver
from gateway.transport import AddressGuard

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["FaultServerProcess"]

_START_SECONDS: Final = 60.0
_END_SECONDS: Final = 10.0


class FaultServerProcess:
    """A `FaultServer` in a process that ends with the block; see there for `guard`, `resolver` and `client_tls`.

    Raises `TimeoutError` if it has not started within a minute, and `EOFError` once the process is gone.
    """

    faults: Final[tuple[Fault, ...]] = FAULTS

    def __init__(self) -> None:
        self.resolver: Final = FaultResolver()
        self.guard: Final = AddressGuard([LOOPBACK], allow_http=True)
        self.client_tls: Final = ssl.create_default_context()
        context = multiprocessing.get_context("spawn")
        self._line, self._theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(self._theirs,), daemon=True)
        self._urls: dict[Site, str] = {}
        self._secret: str | None = None

    def __enter__(self) -> Self:
        self._process.start()
        self._theirs.close()
        if not self._line.poll(_START_SECONDS):
            self._process.kill()
            raise TimeoutError("The fault server has not started.")
        authority_pem, self._urls = self._line.recv()
        self.client_tls.load_verify_locations(cadata=authority_pem)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._line.send(None)
        self._process.join(_END_SECONDS)
        self._process.kill()
        self._line.close()

    @property
    def secret(self) -> str | None:
        """What signed replies are signed with."""
        return self._secret

    @secret.setter
    def secret(self, value: str | None) -> None:
        self._secret = value
        self._ask("secret", value)

    @property
    def reached_inside(self) -> int:
        """How many connections reached the internal address: none, unless something is wrong."""
        return int(self._ask("reached_inside"))

    def base_url(self, fault: Fault) -> str:
        """The URL of the integration of `fault`; the hook's path is `fault.path`."""
        return self._urls[fault.site]

    def reset(self) -> None:
        """Let faults that are different the first time begin anew, and forget the requests."""
        self.resolver.reset()
        self._ask("reset")

    def close_idle(self) -> None:
        """Close every open connection in an orderly way."""
        self._ask("close_idle")

    async def no_connections(self) -> None:
        """Return once every connection is gone. Raises `TimeoutError` after a while."""
        await asyncio.to_thread(self._ask, "no_connections")

    def _ask(self, what: str, value: Any = None) -> Any:
        self._line.send((what, value))
        answer = self._line.recv()
        if isinstance(answer, BaseException):
            raise answer
        return answer


def _run(line: Connection) -> None:
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(line))


async def _serve(line: Connection) -> None:
    """Do what the other process asks, until it is gone."""
    async with FaultServer() as server:
        line.send((server.authority_pem, {fault.site: server.base_url(fault) for fault in FAULTS}))
        with suppress(EOFError):
            while (asked := await asyncio.to_thread(line.recv)) is not None:
                try:
                    line.send(await _do(server, *asked))
                except TimeoutError as error:
                    line.send(error)


async def _do(server: FaultServer, what: str, value: Any) -> int:
    match what:
        case "secret":
            server.secret = value
        case "reached_inside":
            return server.reached_inside
        case "reset":
            server.reset()
        case "close_idle":
            server.close_idle()
        case "no_connections":
            await server.no_connections()
    return 0
