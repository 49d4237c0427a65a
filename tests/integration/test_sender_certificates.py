"""Certificates of senders are got over https, without redirects, within a size, and kept for a while."""

from __future__ import annotations

import asyncio
import ssl

import pytest
import trustme

from gateway.errors import WebhookRefused
from gateway.testing.hook_server import HookServer, Reply
from gateway_providers import CertificateStore

PEM = b"-----BEGIN CERTIFICATE-----"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
async def server(authority):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with HookServer(ssl=context) as it:
        for path, reply in {
            "/cert": Reply(200, body=PEM),
            "/moved": Reply(302, [("location", f"{it.url}/cert")]),
            "/large": Reply(200, body=b"x" * 100_000),
            "/absent": Reply(404),
        }.items():
            it.on(path, answering(reply))
        yield it


def answering(reply):
    async def answer(_):
        return reply

    return answer


def store(authority, **options):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return CertificateStore(context=context, **options)


async def test_a_certificate_is_got_once_and_kept_for_a_while(server, authority):
    now = 0.0
    certificates = store(authority, keep_seconds=60, clock=lambda: now)
    for _ in range(3):
        assert await asyncio.to_thread(certificates.get, f"{server.url}/cert") == PEM
    assert len(server.requests) == 1
    now = 61.0
    assert await asyncio.to_thread(certificates.get, f"{server.url}/cert") == PEM
    assert len(server.requests) == 2


@pytest.mark.parametrize("path", ["/moved", "/large", "/absent"])
async def test_what_is_no_certificate_at_that_very_url_is_refused(path, server, authority):
    with pytest.raises(WebhookRefused):
        await asyncio.to_thread(store(authority).get, server.url + path)
    assert [request.path for request in server.requests] == [path]


async def test_a_server_that_is_not_trusted_and_a_url_without_tls_are_refused(server, authority):
    with pytest.raises(WebhookRefused):
        await asyncio.to_thread(CertificateStore().get, f"{server.url}/cert")
    with pytest.raises(WebhookRefused, match="https"):
        await asyncio.to_thread(store(authority).get, server.url.replace("https", "http") + "/cert")
    assert server.requests == []
