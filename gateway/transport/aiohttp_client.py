"""The second implementation of the seam, on aiohttp's client: the reference that the first is compared with.

Several times slower than `gateway.transport.client.HttpTransport` and less strict with broken replies, as
aiohttp's parser forgives some of them; for those who want a client that many others use. Import it only
where it is used: aiohttp takes long to import.
"""

from __future__ import annotations

import asyncio
import io
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import aiohttp
from yarl import URL

from gateway.errors import (
    AddressBlocked,
    CallError,
    ConnectFailed,
    DnsFailed,
    ProtocolViolated,
    ReplyTooLarge,
    TimedOut,
    TlsFailed,
)
from gateway.transport.decoding import inflater_for
from gateway.transport.protocol import Endpoint, Limits, Response
from gateway.transport.request import HeadWriter
from gateway.transport.tls import TlsContexts, TlsProfile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import SimpleNamespace

    from aiohappyeyeballs import AddrInfoType

    from gateway.transport.address import AddressGuard

__all__ = ["AiohttpTransport"]

_NO_AUTO_HEADERS: Final = frozenset({"accept", "accept-encoding", "user-agent", "content-type"})
_PIECE: Final = 64 * 1024


@dataclass(slots=True, eq=False)
class _Pool:
    """One session, how many calls use it now, and whether new calls must get another."""

    session: aiohttp.ClientSession
    calls: int = 0
    retired: bool = False


@dataclass(slots=True)
class _Attempt:
    """What aiohttp's tracing tells of one request."""

    reused: bool = False


class _Blocked(OSError):
    """The guard's refusal in a form that aiohttp's connector passes on."""

    def __init__(self, error: AddressBlocked) -> None:
        super().__init__(error.detail)
        self.blocked = error


class AiohttpTransport:
    """HTTP/1.1 calls through one aiohttp session per pool and header cap.

    The guard stands where the connector makes a socket, so it sees the very address, for each connection.
    Redirects, cookies, proxies from the environment and automatic decompression are off. After a fault the
    session is not used again, as aiohttp may have put the connection back before the fault was seen. Like the first
    implementation, it sends a request once more if a kept connection broke before a reply began.
    """

    def __init__(self, guard: AddressGuard, *, ssl_context: ssl.SSLContext | None = None) -> None:
        self._guard = guard
        self._contexts = TlsContexts(ssl_context)
        self._head_writer = HeadWriter()
        self._pools: dict[tuple[str, str, Limits, TlsProfile | None], _Pool] = {}
        self._calls: set[asyncio.Timeout] = set()
        self._no_calls = asyncio.Event()
        self._no_calls.set()
        self._closed = False
        self._tracing = aiohttp.TraceConfig()
        self._tracing.on_connection_reuseconn.append(_note_reuse)

    async def exchange(
        self,
        endpoint: Endpoint,
        method: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        *,
        deadline: float,
        limits: Limits,
    ) -> Response:
        """See `gateway.transport.Transport`."""
        if self._closed:
            raise ConnectFailed("The transport is closed.")
        if deadline <= asyncio.get_running_loop().time():
            raise TimedOut("The deadline had passed before the call began.")
        self._head_writer.write(endpoint, method, headers, len(body))  # for its refusals only
        refusal = self._guard.refusal(endpoint)
        if refusal is not None:
            raise AddressBlocked(refusal)
        scope = asyncio.timeout_at(deadline)
        attempt = _Attempt()
        try:
            async with scope:
                self._calls.add(scope)
                self._no_calls.clear()
                try:
                    return await self._call(endpoint, method, headers, body, limits, attempt)
                except (aiohttp.ClientConnectionError, OSError):
                    if not attempt.reused or self._closed:
                        raise
                return await self._call(endpoint, method, headers, body, limits, _Attempt())
        except TimeoutError:
            if self._closed:
                raise ConnectFailed("The transport was closed.") from None
            raise TimedOut("The deadline passed before the reply was complete.") from None
        except CallError:
            raise
        except Exception as error:
            if endpoint.shows_certificate and not attempt.reused and _is_dropped(error):
                raise TlsFailed("The connection was closed right after the TLS handshake.") from error
            raise _translated(error) from error
        finally:
            self._calls.discard(scope)
            if not self._calls:
                self._no_calls.set()

    async def aclose(self) -> None:
        """Close every connection. Exchanges in flight fail with `ConnectFailed`."""
        self._closed = True
        for scope in self._calls:
            if not scope.expired():
                scope.reschedule(asyncio.get_running_loop().time())
        await self._no_calls.wait()
        while self._pools:
            await self._pools.popitem()[1].session.close()

    async def _call(
        self,
        endpoint: Endpoint,
        method: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        limits: Limits,
        attempt: _Attempt,
    ) -> Response:
        pool = self._pool(endpoint, limits)
        pool.calls += 1
        try:
            return await self._request(pool, endpoint, method, headers, body, limits, attempt)
        except BaseException:
            self._retire(pool)
            raise
        finally:
            pool.calls -= 1
            if pool.retired and not pool.calls:
                await pool.session.close()

    async def _request(
        self,
        pool: _Pool,
        endpoint: Endpoint,
        method: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        limits: Limits,
        attempt: _Attempt,
    ) -> Response:
        response = await pool.session.request(
            method,
            URL(endpoint.url, encoded=True),
            headers=[("host", endpoint.authority), *headers],
            data=io.BytesIO(body) if len(body) > _PIECE else body or None,
            skip_auto_headers=_NO_AUTO_HEADERS,
            allow_redirects=False,
            trace_request_ctx=attempt,
            server_hostname=None if endpoint.tls is None else endpoint.tls.server_name,
        )
        try:
            if response.status < 200 or response.status > 599 or response.version not in {(1, 0), (1, 1)}:
                raise ProtocolViolated("The reply's status line is not one of HTTP/1.1.")
            if [value.lower() for value in response.headers.getall("transfer-encoding", [])] not in ([], ["chunked"]):
                raise ProtocolViolated("The reply has a transfer encoding other than chunked.")
            if len(response.raw_headers) > limits.header_count:
                raise ReplyTooLarge(f"The reply has more than {limits.header_count} headers.")
            content, received = await _read(response, limits)
        except ReplyTooLarge as error:
            error.status = response.status
            response.close()
            raise
        except BaseException:
            response.close()
            raise
        response.release()
        if response.status in {204, 304} and response.headers.get("content-length", "0") != "0":
            self._retire(pool)  # the promised bytes may still come
        head = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.raw_headers]
        return Response(response.status, head, content, received)

    def _retire(self, pool: _Pool) -> None:
        pool.retired = True
        for key, known in self._pools.items():
            if known is pool:
                del self._pools[key]
                return

    def _pool(self, endpoint: Endpoint, limits: Limits) -> _Pool:
        key = (endpoint.pool, endpoint.host, limits, endpoint.tls)
        pool = self._pools.get(key)
        if pool is None:
            context = self._contexts.context(endpoint.tls) if endpoint.scheme == "https" else None
            host = endpoint.host

            def guarded_socket(info: AddrInfoType) -> socket.socket:
                try:
                    self._guard.check(host, info[4])
                except AddressBlocked as error:
                    raise _Blocked(error) from None
                made = socket.socket(info[0], info[1], info[2])
                made.setblocking(False)
                return made

            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, ssl=context or True, socket_factory=guarded_socket, ttl_dns_cache=10
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
                trust_env=False,
                trace_configs=[self._tracing],
                auto_decompress=False,
                max_line_size=limits.head,
                max_field_size=limits.head,
                read_bufsize=_PIECE,
            )
            pool = self._pools[key] = _Pool(session)
        return pool


async def _note_reuse(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: aiohttp.TraceConnectionReuseconnParams
) -> None:
    context.trace_request_ctx.reused = True


async def _read(response: aiohttp.ClientResponse, limits: Limits) -> tuple[bytes, int]:
    codings = response.headers.getall("content-encoding", [])
    inflater = inflater_for(", ".join(codings), limits.body)
    content = bytearray()
    received = 0
    async for piece in response.content.iter_any():
        received += len(piece)
        if received > limits.body:
            raise ReplyTooLarge(f"The body of the reply is larger than {limits.body} bytes.")
        content += piece if inflater is None else inflater.feed(piece)
    if inflater is not None and received:
        inflater.finish()
    return bytes(content), received


def _is_dropped(error: Exception) -> bool:
    """Whether a connection that was made ended without a byte of a reply."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return False
    return isinstance(error, (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError, ConnectionError))


def _translated(error: Exception) -> CallError:
    """What an exception of aiohttp means to a caller; more special ones first."""
    cause = getattr(error, "os_error", None)
    if isinstance(cause, _Blocked):
        return cause.blocked
    match error:
        case aiohttp.ClientConnectorDNSError():
            return DnsFailed(f"The host {error.host!r} could not be resolved.")
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return TlsFailed(f"The TLS handshake or the certificate failed: {type(cause or error).__name__}.")
        case aiohttp.ClientOSError() if isinstance(error.__cause__, ssl.SSLError):
            return TlsFailed("The other side ended the TLS connection.")
        case aiohttp.ClientConnectorError() if isinstance(cause, ConnectionResetError) and error.ssl:
            return TlsFailed("The connection broke during the TLS handshake.")
        case aiohttp.ServerDisconnectedError() if error.message and not isinstance(error.message, str):
            return ProtocolViolated("The connection was closed in the middle of the reply's head.")
        case aiohttp.ClientPayloadError():
            return ProtocolViolated("The connection was closed in the middle of the reply's body, or it is broken.")
        case aiohttp.ClientResponseError() if "more than" in error.message or "Too many" in error.message:
            return ReplyTooLarge("The head of the reply is larger than it may be, or it has too many headers.")
        case aiohttp.ClientResponseError():
            return ProtocolViolated("The reply is not valid HTTP/1.1.")
        case aiohttp.ClientConnectionError() | OSError():
            return ConnectFailed("No connection could be made, or it broke before a reply began.")
        case _:
            return CallError("The call failed by a fault of the gateway.")
