"""Clients that are slow, silent or gone: what the front waits for, how long, and what it does then."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from gateway.service.front import ClientGone, RequestRefused
from gateway.service.messages import ResponseHead

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
TIMES = {
    "head_timeout_seconds": 10,
    "body_timeout_seconds": 20,
    "idle_timeout_seconds": 75,
    "write_timeout_seconds": 30,
}


def only(served):
    (connection,) = served.front._connections
    return connection


async def test_a_head_that_drips_in_is_refused_in_the_end(serve, until):
    async with serve(**TIMES) as served:
        client = await served.connect()
        for byte in GET[:9]:
            await client.send(bytes([byte]))
            await until(lambda: served.front.connections)
            served.wait(1)
        await client.send(b"x")
        await until(lambda: only(served)._pending == GET[:9] + b"x")
        served.wait(2)
        got = await client.answer()
        assert (got.status, got.header(b"connection")) == (408, b"close")
        assert json.loads(got.body)["detail"] == "The head of the request was not complete after 10 seconds."
        assert await client.is_closed()


async def test_the_time_of_a_later_head_runs_from_its_first_byte(serve, until):
    async with serve(**TIMES) as served:
        client = await served.connect()
        await client.send(GET)
        assert (await client.answer()).status == 200
        served.wait(70)
        await client.send(b"GET")
        await until(lambda: only(served)._pending)
        served.wait(9)
        await client.send(GET[3:])
        assert (await client.answer()).status == 200
        await client.send(b"GET")
        await until(lambda: only(served)._pending)
        served.wait(11)
        assert (await client.answer()).status == 408


async def test_a_connection_without_a_request_is_closed_silently(serve, until):
    async with serve(**TIMES) as served:
        client = await served.connect()
        await until(lambda: served.front.connections)
        served.wait(11)
        assert await client.is_closed()
        assert served.told == []


async def test_an_idle_connection_is_closed_silently(serve):
    async with serve(**TIMES) as served:
        client = await served.connect()
        await client.send(GET)
        await client.answer()
        await client.send(b"\r\n")  # which is no part of a request
        for _ in range(50):
            await asyncio.sleep(0)
        served.wait(74)
        assert served.front.connections == 1
        served.wait(2)
        assert await client.is_closed()
        assert len(served.told) == 1


@pytest.mark.parametrize("framing", [b"content-length: 9", b"transfer-encoding: chunked"])
async def test_a_body_that_stops_is_refused_and_its_reader_told(serve, until, framing):
    errors = []

    async def handler(exchange):
        assert await exchange.body.read() == b"abc"
        try:
            await exchange.body.read()
        except RequestRefused as error:
            errors.append(error.status)
            raise

    async with serve(handler, **TIMES) as served:
        client = await served.connect()
        await client.send(b"POST / HTTP/1.1\r\nhost: a\r\n" + framing + b"\r\n\r\n")
        await client.send(b"3\r\nabc" if b"chunked" in framing else b"abc")
        await until(lambda: served.front.in_flight and only(served).incoming is not None)
        await until(lambda: only(served).incoming.received == 3 and not only(served).incoming._held)
        served.wait(19)
        assert errors == []
        served.wait(2)
        assert (await client.answer()).status == 408
        assert await client.is_closed()
        assert errors == [408]


async def test_each_piece_of_a_body_has_its_own_time(serve, until):
    async with serve(**TIMES) as served:
        client = await served.connect()
        await client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n")
        for number in range(5):
            await until(lambda n=number: served.front.in_flight and only(served).incoming.received == n)
            await until(lambda: only(served).incoming._waiter is not None)
            served.wait(19)
            await client.send(b"x")
        assert (await client.answer()).status == 200


async def test_the_time_of_a_body_does_not_run_while_the_handler_does_something_else(serve, until):
    go = asyncio.Event()

    async def handler(exchange):
        await go.wait()
        exchange.answer(200, [], await exchange.body.read())

    async with serve(handler, **TIMES) as served:
        client = await served.connect()
        await client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n")
        await until(lambda: served.front.in_flight)
        served.wait(1000)
        go.set()
        await client.send(b"abc")
        assert (await client.answer()).body == b"abc"


async def endless(exchange):
    await exchange.begin(ResponseHead(200), None)
    while True:
        await exchange.write(bytes(64 * 1024))


async def test_a_client_that_does_not_read_is_broken_off(serve, until):
    async with serve(endless, **TIMES) as served:
        client = await served.connect(limit=1024)
        await client.send(GET)
        await until(lambda: served.front.connections and only(served).slow)
        served.wait(20)
        await asyncio.sleep(0)
        served.wait(29)
        assert served.front.connections == 1
        for _ in range(3):
            served.wait(31)
        await until(lambda: not served.front.connections and not served.front.in_flight)
        (told,) = served.told
        assert (told.status, told.complete) == (200, False)


async def test_a_client_that_reads_a_little_is_borne_with(serve, until):
    async with serve(endless, **TIMES) as served:
        client = await served.connect(limit=1024)
        await client.send(GET)
        await until(lambda: served.front.connections and only(served).slow)
        for _ in range(10):
            served.wait(29)
            before = served.told or only(served)._transport.get_write_buffer_size(), only(served)._unsent
            while (only(served)._transport.get_write_buffer_size(), only(served)._unsent) == before:
                await asyncio.wait_for(client.reader.readexactly(64 * 1024), 10)
        assert served.front.connections == 1


async def test_an_answer_for_a_client_that_does_not_read_does_not_keep_a_closed_connection(serve, until):
    async def handler(exchange):
        exchange.answer(200, [], bytes(30 * 1024 * 1024))

    async with serve(handler, **TIMES) as served:
        client = await served.connect(limit=1024)
        await client.send(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        await until(lambda: served.told)
        for _ in range(4):
            served.wait(31)
            await asyncio.sleep(0)
        await until(lambda: not served.front.connections)


async def test_who_pipelines_without_reading_is_not_answered_into_memory(serve, until):
    async def handler(exchange):
        exchange.answer(200, [], bytes(1024 * 1024))

    async with serve(handler) as served:
        client = await served.connect(limit=1024)
        await client.send(GET * 500)
        await until(lambda: served.front.connections and only(served).slow)
        for _ in range(50):
            await asyncio.sleep(0)
        assert only(served)._transport.get_write_buffer_size() < 4 * 1024 * 1024
        for _ in range(500):
            assert len((await client.answer()).body) == 1024 * 1024


@pytest.mark.parametrize("how", ["close", "reset", "half"])
@pytest.mark.parametrize("when", ["waiting", "reading", "writing"])
async def test_a_client_that_goes_away_cancels_its_handler(serve, until, how, when):
    ended = []

    async def handler(exchange):
        try:
            if when == "reading":
                await exchange.body.read()
            elif when == "writing":
                await endless(exchange)
            else:
                await asyncio.Event().wait()
        except (asyncio.CancelledError, ClientGone) as error:
            ended.append(type(error))
            raise

    async with serve(handler) as served:
        client = await served.connect(limit=1024)
        await client.send(b"POST / HTTP/1.1\r\nhost: a\r\n%b\r\n" % (b"content-length: 3\r\n" * (when == "reading")))
        await until(lambda: served.front.in_flight and (when != "writing" or only(served).slow))
        if how == "reset":
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            client.writer.transport.abort()
        elif how == "close":
            client.close()
        else:
            client.writer.write_eof()
        await until(lambda: not served.front.in_flight)
        assert len(ended) == 1
        assert [(told.status, told.complete) for told in served.told] == [(200 if when == "writing" else 499, False)]


async def test_a_client_that_goes_away_with_its_answer_does_not_cancel_what_comes_after(serve, until):
    gone, done = asyncio.Event(), asyncio.Event()

    async def handler(exchange):
        exchange.answer(200, [], b"")
        await gone.wait()
        done.set()

    async with serve(handler) as served:
        client = await served.connect()
        await client.send(GET)
        await client.answer()
        client.close()
        await until(lambda: not served.front.connections)
        gone.set()
        await asyncio.wait_for(done.wait(), 10)
        assert served.told == [] or served.told[0].complete


async def test_one_connection_too_many_is_told_to_come_back(serve, until):
    async with serve(max_connections=2) as served:
        kept = [await served.connect() for _ in range(2)]
        await until(lambda: served.front.connections == 2)
        third = await served.connect()
        got = await third.answer()
        assert (got.status, got.header(b"retry-after"), got.header(b"connection")) == (503, b"1", b"close")
        assert await third.is_closed()
        third.close()
        await kept[0].send(GET)
        assert (await kept[0].answer()).status == 200
        kept[0].close()
        await until(lambda: served.front.connections == 1)
        assert (await served.ask(GET)).status == 200
