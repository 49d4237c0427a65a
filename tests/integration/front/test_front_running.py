"""Listening and ending: TLS, unix sockets, several sockets at once, drain."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl

import pytest
import trustme

from gateway.service.front import Front, FrontSettings
from gateway.service.messages import ResponseHead

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def contexts(authority):
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


async def test_https_is_spoken_with_a_context(serve, contexts):
    async def handler(exchange):
        exchange.answer(200, [], exchange.scheme.encode() + b" " + exchange.client.encode())

    server, client_side = contexts
    client_side.set_alpn_protocols(["h2", "http/1.1"])
    async with serve(handler, ssl_context=server) as served:
        client = await served.connect(ssl=client_side, server_hostname="localhost")
        for _ in range(3):
            await client.send(GET)
            assert (await client.answer()).body == b"https 127.0.0.1"
        assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"


async def test_large_bodies_and_refusals_go_through_tls(serve, contexts):
    server, client_side = contexts
    async with serve(ssl_context=server) as served:
        client = await served.connect(ssl=client_side, server_hostname="localhost")
        body = bytes(range(256)) * 20_000
        await client.send(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        assert (await client.answer()).body == body
        await client.send(b"POST /unread HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999\r\n\r\n")
        assert (await client.answer()).header(b"connection") == b"close"
        client.close()
        client = await served.connect(ssl=client_side, server_hostname="localhost")
        await client.send(b"nonsense\n")
        assert (await client.answer()).status == 400


async def test_a_tunnel_goes_through_tls(serve, contexts):
    async def handler(exchange):
        tunnel = await exchange.upgrade(ResponseHead(101, b"", [(b"upgrade", b"x")]))
        await tunnel.write((await tunnel.read()).upper())
        tunnel.write_eof()

    server, client_side = contexts
    async with serve(handler, ssl_context=server) as served:
        client = await served.connect(ssl=client_side, server_hostname="localhost")
        await client.send(GET)
        assert (await client.head()).status == 101
        await client.send(b"abc")
        assert await client.rest() == b"ABC"


async def test_who_does_not_speak_tls_does_no_harm(serve, contexts, caplog):
    server, client_side = contexts
    async with serve(ssl_context=server) as served:
        plain = await served.connect()
        await plain.send(GET)
        with contextlib.suppress(ConnectionResetError):
            await plain.rest()
        client = await served.connect(ssl=client_side, server_hostname="localhost")
        await client.send(GET)
        assert (await client.answer()).status == 200


async def test_a_unix_socket_has_no_client_address(tmp_path):
    clients = []

    async def handler(exchange):
        clients.append(exchange.client)
        exchange.answer(200, [], b"abc")

    front = Front(handler, FrontSettings())
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(tmp_path / "front"))
    await front.listen(sock)
    reader, writer = await asyncio.open_unix_connection(tmp_path / "front")
    writer.write(GET)
    assert (await reader.readuntil(b"abc")).startswith(b"HTTP/1.1 200 OK\r\n")
    assert clients == [None]
    writer.close()
    assert await front.drain(1) == 0


async def test_one_front_serves_several_sockets_and_ipv6(serve):
    async with serve() as served:
        sock = socket.socket(socket.AF_INET6)
        sock.bind(("::1", 0))
        await served.front.listen(sock)
        for host, port in (("::1", sock.getsockname()[1]), ("127.0.0.1", served.port)):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(GET)
            await reader.readuntil(b"host: a\n\n")
            writer.close()
        assert [told.client for told in served.told] == ["::1", "127.0.0.1"]


async def test_a_drain_closes_what_is_idle_and_ends_what_is_in_flight(serve, until):
    go = asyncio.Event()

    async def handler(exchange):
        if exchange.head.path == "/slow":
            await go.wait()
        if exchange.head.path == "/begun":
            await exchange.begin(ResponseHead(200), 3)
            await go.wait()
            await exchange.write(b"abc")
            await exchange.end()
            return
        exchange.answer(200, [], b"abc")

    async with serve(handler) as served:
        idle, slow, begun, fresh, part = [await served.connect() for _ in range(5)]
        await idle.send(GET)
        await idle.answer()
        await slow.send(GET.replace(b"/", b"/slow", 1) + GET)
        await begun.send(GET.replace(b"/", b"/begun", 1))
        assert (await begun.head()).header(b"connection") is None
        await part.send(GET[:9])
        await until(lambda: served.front.in_flight == 2 and served.front.connections == 5)
        await until(lambda: any(connection._pending == GET[:9] for connection in served.front._connections))
        draining = asyncio.create_task(served.front.drain(10))
        assert await idle.is_closed()
        assert await fresh.is_closed()
        with pytest.raises(ConnectionRefusedError):
            await served.connect()
        go.set()
        got = await slow.answer()
        assert (got.body, got.header(b"connection")) == (b"abc", b"close")
        assert await slow.is_closed()
        slow.close()  # whose second request was never read: the front lingers
        assert await begun.rest() == b"abc"
        await part.send(GET[9:])
        assert (await part.answer()).header(b"connection") == b"close"
        assert await draining == 0


async def test_before_a_drain_each_answer_may_be_the_last_one_on_its_connection(serve):
    async with serve() as served:
        client = await served.connect()
        await client.send(GET)
        assert (await client.answer()).header(b"connection") is None
        served.front.end_connections()
        await client.send(GET)
        assert (await client.answer()).header(b"connection") == b"close"
        assert await client.is_closed()
        assert (await served.ask(GET)).status == 200, "who comes anew is answered"


async def test_a_request_that_has_come_when_a_drain_begins_is_answered(serve):
    async with serve() as served:
        client = await served.connect()
        await client.send(GET)
        await client.answer()
        with socket.socket(fileno=os.dup(client.writer.get_extra_info("socket").fileno())) as sending:
            sending.send(GET)  # it is there before the loop can read it
        assert await served.front.drain(10) == 0
        assert (await client.answer()).header(b"connection") == b"close"


async def test_a_drain_breaks_off_what_takes_too_long(serve, until):
    cancelled = []

    async def handler(exchange):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(exchange.head.target)
            raise

    async with serve(handler) as served:
        clients = [await served.connect() for _ in range(3)]
        for client in clients:
            await client.send(GET)
        await until(lambda: served.front.in_flight == 3)
        await asyncio.sleep(0)
        assert await served.front.drain(0.05) == 3
        assert cancelled == ["/"] * 3
        assert (served.front.connections, served.front.in_flight) == (0, 0)


async def test_a_front_without_connections_has_no_timer(serve, until):
    async with serve() as served:
        client = await served.connect()
        await client.send(GET)
        await client.answer()
        assert served.front._sweeper is not None
        client.close()
        await until(lambda: not served.front.connections)
        served.front._sweeper.cancel()
        served.front._sweep_again(asyncio.get_running_loop())
        assert served.front._sweeper is None
        assert (await served.ask(GET)).status == 200
        assert served.front._sweeper is not None
