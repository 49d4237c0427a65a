"""Bodies of requests: asked for, read piece by piece, left unread; and memory, which stays small."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc

import pytest

from gateway.service.messages import ResponseHead

MIB = 1024 * 1024


def post(framing, path=b"/"):
    return b"POST " + path + b" HTTP/1.1\r\nhost: a\r\n" + framing + b"\r\n\r\n"


def only(served):
    (connection,) = served.front._connections
    return connection


EXPECTING = b"expect: 100-Continue\r\n"


async def test_a_body_is_asked_for_when_the_handler_first_reads_it(serve):
    async with serve() as served:
        client = await served.connect()
        for _ in range(2):
            await client.send(post(EXPECTING + b"content-length: 3"))
            asked = await client.answer()
            assert (asked.status, asked.headers) == (100, [])
            await client.send(b"abc")
            assert (await client.answer()).body.endswith(b"\n\nabc")


@pytest.mark.parametrize("framing", [b"content-length: 3", b"transfer-encoding: chunked"])
async def test_a_body_that_is_not_asked_for_is_not_waited_for(serve, framing):
    async with serve() as served:
        client = await served.connect()
        await client.send(post(EXPECTING + framing, b"/unread"))
        got = await client.answer()
        assert (got.status, got.header(b"connection")) == (200, b"close")
        await client.send(b"abc")  # a client that did not wait
        assert await client.is_closed()


async def test_a_body_that_has_begun_to_come_is_not_asked_for(serve):
    async with serve() as served:
        client = await served.connect()
        await client.send(post(EXPECTING + b"content-length: 3") + b"a")
        await asyncio.sleep(0)
        await client.send(b"bc")
        assert (await client.answer()).status == 200


async def test_http_1_0_and_requests_without_a_body_are_not_asked(serve):
    async with serve() as served:
        client = await served.connect()
        await client.send(b"GET / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n\r\n")
        assert (await client.answer()).status == 200
        await client.send(b"POST / HTTP/1.0\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        await client.send(b"abc")
        assert (await client.answer()).status == 200


async def test_no_body_is_asked_for_behind_an_answer(serve):
    async def handler(exchange):
        await exchange.begin(ResponseHead(200), None)
        await exchange.write(await exchange.body.read())
        await exchange.end()

    async with serve(handler) as served:
        client = await served.connect()
        await client.send(post(EXPECTING + b"content-length: 3"))
        assert (await client.head()).header(b"connection") == b"close"
        await client.send(b"abc")
        assert await client.rest() == b"3\r\nabc\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("framing", "sent", "left"),
    [
        (b"content-length: 10", b"12345", b"67890"),
        (b"content-length: 10", b"", b"1234567890"),
        (b"content-length: 10", b"1234567890", b""),
        (b"transfer-encoding: chunked", b"1\r\na\r\n0\r\n\r\n", b""),
    ],
)
async def test_a_small_body_that_nobody_read_is_passed_over(serve, framing, sent, left):
    async with serve() as served:
        client = await served.connect()
        await client.send(post(framing, b"/unread") + sent)
        assert (await client.answer()).header(b"connection") is None
        await client.send(left + b"GET /next HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await client.answer()).body.startswith(b"GET /next ")


@pytest.mark.parametrize("framing", [b"content-length: 100000000", b"transfer-encoding: chunked"])
async def test_behind_a_large_body_that_nobody_read_the_connection_ends_but_the_answer_arrives(serve, framing):
    async with serve() as served:
        client = await served.connect()
        await client.send(post(framing, b"/unread") + b"1;" * (b"chunked" in framing))
        got = await client.answer()
        assert (got.status, got.header(b"connection")) == (200, b"close")
        await client.send(bytes(5 * MIB))  # a reset could overtake the answer, so this is still read
        assert await client.is_closed()


async def test_a_client_that_sends_on_and_on_is_broken_off(serve, until):
    async with serve() as served:
        client = await served.connect()
        await client.send(post(b"content-length: 100000000", b"/unread"))
        await client.answer()
        assert served.front.connections == 1
        served.wait(6)
        await until(lambda: not served.front.connections)


async def test_a_small_body_that_never_comes_does_not_keep_a_connection(serve, until):
    async with serve() as served:
        client = await served.connect()
        await client.send(post(b"content-length: 10", b"/unread"))
        await client.answer()
        await until(lambda: not served.front.in_flight)
        served.wait(31)
        await until(lambda: not served.front.connections)


async def test_a_handler_that_begins_before_it_has_read_may_read_on(serve):
    async with serve() as served:
        client = await served.connect()
        await client.send(post(b"content-length: 6", b"/echo"))
        assert (await client.head()).status == 200
        for piece in (b"abc", b"def"):
            await client.send(piece)
            assert await client.reader.readexactly(8) == b"3\r\n%b\r\n" % piece
        assert await client.reader.readexactly(5) == b"0\r\n\r\n"
        await client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await client.answer()).status == 200


async def test_a_broken_chunk_in_the_middle_of_a_body_breaks_the_answer_off(serve):
    async with serve() as served:
        client = await served.connect()
        await client.send(post(b"transfer-encoding: chunked", b"/echo") + b"1\r\na\r\n")
        await client.head()
        assert await client.reader.readexactly(6) == b"1\r\na\r\n"
        await client.send(b"x\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert await client.rest() == b""
        assert [(told.status, told.complete) for told in served.told] == [(200, False)]


async def test_a_body_that_nobody_reads_stays_in_the_socket(serve, until):
    go = asyncio.Event()

    async def handler(exchange):
        await go.wait()
        size = 0
        while piece := await exchange.body.read():
            size += len(piece)
        exchange.answer(200, [], str(size).encode())

    async with serve(handler) as served:
        client = await served.connect()
        sending = asyncio.create_task(client.send(post(b"content-length: %d" % (64 * MIB)) + bytes(64 * MIB)))
        await until(lambda: served.front.in_flight and only(served)._paused)
        assert only(served).incoming._held <= 64 * 1024 + 256 * 1024
        go.set()
        assert (await client.answer()).body == str(64 * MIB).encode()
        await sending


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_large_bodies_both_ways_take_little_memory(serve, framing):
    pieces, size = 200, MIB

    async with serve() as served:
        client = await served.connect(limit=64 * 1024)
        piece = bytes(size)
        line = b"content-length: %d" % (pieces * size) if framing == "length" else b"transfer-encoding: chunked"

        async def send():
            await client.send(post(line, b"/echo"))
            for _ in range(pieces):
                await client.send(piece if framing == "length" else b"%x\r\n%b\r\n" % (size, piece))
            if framing == "chunked":
                await client.send(b"0\r\nx-end: 1\r\n\r\n")

        tracemalloc.start()
        try:
            sending = asyncio.create_task(send())
            await client.head()
            received = 0
            while length := int(await client.reader.readuntil(b"\r\n"), 16):
                await client.reader.readexactly(length + 2)
                received += length
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        await sending
        assert received == pieces * size
        assert most < 12 * MIB
        assert served.front.connections == 1


async def test_a_body_that_drips_in_takes_no_object_a_drop(serve, until):
    go = asyncio.Event()

    async def handler(exchange):
        await go.wait()
        exchange.answer(200, [], await exchange.body.read())

    async with serve(handler) as served:
        client = await served.connect()
        await client.send(post(b"content-length: 3000"))
        await until(lambda: served.front.in_flight)
        for number in range(1, 301):
            await client.send(b"x")
            if not number % 100:
                await until(lambda n=number: only(served).incoming.received == n)
        assert len(only(served).incoming._pieces) == 1
        go.set()
        assert len((await client.answer()).body) == 300
