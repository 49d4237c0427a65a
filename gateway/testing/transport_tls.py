"""The part of the transport exam about TLS of one integration's own: authority, client certificate, name, version."""
# ruff: noqa: D102 - a test's name says what it holds

from __future__ import annotations

import ssl
import warnings
from typing import TYPE_CHECKING

import pytest

from gateway.errors import ConnectFailed, TlsFailed
from gateway.testing.transport_bench import CasesOnABench, case
from gateway.transport.tls import TlsProfile

if TYPE_CHECKING:
    import trustme

__all__ = ["TlsCases"]


class TlsCases(CasesOnABench):
    """What a `TlsProfile` says holds for the calls that have it, and for no others."""

    @case
    async def test_a_private_authority_is_trusted_only_where_it_is_configured(self) -> None:
        authority = _authority()
        async with self.bench(server_tls=_server(authority)) as call:
            private = TlsProfile(ca_pem=_pem(authority.cert_pem))
            assert (await call("/unchanged", tls=private)).status == 204
            with pytest.raises(TlsFailed, match="certificate"):
                await call("/unchanged")
            with pytest.raises(TlsFailed, match="certificate"):
                await call("/unchanged", tls=TlsProfile(ca_pem=_pem(_authority().cert_pem)))
            assert (await call("/unchanged", tls=private)).status == 204
            assert call.server.requests[1:] == call.server.requests[:1]

    @case
    async def test_with_a_private_authority_no_other_is_trusted(self) -> None:
        authority, other = _authority(), _authority()
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        async with self.bench(server_tls=_server(authority), client_tls=trusting) as call:
            assert (await call("/unchanged")).status == 204
            with pytest.raises(TlsFailed, match="certificate"):
                await call("/unchanged", tls=TlsProfile(ca_pem=_pem(other.cert_pem)))

    @case
    async def test_a_client_certificate_is_shown_where_it_is_configured(self) -> None:
        authority, clients = _authority(), _authority()
        ours = _client(clients, authority)
        async with self.bench(server_tls=_server(authority, clients)) as call:
            assert (await call("/unchanged", tls=ours)).status == 204
            assert (await call("/echo", b'"again"', tls=ours)).body == b'"again"'
            assert call.server.accepted == 1

    @pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    @pytest.mark.parametrize("shown", ["none", "of another authority"])
    @case
    async def test_without_the_right_client_certificate_the_call_fails_as_tls(
        self, shown: str, newest: ssl.TLSVersion
    ) -> None:
        authority, clients = _authority(), _authority()
        server = _server(authority, clients)
        server.maximum_version = newest
        wrong = TlsProfile(ca_pem=_pem(authority.cert_pem)) if shown == "none" else _client(_authority(), authority)
        # asyncio's server just closes where others send an alert; without a certificate, that can mean anything.
        mute = shown == "none" and newest is ssl.TLSVersion.TLSv1_3
        async with self.bench(server_tls=server) as call:
            with pytest.raises(ConnectFailed if mute else TlsFailed):
                await call("/unchanged", tls=wrong)
            assert (await call("/unchanged", tls=_client(clients, authority))).status == 204
            assert len(call.server.requests) == 1

    @case
    async def test_a_client_certificate_goes_with_the_authorities_of_the_transport(self) -> None:
        authority = _authority()
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        ours = _client(authority, None)
        async with self.bench(server_tls=_server(authority, authority), client_tls=trusting) as call:
            assert (await call("/unchanged", tls=ours)).status == 204

    @case
    async def test_another_name_is_asked_for_and_expected_where_it_is_configured(self) -> None:
        authority = _authority()
        server = _server(authority, name="hooks.internal.example")
        asked: list[str | None] = []
        server.sni_callback = lambda _socket, name, _context: asked.append(name)
        pem = _pem(authority.cert_pem)
        async with self.bench(server_tls=server) as call:
            named = TlsProfile(ca_pem=pem, server_name="hooks.internal.example")
            assert (await call("/unchanged", tls=named)).status == 204
            assert asked == ["hooks.internal.example"]
            assert call.server.requests[0].header("host") == f"127.0.0.1:{call.server.port}"
            for wrong in (TlsProfile(ca_pem=pem), TlsProfile(ca_pem=pem, server_name="other.example")):
                with pytest.raises(TlsFailed):
                    await call("/unchanged", tls=wrong)

    @case
    async def test_without_verification_any_certificate_will_do_and_only_there(self) -> None:
        async with self.bench(server_tls=_server(_authority(), name="other.example")) as call:
            assert (await call("/unchanged", tls=TlsProfile(verify=False))).status == 204
            with pytest.raises(TlsFailed, match="certificate"):
                await call("/unchanged")
            with pytest.raises(TlsFailed, match="certificate"):
                await call("/unchanged", tls=TlsProfile())
            assert len(call.server.requests) == 1

    @case
    async def test_connections_are_not_shared_between_profiles(self) -> None:
        authority = _authority()
        async with self.bench(server_tls=_server(authority, name="127.0.0.1")) as call:
            pem = _pem(authority.cert_pem)
            for profile in (TlsProfile(pem), TlsProfile(pem), TlsProfile(pem, server_name="127.0.0.1")):
                await call("/unchanged", tls=profile)
            assert call.server.accepted == 2

    @case
    async def test_below_tls_1_2_nothing_is_sent(self) -> None:
        authority = _authority()
        server = _server(authority)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # they are old: that is the point
            server.minimum_version = ssl.TLSVersion.TLSv1
            server.maximum_version = ssl.TLSVersion.TLSv1_1
        server.set_ciphers("ALL:@SECLEVEL=0")
        async with self.bench(server_tls=server) as call:
            with pytest.raises(TlsFailed):
                await call("/unchanged", tls=TlsProfile(ca_pem=_pem(authority.cert_pem)))
            assert call.server.requests == []

    @case
    async def test_a_profile_that_cannot_be_used_is_a_tls_failure_that_shows_no_key(self) -> None:
        authority = _authority()
        one, other = authority.issue_cert("one.example"), authority.issue_cert("other.example")
        key = _pem(other.private_key_pem)
        async with self.bench(server_tls=_server(authority)) as call:
            with pytest.raises(TlsFailed, match="key_pem is not the key") as caught:
                await call("/unchanged", tls=TlsProfile(certificate_pem=_pem(one.cert_chain_pems[0]), key_pem=key))
            assert key[40:60] not in str(caught.value)
            assert call.server.requests == []


def _authority() -> trustme.CA:
    import trustme

    return trustme.CA()


def _server(authority: trustme.CA, clients: trustme.CA | None = None, *, name: str = "127.0.0.1") -> ssl.SSLContext:
    """A server's context: its certificate is for `name`; with `clients`, it demands one of that authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        clients.configure_trust(context)
    return context


def _client(issuer: trustme.CA, trusted: trustme.CA | None) -> TlsProfile:
    """A profile that trusts `trusted` and shows a certificate of `issuer`."""
    issued = issuer.issue_cert("gateway.example")
    chain = "".join(_pem(part) for part in issued.cert_chain_pems)
    return TlsProfile(None if trusted is None else _pem(trusted.cert_pem), chain, _pem(issued.private_key_pem))


def _pem(blob: trustme.Blob) -> str:
    return blob.bytes().decode("ascii")
