"""https upstreams: whose certificates are accepted, and what a failed handshake says."""

from __future__ import annotations

import ssl
import warnings

import pytest
import trustme

from gateway.errors import ConfigError, UpstreamFailed
from gateway.service.upstream import tls_context
from tests.integration.upstream.conftest import Pieces, ask, whole

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def ca_file(authority, tmp_path):
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def serving(authority, *names):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


async def test_an_upstream_with_a_certificate_of_an_own_authority(serve, client, authority, ca_file):
    server = await serve(OK, ssl=serving(authority, "localhost"))
    upstream = (await client(context=tls_context(ca_file))).at(server.url)
    assert await whole(upstream) == (200, b"ok")
    assert await whole(upstream, "POST", body=Pieces(b"x" * 300_000)) == (200, b"ok")
    assert await whole(upstream, "PUT", body=b"x" * 300_000) == (200, b"ok")
    assert server.accepted == 1


async def test_large_answers_come_whole_over_tls(serve, client, authority, ca_file):
    server = await serve(
        b"HTTP/1.1 200 OK\r\ncontent-length: 3000000\r\n\r\n" + b"x" * 3_000_000, ssl=serving(authority, "localhost")
    )
    upstream = (await client(context=tls_context(ca_file))).at(server.url)
    for _ in range(2):
        status, body = await whole(upstream)
        assert (status, len(body)) == (200, 3_000_000)
    assert server.accepted == 1


async def test_an_answer_until_the_end_of_the_connection_over_tls(serve, client, authority, ca_file):
    async def script(peer):
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nhello")

    server = await serve(script, ssl=serving(authority, "localhost"))
    upstream = (await client(context=tls_context(ca_file))).at(server.url)
    assert await whole(upstream) == (200, b"hello")


async def test_the_system_s_authorities_do_not_know_an_own_one(serve, client, authority):
    server = await serve(OK, ssl=serving(authority, "localhost"))
    upstreams = await client()
    with pytest.raises(UpstreamFailed, match=r"certificate of .* is not accepted: .*ca_file") as caught:
        await ask(upstreams.at(server.url))
    assert (caught.value.reason, caught.value.status, upstreams.status()[0].open) == ("tls", 502, 0)


async def test_a_certificate_for_another_name_is_not_accepted(serve, client, authority, ca_file):
    server = await serve(OK, ssl=serving(authority, "api.example"))
    with pytest.raises(UpstreamFailed, match=r"is not accepted: .*'localhost'") as caught:
        await ask((await client(context=tls_context(ca_file))).at(server.url))
    assert caught.value.reason == "tls"


async def test_the_name_that_is_asked_for_is_the_upstream_s(serve, client, authority, ca_file):
    asked = []
    context = serving(authority, "localhost")
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    server = await serve(OK, ssl=context)
    await whole((await client(context=tls_context(ca_file))).at(server.url))
    assert asked == ["localhost"]


async def test_a_server_without_tls_is_told_apart(serve, client):
    async def script(peer):
        await peer.reader.read(100)
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    server = await serve(script)
    with pytest.raises(UpstreamFailed, match=r"handshake .* failed: ") as caught:
        await ask((await client()).at(server.url.replace("http:", "https:").replace("127.0.0.1", "localhost")))
    assert caught.value.reason == "tls"


async def test_a_server_that_closes_in_the_handshake_is_told_apart(serve, client):
    async def script(peer):
        await peer.reader.read(100)

    server = await serve(script)
    with pytest.raises(UpstreamFailed, match=r"handshake") as caught:
        await ask((await client()).at(server.url.replace("http:", "https:").replace("127.0.0.1", "localhost")))
    assert caught.value.reason == "tls"


async def test_an_old_version_of_tls_is_not_spoken(serve, client, authority, ca_file):
    context = serving(authority, "localhost")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    server = await serve(OK, ssl=context)
    with pytest.raises(UpstreamFailed, match="handshake") as caught:
        await ask((await client(context=tls_context(ca_file))).at(server.url))
    assert caught.value.reason == "tls"


@pytest.mark.parametrize("text", [None, "", "no certificate"])
def test_a_ca_file_that_cannot_be_used_is_named(tmp_path, text):
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=r"upstreams\.ca_file: .*ca\.pem cannot be used: .*PEM file"):
        tls_context(path)
