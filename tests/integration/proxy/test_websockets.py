"""WebSockets through the gateway, with a client and a server that know nothing of it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import NamedTuple

import aiohttp
import pytest
from aiohttp import WSMsgType, web

GIVE_UP = 10.0
MIB = 1024 * 1024


class Chat(NamedTuple):
    url: str
    ended: asyncio.Queue
    slow: asyncio.Event


@pytest.fixture
async def chat():
    """A WebSocket server that echoes; what it is told to do is in the path."""
    ended = asyncio.Queue()
    slow = asyncio.Event()

    async def handle(request):
        if request.path == "/refused":
            return web.json_response({"why": "not today"}, status=403)
        socket = web.WebSocketResponse(max_msg_size=64 * MIB, protocols=("chat.v2",), compress=False)
        await socket.prepare(request)
        if request.path == "/slow":
            await slow.wait()
        if request.path == "/bye":
            await socket.close(code=4001, message=b"enough")
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(message.data)
            else:
                await socket.send_bytes(message.data)
        await ended.put(socket.close_code)
        return socket

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield Chat(f"http://127.0.0.1:{runner.addresses[0][1]}", ended, slow)
    slow.set()
    await runner.cleanup()


@asynccontextmanager
async def connected(served, path, **options):
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(served.url + path, max_msg_size=64 * MIB, **options) as socket,
    ):
        yield socket


async def test_messages_go_both_ways_and_the_close_code_arrives(chat, serve):
    served = await serve(chat.url)
    await served.hook("/replace")
    async with asyncio.timeout(GIVE_UP), connected(served, "/echo", protocols=("chat.v2",)) as socket:
        assert socket.protocol == "chat.v2"
        for text in ("hello", "", "ü" * 1000):
            await socket.send_str(text)
            assert await socket.receive_str() == text
        await socket.ping(b"x")
        await socket.close(code=4000)
        assert await chat.ended.get() == 4000


async def test_a_server_that_closes_is_heard_by_the_client(chat, serve):
    served = await serve(chat.url)
    async with asyncio.timeout(GIVE_UP), connected(served, "/bye") as socket:
        message = await socket.receive()
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 4001, "enough")


async def test_large_messages_arrive_whole(chat, serve):
    served = await serve(chat.url)
    async with asyncio.timeout(GIVE_UP), connected(served, "/echo") as socket:
        sent = bytes(range(256)) * (MIB // 16)
        await socket.send_bytes(sent)
        assert await socket.receive_bytes() == sent


async def test_a_server_that_does_not_read_slows_the_client_down(chat, serve):
    served = await serve(chat.url)
    async with asyncio.timeout(3 * GIVE_UP), connected(served, "/slow") as socket:

        async def flood():
            for _ in range(64):
                await socket.send_bytes(b"x" * MIB)

        flooding = asyncio.create_task(flood())
        assert (await asyncio.wait([flooding], timeout=1.0))[1], "64 MiB do not vanish into the gateway"
        chat.slow.set()
        for _ in range(64):
            assert len(await socket.receive_bytes()) == MIB
        await flooding


async def test_a_refused_upgrade_is_an_ordinary_answer(chat, serve):
    served = await serve(chat.url)
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with connected(served, "/refused"):
            pass
    assert caught.value.status == 403
    status, _, body = await served.ask("/refused")
    assert (status, body) == (403, b'{"why": "not today"}')


@pytest.mark.parametrize("more", [{}, {"range": "bytes=0-1"}, {"if-none-match": '"v1"'}])
async def test_hooks_are_not_got_round_by_asking_for_an_upgrade_that_the_upstream_does_not_make(origin, serve, more):
    served = await serve(origin.url)
    await served.hook("/replace")
    headers = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13", **more}
    status, told, body = await served.ask("/q", headers=headers)
    assert (status, body) == (200, b'{"replaced":true}')
    assert "gateway-hooks" in told
    assert origin.asked[0][2]["upgrade"] == "websocket"


@pytest.mark.parametrize("side", ["client", "upstream"])
async def test_a_side_that_breaks_off_takes_the_other_one_along(api, serve, side):
    served = await serve(api.url)
    async with served.client() as client:
        await client.send(b"GET /chat HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n")
        await client.send(b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        upstream, _, headers = await api.asked()
        assert (headers["upgrade"], headers["connection"]) == ("websocket", "upgrade")
        await upstream.send(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n")
        await upstream.send(b"sec-websocket-accept: x\r\n\r\nfirst")
        first, headers = await client.head()
        assert (first.split()[1], headers["upgrade"], headers["sec-websocket-accept"]) == ("101", "websocket", "x")
        assert await client.exactly(5) == b"first"
        await client.send(b"hi")
        assert await upstream.exactly(2) == b"hi"
        here, there = (client, upstream) if side == "client" else (upstream, client)
        here.writer.transport.abort()
        assert await there.some() == b""
        await there.close()


async def test_one_side_may_end_its_sending_before_the_other(api, serve):
    served = await serve(api.url)
    async with served.client() as client:
        await client.send(b"GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        upstream, _, _ = await api.asked()
        await upstream.send(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
        await client.head()
        client.writer.write_eof()
        assert await upstream.some() == b""
        await upstream.send(b"last words")
        assert await client.exactly(10) == b"last words"
        upstream.writer.write_eof()
        assert await client.some() == b""
