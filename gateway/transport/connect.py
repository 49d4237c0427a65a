"""Making a connection: resolve, judge every address, connect, check where one arrived, TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Final, Protocol, cast

from aiohappyeyeballs import start_connection

from gateway.errors import AddressBlocked, ConnectFailed, TlsFailed
from gateway.transport.tls import TlsContexts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.transport.address import AddressGuard
    from gateway.transport.protocol import Endpoint
    from gateway.transport.resolver import AddressInfo

__all__ = ["Connector", "Resolves"]

_NEXT_ADDRESS_AFTER: Final = 0.25  # seconds; the "connection attempt delay" of RFC 8305
_SHUTDOWN_SECONDS: Final = 1.0


class Resolves(Protocol):
    """What finds the addresses of a host; `gateway.transport.resolver.Resolver` does it by DNS."""

    async def resolve(self, host: str, port: int) -> Sequence[AddressInfo]:
        """The addresses of `host`, at least one. Raises `DnsFailed`."""
        ...

    async def aclose(self) -> None:
        """Give up what is under way."""
        ...


class Connector:
    """Connects to an endpoint at an address that the guard permits."""

    def __init__(self, guard: AddressGuard, resolver: Resolves, context: ssl.SSLContext | None = None) -> None:
        self._guard = guard
        self._resolver = resolver
        self._contexts = TlsContexts(context)

    async def connect(self, endpoint: Endpoint, protocol: asyncio.Protocol) -> None:
        """Connect and hand the open transport to `protocol.connection_made`.

        The caller sets the time limit by cancelling; whatever was opened is closed then. Raises `CallError`.
        """
        refusal = self._guard.refusal(endpoint)
        if refusal is not None:
            raise AddressBlocked(refusal)
        found = await self._resolver.resolve(endpoint.host, endpoint.port)
        sock = await self._open(endpoint, self._permitted(endpoint.host, found))
        if endpoint.scheme == "https":
            await self._start_tls(endpoint, sock, protocol)
        else:
            await _adopt(sock, protocol)

    def _permitted(self, host: str, found: Sequence[AddressInfo]) -> list[AddressInfo]:
        permitted = []
        blocked: AddressBlocked | None = None
        for info in found:
            try:
                self._guard.check(host, info[4])
            except AddressBlocked as error:
                blocked = blocked or error
            else:
                permitted.append(info)
        if blocked is not None and not permitted:
            raise blocked
        return permitted

    async def _open(self, endpoint: Endpoint, addresses: Sequence[AddressInfo]) -> socket.socket:
        where = f"{endpoint.host}:{endpoint.port}"
        try:
            sock = await start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_AFTER)
        except (OSError, RuntimeError) as error:  # uvloop raises RuntimeError for some of them
            raise ConnectFailed(f"No connection to {where}: {_words(error)}.") from None
        try:
            self._guard.check(endpoint.host, sock.getpeername())
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            raise ConnectFailed(f"No connection to {where}: {_words(error)}.") from None
        except AddressBlocked:
            sock.close()
            raise
        return sock

    async def _start_tls(self, endpoint: Endpoint, sock: socket.socket, protocol: asyncio.Protocol) -> None:
        tls = endpoint.tls
        try:
            context = self._contexts.context(tls)
        except BaseException:
            sock.close()
            raise
        name = endpoint.host if tls is None or tls.server_name is None else tls.server_name
        loop = asyncio.get_running_loop()
        # In two steps, because a handshake can only be broken off at once through the raw transport.
        raw = await _adopt(sock, _Still())
        if raw.is_closing():  # uvloop would let the handshake wait for ever
            raise TlsFailed(f"The connection to {endpoint.host!r} closed before the TLS handshake.")
        try:
            secured = await loop.start_tls(
                raw, protocol, context, server_hostname=name, ssl_shutdown_timeout=_SHUTDOWN_SECONDS
            )
        except ssl.SSLCertVerificationError as error:
            raw.abort()
            raise TlsFailed(f"The certificate of {endpoint.host!r} was not accepted: {error.verify_message}.") from None
        except OSError as error:  # ssl.SSLError is one
            raw.abort()
            raise TlsFailed(f"The TLS handshake with {endpoint.host!r} failed: {_words(error)}.") from None
        except BaseException:
            raw.abort()
            raise
        if secured is None:
            raw.abort()
            raise TlsFailed(f"The connection to {endpoint.host!r} closed during the TLS handshake.")
        protocol.connection_made(secured)


class _Still(asyncio.Protocol):
    """Does not read: what the other side does before the handshake is for the handshake to see."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).pause_reading()


async def _adopt(sock: socket.socket, protocol: asyncio.Protocol) -> asyncio.Transport:
    try:
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: protocol, sock=sock)
    except OSError as error:
        sock.close()
        raise ConnectFailed(f"The connection broke as soon as it was made: {_words(error)}.") from None
    except BaseException:
        sock.close()
        raise
    return transport


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
