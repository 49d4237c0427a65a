"""Making a connection to an upstream: name, TCP or unix socket, TLS. Each failure in clear words."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import TYPE_CHECKING, Final, cast

from aiohappyeyeballs import start_connection

from gateway.errors import ConfigError, UpstreamFailed

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.transport.origin import Origin

__all__ = ["Connector", "tls_context"]

_NEXT_ADDRESS_AFTER: Final = 0.25  # seconds; the "connection attempt delay" of RFC 8305
_SHUTDOWN_SECONDS: Final = 1.0
# A host that is gone says nothing, not even that it is: then the kernel asks, after 30 s of silence, three times.
_KEEP_ALIVE: Final = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))


def tls_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """TLS 1.2 or newer, certificates verified against those in `ca_file`, or the system's. Raises `ConfigError`."""
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigError(
            f"upstreams.ca_file: {ca_file} cannot be used: {_words(error)}. "
            "Give a PEM file with certificates of authorities."
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


class Connector:
    """Connects to one origin. `context` is for https."""

    def __init__(self, origin: Origin, context: ssl.SSLContext | None) -> None:
        self._origin = origin
        self._context = context

    async def connect(self, protocol: asyncio.Protocol) -> None:
        """Connect and hand the open transport to `protocol.connection_made`.

        The caller sets the time limit by cancelling; whatever was opened is closed then. Raises `UpstreamFailed`.
        """
        origin = self._origin
        if origin.socket is not None:
            await self._to_socket(origin.socket, protocol)
            return
        sock = await self._open()
        if origin.secure:
            await self._start_tls(sock, protocol)
        else:
            await self._adopt(sock, protocol)

    async def _to_socket(self, path: str, protocol: asyncio.Protocol) -> None:
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: protocol, path)
        except OSError as error:
            raise self._refused(error) from None

    async def _open(self) -> socket.socket:
        origin = self._origin
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise UpstreamFailed(
                f"The host of the query API behind the gateway cannot be found: {_words(error)}.",
                reason="dns",
            ) from None
        try:
            sock = await start_connection(found, happy_eyeballs_delay=_NEXT_ADDRESS_AFTER, interleave=1)
        except (OSError, RuntimeError) as error:  # uvloop raises RuntimeError for some of them
            raise self._refused(error) from None
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEP_ALIVE:
                if hasattr(socket, name):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        except OSError as error:
            sock.close()
            raise self._refused(error) from None
        return sock

    async def _adopt(self, sock: socket.socket, protocol: asyncio.Protocol) -> asyncio.Transport:
        try:
            transport, _ = await asyncio.get_running_loop().create_connection(lambda: protocol, sock=sock)
        except OSError as error:
            sock.close()
            raise self._refused(error) from None
        except BaseException:
            sock.close()
            raise
        return transport

    async def _start_tls(self, sock: socket.socket, protocol: asyncio.Protocol) -> None:
        host = self._origin.host
        assert self._context is not None
        # In two steps, because a handshake can only be broken off at once through the raw transport.
        raw = await self._adopt(sock, _Still())
        if raw.is_closing():  # uvloop would let the handshake wait for ever
            raise _insecure("The query API behind the gateway closed the connection before the TLS handshake.")
        try:
            secured = await asyncio.get_running_loop().start_tls(
                raw, protocol, self._context, server_hostname=host, ssl_shutdown_timeout=_SHUTDOWN_SECONDS
            )
        except ssl.SSLCertVerificationError as error:
            raw.abort()
            raise _insecure(
                f"The certificate of the query API behind the gateway is not accepted: "
                f"{error.verify_message}. If an authority of your own has issued it, name that in upstreams.ca_file."
            ) from None
        except OSError as error:  # ssl.SSLError is one
            raw.abort()
            raise _insecure(
                f"The TLS handshake with the query API behind the gateway failed: {_words(error)}."
            ) from None
        except BaseException:
            raw.abort()
            raise
        if secured is None:
            raw.abort()
            raise _insecure("The query API behind the gateway closed the connection during the TLS handshake.")
        protocol.connection_made(secured)

    def _refused(self, error: Exception) -> UpstreamFailed:
        return UpstreamFailed(
            f"No connection to the query API behind the gateway: {_words(error)}.",
            reason="refused",
        )


class _Still(asyncio.Protocol):
    """Does not read: what the other side does before the handshake is for the handshake to see."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).pause_reading()


def _insecure(detail: str) -> UpstreamFailed:
    return UpstreamFailed(detail, reason="tls")


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)  # asyncio's own words name the address
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
