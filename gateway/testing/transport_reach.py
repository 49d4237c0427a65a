"""The part of the transport exam about where calls may go: addresses, names, and TLS."""
# ruff: noqa: D102 - a test's name says what it holds

from __future__ import annotations

import asyncio
import ssl
from typing import Final

import pytest

from gateway.errors import AddressBlocked, ConnectFailed, DnsFailed, TlsFailed
from gateway.testing.transport_bench import CasesOnABench, case
from gateway.transport import Limits

__all__ = ["SPELLINGS_OF_LOOPBACK", "ReachCases"]

SPELLINGS_OF_LOOPBACK: Final = (
    "127.0.0.1",
    "127.0.0.1.",
    "127.8.9.10",
    "127.1",
    "2130706433",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "0x7f000001",
    "017700000001",
    "①②⑦.0.0.1",
    "１２７。０。０。１",
    "0.0.0.0",
    "0",
    "localhost",
    "LocalHost.",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1%25lo]",
)


class ReachCases(CasesOnABench):
    """Only what the guard permits is connected to, and a server must prove its name."""

    @pytest.mark.parametrize("host", SPELLINGS_OF_LOOPBACK)
    @case
    async def test_no_spelling_of_loopback_is_connected_to(self, host: str) -> None:
        async with self.bench(allow=()) as call:
            with pytest.raises((ValueError, AddressBlocked)):  # the URL is refused, or the address
                await call("/unchanged", url=f"http://{host}:{call.server.port}")
            assert call.server.accepted == 0

    @case
    async def test_a_name_that_resolves_to_loopback_is_refused_unless_the_name_is_allowed(self) -> None:
        async with self.bench(allow=["10.0.0.0/8"]) as call:
            with pytest.raises(AddressBlocked, match="localhost"):
                await call("/unchanged", url=f"http://localhost:{call.server.port}")
            assert call.server.accepted == 0
        async with self.bench(allow=["localhost"]) as call:
            assert (await call("/unchanged", url=f"http://localhost:{call.server.port}")).status == 204
            with pytest.raises(AddressBlocked):
                await call("/unchanged")

    @case
    async def test_plain_http_is_refused_unless_it_is_allowed(self) -> None:
        async with self.bench(allow_http=False) as call:
            with pytest.raises(AddressBlocked, match="https"):
                await call("/unchanged")
            assert call.server.accepted == 0

    @case
    async def test_a_port_where_nobody_listens_is_a_failed_connection(self) -> None:
        async with self.bench() as call:
            server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            server.close()
            await server.wait_closed()
            with pytest.raises(ConnectFailed):
                await call("/unchanged", url=f"http://127.0.0.1:{port}")

    @case
    async def test_a_name_that_does_not_exist_is_a_dns_failure(self) -> None:
        async with self.bench() as call:
            with pytest.raises(DnsFailed):
                await call("/unchanged", url="http://no-such-host.invalid")

    # ------------------------------------------------------------ TLS

    @case
    async def test_tls_is_used_and_the_connection_kept(self) -> None:
        server_tls, client_tls = _tls("127.0.0.1")
        async with self.bench(server_tls=server_tls, client_tls=client_tls, allow_http=False) as call:
            for body in (b'"a"', b'"b"' * 100_000):
                assert body == (await call("/echo", body, limits=Limits())).body
            assert call.server.accepted == 1
            await call("/until-close")

    @pytest.mark.parametrize("name", ["elsewhere.example", "127.0.0.2"])
    @case
    async def test_a_certificate_for_another_name_is_refused(self, name: str) -> None:
        server_tls, client_tls = _tls(name)
        async with self.bench(server_tls=server_tls, client_tls=client_tls) as call:
            with pytest.raises(TlsFailed, match="certificate"):
                await call("/unchanged")
            assert call.server.requests == []

    @case
    async def test_a_certificate_of_an_unknown_authority_is_refused(self) -> None:
        server_tls, _ = _tls("127.0.0.1")
        async with self.bench(server_tls=server_tls) as call:
            with pytest.raises(TlsFailed, match="certificate"):
                await call("/unchanged")
            assert call.server.requests == []

    @case
    async def test_a_server_that_does_not_speak_tls_is_a_tls_failure(self) -> None:
        async with self.bench() as call:
            with pytest.raises(TlsFailed):
                await call("/unchanged", url=f"https://127.0.0.1:{call.server.port}")


def _tls(name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts of a server whose certificate is for `name`, and of a client that trusts its authority."""
    import trustme

    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client
