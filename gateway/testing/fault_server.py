"""An integration server on loopback that goes wrong in every way of the catalogue, to test a gateway against.

```python
async with FaultServer() as server:
    transport = HttpTransport(server.guard, resolver=server.resolver, ssl_context=server.client_tls)
    async with open_gateway(settings, transport=transport) as gateway:
        for fault in server.faults:
            ...                               # register server.base_url(fault), a hook at fault.path
            ...                               # expect fault.expected
```

`python -m gateway.testing.fault_server --port 9900` runs it by itself and prints where each fault is.
It answers `/add/{name}` with a merge patch that adds a member of that name, for the good hooks around a fault.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from gateway.testing.fault_catalogue import FAULTS, Expected, Fault, Site
from gateway.testing.fault_routes import FaultRoutes
from gateway.testing.fault_sites import LOOPBACK, FaultResolver, FaultSites
from gateway.testing.hook_server import HookServer
from gateway.transport import AddressGuard

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from gateway.testing.hook_messages import Raw, Reply, Request

__all__ = ["FAULTS", "Expected", "Fault", "FaultServer", "Site"]

_BY_RESOLVER: Final = frozenset({Site.NO_NAME, Site.SILENT_DNS, Site.REBINDING})


class FaultServer(HookServer):
    """Produces `faults`, besides what a `HookServer` does. Needs the package trustme, for certificates.

    `resolver`, `client_tls` and `guard` are for the transport that calls it: the names of its faults, trust in its
    certificates, and leave to call 127.0.0.1 and nothing else. Set `secret` to the integration's secret for the
    faults that are `signed`.
    """

    faults: Final[tuple[Fault, ...]] = FAULTS

    def __init__(self, *, port: int = 0) -> None:
        super().__init__(port=port)
        self.resolver: Final = FaultResolver()
        self.guard: Final = AddressGuard([LOOPBACK], allow_http=True)
        self._fault_routes = FaultRoutes()
        self._sites = FaultSites()

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        try:
            await self._sites.open(self.url, self.port)
        except BaseException as error:
            await super().__aexit__(type(error))
            raise
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        try:
            await self._sites.aclose()
        finally:
            await super().__aexit__(exc_type)

    @property
    def client_tls(self) -> ssl.SSLContext:
        """A client's context that trusts the authority of the certificates."""
        return self._sites.client_tls

    @property
    def authority_pem(self) -> str:
        """The certificate of that authority."""
        return self._sites.authority_pem

    @property
    def secret(self) -> str | None:
        """What signed replies are signed with."""
        return self._fault_routes.secret

    @secret.setter
    def secret(self, value: str | None) -> None:
        self._fault_routes.secret = value

    @property
    def reached_inside(self) -> int:
        """How many connections reached the internal address: none, unless something is wrong."""
        return 0 if self._sites.internal is None else self._sites.internal.accepted

    def base_url(self, fault: Fault) -> str:
        """The URL of the integration of `fault`; the hook's path is `fault.path`."""
        return self._sites.urls[fault.site]

    def reset(self) -> None:
        """Let faults that are different the first time begin anew, and forget the requests."""
        self._fault_routes.reset()
        self.resolver.reset()
        self.requests.clear()

    def close_idle(self) -> None:
        """Close every open connection in an orderly way, also those of the other sites."""
        super().close_idle()
        for server in self._sites.servers:
            server.close_idle()

    async def no_connections(self) -> None:
        """Return once every connection is gone, also those of the other sites. Raises `TimeoutError` after a while."""
        await super().no_connections()
        for server in self._sites.servers:
            await server.no_connections()

    async def answer(self, request: Request) -> Reply | Raw | bytes:
        """What the server answers to `request`."""
        if request.method != "OPTIONS" and request.path not in self._routes:
            answer = await self._fault_routes.answer(request)
            if answer is not None:
                return answer
        return await super().answer(request)


def catalogue(server: FaultServer) -> str:
    """The faults with their URLs, for people."""
    lines = []
    for fault in server.faults:
        expected = fault.expected.reason or fault.expected.status
        needs = " (by its resolver)" if fault.site in _BY_RESOLVER else " (signed replies)" if fault.signed else ""
        lines.append(f"{fault.name:24} {expected:20} {server.base_url(fault)}{fault.path}{needs}")
    return "\n".join(lines)


async def _serve(port: int) -> None:
    async with FaultServer(port=port) as server:
        sys.stdout.write(f"{'fault':24} {'expected':20} URL\n{catalogue(server)}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server until it is interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m gateway.testing.fault_server", description="An integration server that goes wrong in every way."
    )
    parser.add_argument("--port", type=int, default=0, help="the port of the plain faults (any free one)")
    options = parser.parse_args(arguments)
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(options.port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
