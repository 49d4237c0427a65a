"""Requests that wait for the end of a round of the event loop: nobody answers them before they were sent."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from gateway.errors import ConnectFailed, UpstreamFailed
from gateway.service.messages import RequestHead
from gateway.service.upstream import Limits
from gateway.service.upstream.connection import Connection as UpstreamConnection
from gateway.service.upstream.pool import Pool
from gateway.testing.front_wire import MemoryTransport
from gateway.transport.buffers import ReplyBuffers
from gateway.transport.http1 import Connection as HookConnection
from gateway.transport.protocol import Limits as CallLimits
from gateway.transport.write_round import WriteRound

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


class Wire:
    """The other end of a connection, which keeps what it was sent."""

    def __init__(self, connection):
        self.sent = bytearray()
        connection.connection_made(MemoryTransport(connection, self.sent))


def hook_connection(writes):
    lost = []
    connection = HookConnection(
        asyncio.get_running_loop(),
        ("h", "http", "a", 80, None),
        lambda _: None,
        lost.append,
        ReplyBuffers(1 << 20),
        writes,
    )
    return connection, Wire(connection), lost


def call(connection, body=b"body", *, together=True):
    deadline = asyncio.get_running_loop().time() + 60
    return connection.send(b"head ", body, deadline, CallLimits(), together=together)


@pytest.mark.parametrize("size", [4, 100_000])
async def test_calls_of_a_round_are_written_at_its_end_and_answered(size):
    writes = WriteRound()
    made = [hook_connection(writes) for _ in range(3)]
    waiters = [call(connection, b"x" * size) for connection, _, _ in made]
    assert [bytes(wire.sent) for _, wire, _ in made] == [b""] * 3
    await asyncio.sleep(0)
    assert [bytes(wire.sent) for _, wire, _ in made] == [b"head " + b"x" * size] * 3
    for connection, _, _ in made:
        connection.data_received(OK)
    assert [(await waiter).body for waiter in waiters] == [b"hi"] * 3


async def test_a_call_that_goes_alone_is_written_at_once():
    connection, wire, _ = hook_connection(WriteRound())
    waiter = call(connection, together=False)
    assert bytes(wire.sent) == b"head body"
    connection.data_received(OK)
    assert (await waiter).status == 200


async def test_what_a_hook_says_before_the_call_was_sent_is_no_answer_to_it():
    connection, wire, lost = hook_connection(WriteRound())
    waiter = call(connection)
    connection.data_received(OK)
    with pytest.raises(ConnectFailed):
        await waiter
    assert (bytes(wire.sent), lost) == (b"", [connection])


async def test_a_call_that_is_given_up_before_it_was_sent_is_not_sent():
    connection, wire, _ = hook_connection(WriteRound())
    waiter = call(connection)
    waiter.cancel()
    connection.give_up(waiter)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert bytes(wire.sent) == b""


def upstream_connections(count):
    pool = Pool(cast("object", None), Limits())  # type: ignore[arg-type]
    made = []
    for _ in range(count):
        connection = UpstreamConnection(asyncio.get_running_loop(), pool)
        made.append((connection, Wire(connection)))
        pool._places += 1  # as if the pool had made it
    return pool, made


async def test_requests_to_an_upstream_are_written_together_and_answered():
    pool, made = upstream_connections(3)
    head = RequestHead("GET", "/", [])
    asked = [connection.begin(b"GET /", head, whole=True) for connection, _ in made]
    assert [bytes(wire.sent) for _, wire in made] == [b""] * 3
    await asyncio.sleep(0)
    assert [bytes(wire.sent) for _, wire in made] == [b"GET /"] * 3
    for connection, _ in made:
        connection.data_received(OK)
    assert [(await each).head.status for each in asked] == [200] * 3
    pool.close()


async def test_what_an_upstream_says_before_it_was_asked_is_no_answer():
    pool, made = upstream_connections(2)
    connection, wire = made[0]
    asked = connection.begin(b"GET /", RequestHead("GET", "/", []), whole=True)
    connection.data_received(OK)
    with pytest.raises(UpstreamFailed, match="before it was asked"):
        await asked
    await asyncio.sleep(0)
    assert bytes(wire.sent) == b""
    assert not connection.began
    pool.close()


async def test_an_upstream_that_leaves_before_it_was_asked_is_said_to():
    pool, made = upstream_connections(2)
    connection, wire = made[0]
    asked = connection.begin(b"GET /", RequestHead("GET", "/", []), whole=True)
    connection.connection_lost(ConnectionResetError())
    with pytest.raises(UpstreamFailed, match="reset the connection before it was asked"):
        await asked
    await asyncio.sleep(0)
    assert bytes(wire.sent) == b""
    pool.close()
