"""A server that says by a TLS alert, after the handshake, that it minds the client certificate."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading

import pytest
import trustme

from gateway.errors import TlsFailed
from gateway.transport import AddressGuard, Limits, parse_endpoint
from gateway.transport.aiohttp_client import AiohttpTransport
from gateway.transport.client import HttpTransport
from gateway.transport.tls import TlsProfile


@pytest.fixture
def authority():
    return trustme.CA()


@pytest.fixture
def port(authority):
    """Where a server listens that demands a client certificate, by OpenSSL itself, and waits for the other side."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    context.verify_mode = ssl.CERT_REQUIRED
    trustme.CA().configure_trust(context)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            plain, _ = listening.accept()
            with plain.dup() as still_open:
                with pytest.raises(ssl.SSLError):
                    context.wrap_socket(plain, server_side=True)
                still_open.settimeout(10)
                while still_open.recv(65_536):  # to close before would be a reset, which might overtake the alert
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


@pytest.mark.parametrize("kind", [HttpTransport, AiohttpTransport])
async def test_an_alert_after_the_handshake_is_a_tls_failure(kind, authority, port):
    transport = kind(AddressGuard(["127.0.0.0/8"]))
    endpoint = parse_endpoint(f"https://127.0.0.1:{port}/", tls=TlsProfile(ca_pem=authority.cert_pem.bytes().decode()))
    deadline = asyncio.get_running_loop().time() + 20
    with pytest.raises(TlsFailed):
        await transport.exchange(endpoint, "POST", [], b"{}", deadline=deadline, limits=Limits())
    await transport.aclose()
