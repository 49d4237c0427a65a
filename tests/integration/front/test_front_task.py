"""The task of a connection: one request after another in it, none of which finds what the one before left."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

from gateway.service.front import Front, FrontSettings
from gateway.service.front.connection import Connection
from gateway.testing.front_wire import MemoryTransport

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
LEFT = ContextVar("LEFT", default="nothing")


def answer(exchange, body=b""):
    exchange.answer(200, [], body)


async def test_requests_of_a_connection_share_a_task_which_ends_with_it(serve, until):
    tasks = []

    async def handler(exchange):
        tasks.append(asyncio.current_task())
        await asyncio.sleep(0)
        assert asyncio.current_task() is tasks[-1]
        answer(exchange)

    async with serve(handler) as served:
        client = await served.connect()
        for _ in range(3):
            await client.send(GET)
            await client.answer()
        assert len(set(tasks)) == 1
        assert not tasks[0].done()
        client.close()
        await until(tasks[0].done)
        assert not tasks[0].cancelled()


async def test_a_request_does_not_see_the_context_variables_that_the_one_before_set(serve):
    async def handler(exchange):
        seen = LEFT.get()
        LEFT.set(exchange.head.target)
        await asyncio.sleep(0)
        assert LEFT.get() == exchange.head.target
        answer(exchange, seen.encode())

    async with serve(handler) as served:
        client = await served.connect()
        for _ in range(3):
            await client.send(GET)
            assert (await client.answer()).body == b"nothing"
        await client.send(GET * 3)
        for _ in range(3):
            assert (await client.answer()).body == b"nothing"


async def test_a_request_is_not_cancelled_for_what_was_cancelled_in_the_one_before(serve):
    async def handler(exchange):
        task = asyncio.current_task()
        before = task.cancelling()
        task.cancel()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            answer(exchange, b"%d" % before)

    async with serve(handler) as served:
        client = await served.connect()
        for _ in range(2):
            await client.send(GET)
            assert (await client.answer()).body == b"0"
        await client.send(GET * 2)
        for _ in range(2):
            assert (await client.answer()).body == b"0"


async def test_a_handler_that_is_cancelled_after_its_answer_ends_neither_the_connection_nor_what_waits_on_it(serve):
    async def handler(exchange):
        answer(exchange)
        raise asyncio.CancelledError

    async with serve(handler) as served:
        client = await served.connect()
        await client.send(GET * 2)
        assert [(await client.answer()).status for _ in range(2)] == [200, 200]
        await client.send(GET)
        assert (await client.answer()).status == 200


async def test_a_task_that_is_cancelled_between_requests_leaves_the_connection_open(serve, until):
    tasks = []

    async def handler(exchange):
        tasks.append(asyncio.current_task())
        answer(exchange)

    async with serve(handler) as served:
        client = await served.connect()
        await client.send(GET)
        await client.answer()
        tasks[0].cancel()
        await until(tasks[0].done)
        await client.send(GET)
        assert (await client.answer()).status == 200
        assert len(set(tasks)) == 2


async def test_other_connections_have_their_turn_between_pipelined_requests(serve, until):
    order = []

    async def handler(exchange):
        order.append(exchange.head.target)
        answer(exchange)

    async with serve(handler) as served:
        client = await served.connect()
        turns = []

        def turn():
            turns.append(len(order))
            if len(order) < 20:
                asyncio.get_running_loop().call_soon(turn)

        turn()
        await client.send(GET * 20)
        await until(lambda: len(order) == 20)
        assert len(set(turns)) >= 20


async def test_a_request_whose_client_leaves_before_it_is_begun_is_over():
    told = []
    begun = []

    async def handler(exchange):
        begun.append(exchange)

    front = Front(handler, FrontSettings(), access=told.append)
    for leave in (lambda each: each.connection_lost(None), lambda each: each.eof_received()):
        connection = Connection(front, asyncio.get_running_loop(), "http")
        connection.connection_made(MemoryTransport(connection, bytearray()))
        connection.data_received(GET)
        leave(connection)
        await asyncio.sleep(0.01)
    front.stop_sweeping()
    assert not begun
    assert [each.status for each in told] == [499, 499]
    assert (front.in_flight, front.connections, front.requests) == (0, 0, 2)
    assert [task for task in asyncio.all_tasks() if "Connection" in repr(task)] == []


async def test_a_request_that_comes_while_another_task_runs_is_begun_a_turn_later():
    output = bytearray()

    async def handler(exchange):
        answer(exchange, b"here")

    front = Front(handler, FrontSettings())
    connection = Connection(front, asyncio.get_running_loop(), "http")
    transport = MemoryTransport(connection, output)
    connection.connection_made(transport)
    for n in (1, 2, 3):
        connection.data_received(GET)
        assert output.count(b"here") == n - 1
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert output.count(b"here") == n
    transport.close()
    await asyncio.sleep(0)
    front.stop_sweeping()
