"""Connections to upstreams that leave HTTP after a 101."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import UpstreamFailed
from tests.integration.upstream.conftest import ask, whole

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n"
WANTED = ((b"connection", b"upgrade"), (b"upgrade", b"echo"))


async def echo(peer):
    await peer.request()
    peer.send(SWITCH + b"hello")
    while data := await peer.reader.read(65_536):
        peer.send(data)
        await peer.writer.drain()
    peer.send(b"bye")


async def upgraded(upstream):
    answer = await ask(upstream, "GET", "/", *WANTED)
    assert answer.head.status == 101
    assert answer.head.headers[0] == (b"upgrade", b"echo")
    return await answer.upgrade()


async def read(tunnel, size):
    data = b""
    while len(data) < size:
        piece = await tunnel.read()
        if not piece:
            break
        data += piece
    return data


async def test_after_a_101_bytes_go_both_ways_until_both_have_ended(serve, client):
    server = await serve(echo)
    upstreams = await client(idle=0.01, answer=0.5)
    tunnel = await upgraded(upstreams.at(server.url))
    assert await read(tunnel, 5) == b"hello"
    await tunnel.write(b"one")
    assert await read(tunnel, 3) == b"one"
    tunnel.write_eof()
    assert await read(tunnel, 3) == b"bye"
    assert await tunnel.read() == b""
    assert await tunnel.read() == b""
    tunnel.close()
    assert upstreams.status()[0].open == 0


async def test_much_goes_through_a_tunnel_that_is_read_slowly(serve, client):
    server = await serve(echo)
    tunnel = await upgraded((await client()).at(server.url))
    await read(tunnel, 5)
    sent = bytes(range(256)) * 16_384

    async def write():
        for at in range(0, len(sent), 100_000):
            await tunnel.write(sent[at : at + 100_000])

    writing = asyncio.create_task(write())
    assert await read(tunnel, len(sent)) == sent
    await writing
    tunnel.close()


async def test_silence_in_a_tunnel_has_no_limit(serve, client):
    go = asyncio.Event()

    async def script(peer):
        await peer.request()
        peer.send(SWITCH)
        await go.wait()
        peer.send(b"at last")

    server = await serve(script)
    tunnel = await upgraded((await client(idle=0.01, answer=0.05)).at(server.url))
    reading = asyncio.create_task(tunnel.read())
    done, _ = await asyncio.wait((reading,), timeout=0.15)
    assert not done
    go.set()
    assert await reading == b"at last"
    tunnel.close()


async def test_a_tunnel_that_breaks_off_says_so(serve, client):
    go = asyncio.Event()

    async def script(peer):
        await peer.request()
        peer.send(SWITCH)
        await go.wait()
        peer.abort()

    server = await serve(script)
    upstreams = await client()
    tunnel = await upgraded(upstreams.at(server.url))
    go.set()
    with pytest.raises(UpstreamFailed, match="after it had switched protocols"):
        await tunnel.read()
    with pytest.raises(UpstreamFailed, match="gone"):
        await tunnel.write(b"?")
    tunnel.write_eof()
    tunnel.close()
    assert upstreams.status()[0].open == 0


async def test_a_101_that_nobody_takes_up_closes_the_connection(serve, client):
    server = await serve(echo)
    upstreams = await client()
    answer = await ask(upstreams.at(server.url), "GET", "/", *WANTED)
    answer.release()
    assert upstreams.status()[0].open == 0


async def test_what_is_no_101_cannot_be_upgraded(serve, client):
    server = await serve(b"HTTP/1.1 426 Upgrade Required\r\ncontent-length: 0\r\n\r\n")
    upstream = (await client()).at(server.url)
    answer = await ask(upstream, "GET", "/", *WANTED)
    assert answer.head.status == 426
    with pytest.raises(UpstreamFailed, match="did not switch"):
        await answer.upgrade()
    assert await whole(upstream, "GET", "/", *WANTED) == (426, b"")
    assert server.accepted == 1
