"""The connections to an upstream: how many, how long, and that none is lost whatever is cancelled."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import UpstreamFailed
from tests.integration.upstream.conftest import Pieces, ask, until, whole

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Held:
    """An upstream that answers when it is told to."""

    def __init__(self, answer=OK):
        self.answer = answer
        self.go = asyncio.Semaphore(0)
        self.waiting = 0
        self.arrived = asyncio.Condition()

    async def script(self, peer):
        while True:
            await peer.request()
            async with self.arrived:
                self.waiting += 1
                self.arrived.notify_all()
            await self.go.acquire()
            peer.send(self.answer)

    async def have(self, count):
        async with self.arrived:
            await self.arrived.wait_for(lambda: self.waiting >= count)


@pytest.fixture
def held():
    return Held()


def counts(upstreams):
    (status,) = upstreams.status()
    return status.open, status.idle, status.waiting


async def test_the_connection_that_was_used_last_is_used_first(serve, client, held):
    server = await serve(held.script)
    upstreams = await client()
    upstream = upstreams.at(server.url)
    both = [asyncio.create_task(whole(upstream)) for _ in range(2)]
    await held.have(2)
    held.go.release()
    held.go.release()
    await asyncio.gather(*both)
    assert counts(upstreams) == (2, 2, 0)
    for _ in range(5):
        held.go.release()
        await whole(upstream)
    assert (server.accepted, held.waiting) == (2, 7)


async def test_beyond_the_most_connections_requests_wait_and_take_turns(serve, client, held):
    server = await serve(held.script)
    upstreams = await client(connections=2, wait=30.0)
    upstream = upstreams.at(server.url)
    requests = [asyncio.create_task(whole(upstream)) for _ in range(6)]
    await held.have(2)
    await until(lambda: counts(upstreams) == (2, 0, 4))
    for _ in requests:
        held.go.release()
    assert await asyncio.gather(*requests) == [(200, b"ok")] * 6
    assert counts(upstreams) == (2, 2, 0)
    assert server.accepted == 2


async def test_who_waits_too_long_for_a_connection_is_told_so(serve, client, held):
    server = await serve(held.script)
    upstreams = await client(connections=1, wait=0.01)
    upstream = upstreams.at(server.url)
    first = asyncio.create_task(whole(upstream))
    await held.have(1)
    with pytest.raises(UpstreamFailed, match=r"All 1 connections .* were in use for 0\.01 s") as caught:
        await ask(upstream)
    assert (caught.value.reason, caught.value.status, caught.value.retry_after) == ("busy", 503, 1.0)
    assert counts(upstreams) == (1, 0, 0)
    held.go.release()
    assert await first == (200, b"ok")


async def test_a_place_that_becomes_free_by_a_closed_connection_goes_to_who_waits(serve, client):
    arrived = asyncio.Event()
    go = asyncio.Event()

    async def script(peer):
        await peer.request()
        arrived.set()
        await go.wait()
        peer.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")

    server = await serve(script)
    upstreams = await client(connections=1, wait=30.0)
    upstream = upstreams.at(server.url)
    requests = [asyncio.create_task(whole(upstream)) for _ in range(3)]
    await arrived.wait()
    await until(lambda: counts(upstreams) == (1, 0, 2))
    go.set()
    assert await asyncio.gather(*requests) == [(200, b"ok")] * 3
    assert counts(upstreams) == (0, 0, 0)


async def test_a_place_that_becomes_free_by_a_failed_attempt_goes_to_who_waits(client, tmp_path):
    upstreams = await client(connections=1, wait=30.0, down_after=100)
    upstream = upstreams.at(f"http+unix://{tmp_path}/none.sock")
    found = await asyncio.gather(*[ask(upstream) for _ in range(5)], return_exceptions=True)
    assert [getattr(error, "reason", None) for error in found] == ["refused"] * 5
    assert counts(upstreams) == (0, 0, 0)


async def test_a_request_that_is_given_up_closes_its_connection(serve, client, held):
    server = await serve(held.script)
    upstreams = await client(connections=1, wait=30.0)
    upstream = upstreams.at(server.url)
    first = asyncio.create_task(whole(upstream))
    await held.have(1)
    second = asyncio.create_task(whole(upstream))
    await until(lambda: counts(upstreams) == (1, 0, 1))
    first.cancel()
    await held.have(2)
    held.go.release()
    held.go.release()
    assert await second == (200, b"ok")
    assert first.cancelled()
    assert counts(upstreams) == (1, 1, 0)
    assert server.accepted == 2


async def test_a_request_that_is_given_up_in_line_leaves_the_line(serve, client, held):
    server = await serve(held.script)
    upstreams = await client(connections=1, wait=30.0)
    upstream = upstreams.at(server.url)
    first = asyncio.create_task(whole(upstream))
    await held.have(1)
    waiting = [asyncio.create_task(whole(upstream)) for _ in range(3)]
    await until(lambda: counts(upstreams) == (1, 0, 3))
    waiting[0].cancel()
    waiting[2].cancel()
    held.go.release()
    held.go.release()
    assert [await first, await waiting[1]] == [(200, b"ok")] * 2
    assert counts(upstreams) == (1, 1, 0)


@pytest.mark.parametrize("turns", range(14))
async def test_whenever_a_request_is_given_up_nothing_is_lost(serve, client, turns):
    server = await serve(OK)
    upstreams = await client(connections=1, wait=30.0)
    upstream = upstreams.at(server.url)
    for make in (lambda: None, lambda: b"x", lambda: Pieces(b"x" * 70_000), lambda: b"x" * 70_000):
        for _ in range(3):
            requests = [asyncio.create_task(whole(upstream, "PUT", body=make())) for _ in range(3)]
            for _ in range(turns):
                await asyncio.sleep(0)
            requests[0].cancel()
            requests[1].cancel()
            found = await asyncio.gather(*requests, return_exceptions=True)
            assert all(each == (200, b"ok") or isinstance(each, asyncio.CancelledError) for each in found)
            assert found[2] == (200, b"ok")
    await until(lambda: counts(upstreams)[0] == counts(upstreams)[1])
    assert counts(upstreams)[2] == 0
    assert await whole(upstream) == (200, b"ok")


@pytest.mark.parametrize("handed", ["a place", "a connection"])
async def test_who_is_given_up_with_its_turn_come_passes_it_on(serve, client, handed):
    server = await serve(OK)
    upstreams = await client(connections=1, wait=30.0)
    upstream = upstreams.at(server.url)
    await whole(upstream)
    pool = upstream._pool
    connection = pool.take()
    waiting = [asyncio.create_task(whole(upstream)) for _ in range(2)]
    await until(lambda: counts(upstreams) == (1, 0, 2))
    if handed == "a place":
        connection.abort()
    else:
        pool.put(connection)
    waiting[0].cancel()  # in the same turn of the loop
    assert await waiting[1] == (200, b"ok")
    assert waiting[0].cancelled()
    assert counts(upstreams) == (1, 1, 0)


async def test_an_idle_connection_is_closed_after_its_time(serve, client):
    closed = asyncio.Event()

    async def script(peer):
        await peer.request()
        peer.send(OK)
        await peer.ended()
        closed.set()

    server = await serve(script)
    upstreams = await client(keep_alive=0.02)
    await whole(upstreams.at(server.url))
    await closed.wait()
    assert counts(upstreams) == (0, 0, 0)


async def test_an_upstream_may_say_that_it_waits_less_long(serve, client):
    closed = asyncio.Event()

    async def script(peer):
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nkeep-alive: timeout=1, max=5\r\ncontent-length: 0\r\n\r\n")
        await peer.ended()
        closed.set()

    server = await serve(script)
    upstreams = await client(keep_alive=3600.0)
    await whole(upstreams.at(server.url))
    await closed.wait()
    assert counts(upstreams) == (0, 0, 0)


async def test_without_keeping_each_request_has_a_connection_of_its_own(serve, client):
    server = await serve(OK)
    upstreams = await client(keep_alive=0.0)
    for _ in range(3):
        assert await whole(upstreams.at(server.url)) == (200, b"ok")
    assert (server.accepted, counts(upstreams)) == (3, (0, 0, 0))


async def test_an_idle_connection_that_the_upstream_closed_is_not_used(serve, client):
    async def script(peer):
        await peer.request()
        peer.send(OK)
        if server.accepted == 1:
            return
        await peer.request()
        peer.send(OK)

    server = await serve(script)
    upstreams = await client()
    upstream = upstreams.at(server.url)
    await whole(upstream, "POST", body=b"1")
    await until(lambda: counts(upstreams) == (0, 0, 0))
    assert await whole(upstream, "POST", body=b"2") == (200, b"ok")


async def test_upstreams_that_are_retired_keep_nothing_and_end_nothing(serve, client, held):
    server = await serve(held.script)
    upstreams = await client()
    upstream = upstreams.at(server.url)
    held.go.release()
    await whole(upstream)
    requests = [asyncio.create_task(whole(upstream)) for _ in range(2)]
    await held.have(3)
    upstreams.retire()
    assert counts(upstreams) == (2, 0, 0)
    held.go.release()
    held.go.release()
    assert await asyncio.gather(*requests) == [(200, b"ok")] * 2
    assert counts(upstreams) == (0, 0, 0)
    held.go.release()
    assert await whole(upstream) == (200, b"ok")
    assert counts(upstreams) == (0, 0, 0)


async def test_closing_fails_what_is_under_way_and_in_line(serve, client, held):
    server = await serve(held.script)
    upstreams = await client(connections=1, wait=30.0)
    upstream = upstreams.at(server.url)
    requests = [asyncio.create_task(whole(upstream)) for _ in range(2)]
    await held.have(1)
    await until(lambda: counts(upstreams) == (1, 0, 1))
    await upstreams.aclose()
    found = await asyncio.gather(*requests, return_exceptions=True)
    assert [str(error) for error in found] == ["The gateway is ending."] * 2
    with pytest.raises(UpstreamFailed, match="ending"):
        await ask(upstream)
    assert counts(upstreams) == (0, 0, 0)
