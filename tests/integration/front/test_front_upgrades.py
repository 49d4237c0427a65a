"""Connections that leave HTTP: bytes both ways, each side ending on its own."""

from __future__ import annotations

import asyncio

import pytest

from gateway.service.front import ClientGone
from gateway.service.messages import ResponseHead

UPGRADE = b"GET /chat HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\r\n"
SWITCH = ResponseHead(101, b"", [(b"upgrade", b"websocket"), (b"x", b"y")])


async def shout(exchange):
    tunnel = await exchange.upgrade(SWITCH)
    while piece := await tunnel.read():
        await tunnel.write(piece.upper())
    await tunnel.write(b"bye")
    tunnel.write_eof()


async def switched(client):
    got = await client.head()
    assert got.status == 101
    assert got.headers == [(b"upgrade", b"websocket"), (b"x", b"y"), (b"connection", b"upgrade")]


async def test_bytes_go_both_ways_also_those_behind_the_request(serve, until):
    async with serve(shout) as served:
        client = await served.connect()
        await client.send(UPGRADE + b"at once\r\n\r\n")
        await switched(client)
        assert await client.reader.readexactly(11) == b"AT ONCE\r\n\r\n"
        await client.send(b"later")
        assert await client.reader.readexactly(5) == b"LATER"
        client.writer.write_eof()
        assert await client.rest() == b"bye"
        await until(lambda: served.told)
        (told,) = served.told
        assert (told.status, told.complete, told.bytes_in, told.bytes_out) == (101, True, 16, 19)


async def test_a_tunnel_waits_for_whoever_reads_slowly(serve, until):
    async def flood(exchange):
        tunnel = await exchange.upgrade(SWITCH)
        for _ in range(100):
            await tunnel.write(bytes(1024 * 1024))

    async with serve(flood) as served:
        client = await served.connect(limit=1024)
        await client.send(UPGRADE)
        await until(lambda: served.front.in_flight and next(iter(served.front._connections)).slow)
        (connection,) = served.front._connections
        assert connection._transport.get_write_buffer_size() < 4 * 1024 * 1024
        await switched(client)
        assert len(await client.rest()) == 100 * 1024 * 1024


async def test_a_tunnel_that_nobody_reads_stays_in_the_socket(serve, until):
    go = asyncio.Event()

    async def handler(exchange):
        tunnel = await exchange.upgrade(SWITCH)
        await go.wait()
        size = 0
        while piece := await tunnel.read():
            size += len(piece)
        await tunnel.write(str(size).encode())

    async with serve(handler) as served:
        client = await served.connect()
        await client.send(UPGRADE)
        await switched(client)
        sending = asyncio.create_task(client.send(bytes(32 * 1024 * 1024)))
        (connection,) = served.front._connections
        await until(lambda: connection._paused)
        assert connection._tunnel._held <= 64 * 1024 + 256 * 1024
        go.set()
        await sending
        client.writer.write_eof()
        assert await client.rest() == str(32 * 1024 * 1024).encode()


async def test_a_client_that_breaks_off_cancels_the_handler(serve, until):
    async def handler(exchange):
        tunnel = await exchange.upgrade(SWITCH)
        while await tunnel.read():
            pass
        await asyncio.Event().wait()

    async with serve(handler) as served:
        client = await served.connect()
        await client.send(UPGRADE)
        await switched(client)
        client.writer.transport.abort()
        await until(lambda: served.front.in_flight == 1)
        for connection in served.front._connections:
            connection.write(b"x")  # the first byte for a socket that is closed brings the reset
        await until(lambda: not served.front.in_flight)


async def test_who_writes_into_a_tunnel_that_is_gone_is_told(serve, until):
    errors = []

    async def handler(exchange):
        tunnel = await exchange.upgrade(SWITCH)
        tunnel.close()
        await until(lambda: not served.front.connections)
        assert await tunnel.read() == b""
        try:
            await tunnel.write(b"x")
        except ClientGone as error:
            errors.append(error)

    async with serve(handler) as served:
        client = await served.connect()
        await client.send(UPGRADE)
        await switched(client)
        assert await client.is_closed()
        await until(lambda: errors)


async def test_an_offer_that_is_not_taken_up_is_an_ordinary_request(serve):
    async with serve() as served:
        client = await served.connect()
        with_body = UPGRADE.replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\ncontent-length: 3\r\n\r\nabc")
        await client.send(with_body + UPGRADE)
        assert (await client.answer()).body.endswith(b"\n\nabc")
        assert (await client.answer()).body.startswith(b"GET /chat ")


@pytest.mark.parametrize("begun", [True, False])
async def test_an_upgrade_comes_first_and_after_the_whole_request(serve, begun):
    async def handler(exchange):
        if begun:
            await exchange.begin(ResponseHead(200), 0)
            await exchange.end()
        with pytest.raises(RuntimeError):
            await exchange.upgrade(SWITCH)
        if not begun:
            exchange.answer(400, [], b"")

    async with serve(handler) as served:
        got = await served.ask(b"POST / HTTP/1.1\r\nhost: a\r\nupgrade: x\r\ncontent-length: 9\r\n\r\n")
        assert got.status == (200 if begun else 400)
