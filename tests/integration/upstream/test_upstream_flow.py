"""Large bodies both ways: as fast as the slower side, in memory that does not grow with them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.integration.upstream.conftest import ask, until, whole

PIECE = bytes(range(256)) * 256
SIZE = 200 * 1024 * 1024
GROWTH = 24 * 1024 * 1024  # far below the body; the rest of the process does not stand still meanwhile
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class Endless:
    """A body of `size` bytes; counts what was read of it."""

    trailers = ()

    def __init__(self, size, *, known):
        self.size = size
        self.length = size if known else None
        self.sent = 0
        self.most = 0

    async def read(self):
        if self.sent >= self.size:
            return b""
        self.sent += len(PIECE)
        if not self.sent % (64 * len(PIECE)):
            self.most = max(self.most, resident())
        return PIECE


def sending(size, *, chunked):
    async def script(peer):
        await peer.request()
        framing = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % size
        peer.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        sent = 0
        while sent < size:
            peer.send(b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if chunked else PIECE)
            sent += len(PIECE)
            peer.sent = sent
            await peer.writer.drain()
        if chunked:
            peer.send(b"0\r\n\r\n")

    return script


async def taking(peer):
    """Read a request to its end without keeping it, then answer."""
    head = await peer.head()
    left = SIZE if b"content-length" in head else SIZE + (SIZE // len(PIECE)) * 9 + 5
    while left:
        left -= len(await peer.reader.read(min(left, 65_536)))
    peer.send(OK)
    await peer.ended()


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_answer_of_200_mb_takes_constant_memory(serve, client, chunked):
    server = await serve(sending(SIZE, chunked=chunked))
    answer = await ask((await client()).at(server.url))
    before = most = resident()
    size = seen = 0
    while piece := await answer.body.read():
        size += len(piece)
        seen += 1
        if not seen % 64:
            most = max(most, resident())
    assert size == SIZE
    assert most - before < GROWTH


@pytest.mark.parametrize("known", [True, False])
async def test_a_request_of_200_mb_takes_constant_memory(serve, client, known):
    server = await serve(taking)
    upstream = (await client()).at(server.url)
    body = Endless(SIZE, known=known)
    before = resident()
    assert await whole(upstream, "POST", body=body) == (200, b"ok")
    assert body.sent == SIZE
    assert body.most - before < GROWTH


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_answer_that_nobody_reads_is_not_taken_from_the_socket(serve, client, chunked):
    server = await serve(sending(SIZE, chunked=chunked))
    answer = await ask((await client()).at(server.url))
    sent = -1
    while sent != server.peers[0].sent:
        sent = server.peers[0].sent
        await asyncio.wait((asyncio.get_running_loop().create_future(),), timeout=0.2)
    assert sent < SIZE // 4  # what the sockets of this machine hold
    answer.release()


async def test_a_request_that_the_upstream_does_not_read_is_not_taken_from_the_client(serve, client):
    async def script(peer):
        await peer.head()
        peer.writer.transport.pause_reading()
        await asyncio.get_running_loop().create_future()

    server = await serve(script)
    upstreams = await client(write=60.0)
    body = Endless(SIZE, known=True)
    request = asyncio.create_task(ask(upstreams.at(server.url), "POST", body=body))
    sent = -1
    await until(lambda: body.sent)
    while sent != body.sent:
        sent = body.sent
        await asyncio.wait((asyncio.get_running_loop().create_future(),), timeout=0.2)
    assert sent < SIZE // 4
    request.cancel()
    await asyncio.wait((request,))
    assert upstreams.status()[0].open == 0
