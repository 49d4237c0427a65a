"""Answers of several connections that go out together, at the end of a round of the event loop: whole and in order."""

from __future__ import annotations

import asyncio

import pytest


class Gate:
    """A handler that answers when as many requests as it was told of are there: in one round."""

    def __init__(self, count, size=3, after=None):
        self.size = size
        self._left = count
        self._all_here = asyncio.Event()
        self._after = after

    async def __call__(self, exchange):
        if self._left:
            self._left -= 1
            if self._left == 0:
                self._all_here.set()
            await self._all_here.wait()
        exchange.answer(200, [], exchange.head.target.encode().ljust(self.size, b"."))
        if self._after is not None:
            self._after(exchange)


@pytest.mark.parametrize("size", [3, 20_000, 1_000_000])
@pytest.mark.parametrize(("field", "ends"), [(b"", False), (b"connection: close\r\n", True)])
async def test_answers_of_a_round_are_whole_and_those_who_close_close_after_them(serve, size, field, ends):
    async with serve(Gate(4, size)) as served:
        clients = [await served.connect() for _ in range(4)]
        for number, client in enumerate(clients):
            await client.send(b"GET /%d HTTP/1.1\r\nhost: a\r\n%b\r\n" % (number, field))
        for number, client in enumerate(clients):
            assert (await client.answer()).body == (b"/%d" % number).ljust(size, b".")
        if ends:
            assert [await client.is_closed() for client in clients] == [True] * 4
        else:
            await clients[0].send(b"GET /again HTTP/1.1\r\nhost: a\r\n\r\n")
            assert (await clients[0].answer()).body.startswith(b"/again")


async def test_pipelined_requests_are_answered_in_their_order(serve):
    async with serve(Gate(3)) as served:
        clients = [await served.connect() for _ in range(3)]
        for client in clients:
            await client.send(b"".join(b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n" % number for number in range(5)))
        for client in clients:
            assert [(await client.answer()).body for _ in range(5)] == [b"/%d." % number for number in range(5)]


async def test_an_answer_that_waits_goes_out_before_what_breaks_its_connection_off(serve):
    async with serve(Gate(2, after=lambda exchange: exchange.abort())) as served:
        clients = [await served.connect() for _ in range(2)]
        for client in clients:
            await client.send(b"GET /it HTTP/1.1\r\nhost: a\r\n\r\n")
        for client in clients:
            assert (await client.answer()).body == b"/it"
            assert await client.is_closed()


async def test_an_answer_that_waits_goes_out_before_the_refusal_of_what_follows(serve):
    async with serve(Gate(2)) as served:
        clients = [await served.connect() for _ in range(2)]
        for client in clients:
            await client.send(b"GET /it HTTP/1.1\r\nhost: a\r\n\r\nNONSENSE\r\n\r\n")
        for client in clients:
            assert (await client.answer()).body == b"/it"
            assert (await client.answer()).status == 400
            assert await client.is_closed()
