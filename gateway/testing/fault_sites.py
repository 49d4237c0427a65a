"""The addresses at which faults live that happen before a request arrives: connecting, names, TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import warnings
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from gateway.errors import ConfigError, DnsFailed
from gateway.testing.fault_catalogue import Site
from gateway.testing.hook_server import HookServer
from gateway.transport.resolver import Resolver, literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import trustme

    from gateway.transport.resolver import AddressInfo

__all__ = ["INTERNAL", "FaultResolver", "FaultSites"]

LOOPBACK: Final = "127.0.0.1"
INTERNAL: Final = "127.0.0.2"  # stands for an address that nobody allowed
_NAMES: Final = {site: f"{site.value}.faults.test" for site in (Site.NO_NAME, Site.SILENT_DNS, Site.REBINDING)}
_QUEUE_SECONDS: Final = 0.1  # a connect on loopback that takes longer is not answered
_QUEUE_MOST: Final = 16
_DAY: Final = timedelta(days=1)


class FaultResolver:
    """Resolves the names of the fault server as their faults want it, and other names by DNS.

    For `HttpTransport(resolver=…)`.
    """

    def __init__(self) -> None:
        self._others = Resolver()
        self._rebound = False

    def reset(self) -> None:
        """Let the name of the rebinding fault resolve to its allowed address once more."""
        self._rebound = False

    async def resolve(self, host: str, port: int) -> Sequence[AddressInfo]:
        """The addresses of `host`. Raises `DnsFailed`."""
        if host == _NAMES[Site.NO_NAME]:
            raise DnsFailed(f"The host {host!r} could not be resolved: no such name.")
        if host == _NAMES[Site.SILENT_DNS]:
            await asyncio.Event().wait()
        if host != _NAMES[Site.REBINDING]:
            return await self._others.resolve(host, port)
        address = INTERNAL if self._rebound else LOOPBACK
        self._rebound = True
        info = literal(address, port)
        assert info is not None
        return [info]

    async def aclose(self) -> None:
        """Give up what is under way."""
        await self._others.aclose()


class FaultSites:
    """Opens the sites beside the plain one, whose port is `port`; `urls` says where each is.

    Raises `ConfigError` if the package trustme is missing, which makes the certificates.
    """

    def __init__(self) -> None:
        self.urls: dict[Site, str] = {}
        self.internal: HookServer | None = None
        self.servers: list[HookServer] = []
        self.client_tls = ssl.create_default_context()
        self.authority_pem = ""
        self._stack = AsyncExitStack()

    async def open(self, url: str, port: int) -> None:
        """Open them all."""
        self.urls = {Site.HTTP: url, Site.TLS_NOT: f"https://{LOOPBACK}:{port}"}
        self.urls |= {site: f"http://{name}:{port}" for site, name in _NAMES.items()}
        async with AsyncExitStack() as stack:
            self.urls[Site.REFUSED] = stack.enter_context(_refusing())
            self.urls[Site.BLACK_HOLE] = await _black_hole(stack.enter_context(ExitStack()))
            for site, context in self._contexts().items():
                server = await stack.enter_async_context(HookServer(ssl=context))
                self.servers.append(server)
                self.urls[site] = server.url
            with suppress(OSError):  # not every system has more than one loopback address
                self.internal = await stack.enter_async_context(HookServer(host=INTERNAL, port=port))
            self._stack = stack.pop_all()

    async def aclose(self) -> None:
        """Close them."""
        await self._stack.aclose()

    def _contexts(self) -> dict[Site, ssl.SSLContext]:
        try:
            import trustme
        except ModuleNotFoundError:
            raise ConfigError(
                "The fault server makes certificates with the package trustme, which is not installed; "
                "install it, for example by the extra query-hook-gateway[faults]."
            ) from None
        authority = trustme.CA()
        authority.configure_trust(self.client_tls)
        self.authority_pem = authority.cert_pem.bytes().decode("ascii")
        past = datetime.now(UTC) - _DAY
        expired = authority.issue_cert(LOOPBACK, not_before=past - _DAY, not_after=past)
        old = _context(authority.issue_cert(LOOPBACK))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # that it is old is the point
            old.minimum_version = ssl.TLSVersion.TLSv1
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        return {
            Site.TLS: _context(authority.issue_cert(LOOPBACK)),
            Site.TLS_EXPIRED: _context(expired),
            Site.TLS_WRONG_HOST: _context(authority.issue_cert("elsewhere.example")),
            Site.TLS_SELF_SIGNED: _context(trustme.CA().issue_cert(LOOPBACK)),
            Site.TLS_OLD: old,
        }


def _context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    return context


@contextmanager
def _refusing() -> Iterator[str]:
    """A port that is taken, on which nobody listens."""
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        yield f"http://{LOOPBACK}:{taken.getsockname()[1]}"


async def _black_hole(stack: ExitStack) -> str:
    """A port whose queue of connections is full, so that the system leaves further ones without an answer."""
    listener = stack.enter_context(socket.socket())
    listener.bind((LOOPBACK, 0))
    listener.listen(0)
    address = listener.getsockname()
    loop = asyncio.get_running_loop()
    for _ in range(_QUEUE_MOST):
        waiting = stack.enter_context(socket.socket())
        waiting.setblocking(False)
        try:
            async with asyncio.timeout(_QUEUE_SECONDS):
                await loop.sock_connect(waiting, address)
        except TimeoutError:
            break
    return f"http://{LOOPBACK}:{address[1]}"
