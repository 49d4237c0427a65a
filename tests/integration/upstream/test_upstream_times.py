"""The time limits towards upstreams, and which silence has none."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import UpstreamFailed
from tests.integration.upstream.conftest import Pieces, ask, whole

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def silent(peer):
    await peer.request()
    await peer.ended()


async def dripping(peer):
    """Sends a head that never ends, byte by byte."""
    await peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nx: ")
    while True:
        peer.send(b"a")
        await peer.writer.drain()
        await asyncio.sleep(0.002)


@pytest.mark.parametrize("script", [silent, dripping])
async def test_an_upstream_that_does_not_answer_is_504(serve, client, script):
    server = await serve(script)
    upstreams = await client(answer=0.05)
    with pytest.raises(UpstreamFailed, match=r"did not answer within 0\.05 s \(upstreams\.answer_timeout") as caught:
        await ask(upstreams.at(server.url))
    assert (caught.value.reason, caught.value.status) == ("timeout", 504)
    assert (server.accepted, upstreams.status()[0].open) == (1, 0)


@pytest.mark.parametrize(
    "begun",
    [b"content-length: 5\r\n\r\nhe", b"transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n", b"connection: close\r\n\r\nhe"],
)
async def test_an_upstream_that_is_silent_in_its_answer_breaks_off(serve, client, begun):
    async def script(peer):
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n" + begun)
        await peer.ended()

    server = await serve(script)
    upstreams = await client(idle=0.05)
    answer = await ask(upstreams.at(server.url))
    assert await answer.body.read() == b"he"
    with pytest.raises(UpstreamFailed, match=r"silent for 0\.05 s in its answer") as caught:
        await answer.body.read()
    assert (caught.value.status, upstreams.status()[0].open) == (504, 0)


@pytest.mark.parametrize(
    ("kind", "limits"),
    [(b"text/event-stream; charset=utf-8", {"idle": 0.01}), (b"application/json", {"idle": 0.0})],
)
async def test_a_stream_of_events_may_be_silent_and_any_answer_without_limit(serve, client, kind, limits):
    go = asyncio.Event()

    async def script(peer):
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: " + kind + b"\r\n\r\ndata: 1\n\n")
        await go.wait()
        peer.send(b"data: 2\n\n")

    server = await serve(script)
    upstream = (await client(**limits)).at(server.url)
    answer = await ask(upstream)
    assert await answer.body.read() == b"data: 1\n\n"
    waiting = asyncio.create_task(answer.body.read())
    done, _ = await asyncio.wait((waiting,), timeout=0.1)  # ten times the limit
    assert not done
    go.set()
    assert await waiting == b"data: 2\n\n"
    assert await answer.body.read() == b""


async def test_a_client_that_reads_slowly_is_not_a_silent_upstream(serve, client):
    server = await serve(b"HTTP/1.1 200 OK\r\ncontent-length: 3000000\r\n\r\n" + b"x" * 3_000_000)
    answer = await ask((await client(idle=0.02)).at(server.url))
    size = 0
    while piece := await answer.body.read():
        size += len(piece)
        if size < 1_000_000:
            await asyncio.wait((asyncio.get_running_loop().create_future(),), timeout=0.05)
    assert size == 3_000_000


async def test_an_upstream_that_takes_nothing_of_a_request_is_504(serve, client):
    async def script(peer):
        await peer.head()
        peer.writer.transport.pause_reading()
        await asyncio.get_running_loop().create_future()

    server = await serve(script)
    upstreams = await client(write=0.1)
    with pytest.raises(UpstreamFailed, match=r"took nothing of the request for 0\.1 s") as caught:
        await ask(upstreams.at(server.url), "POST", body=b"x" * 30_000_000)
    assert (caught.value.status, upstreams.status()[0].open) == (504, 0)


async def test_the_time_for_an_answer_begins_when_the_request_is_sent(serve, client):
    server = await serve(OK)
    upstream = (await client(answer=0.2)).at(server.url)
    body = Pieces(b"x" * 70_000)
    body.more.clear()
    sending = asyncio.create_task(whole(upstream, "POST", body=body))
    done, _ = await asyncio.wait((sending,), timeout=0.4)
    assert not done
    body.more.set()
    assert await sending == (200, b"ok")


async def test_a_connection_that_takes_too_long_to_be_made_is_504(serve, client):
    async def mute(peer):
        await peer.ended()

    server = await serve(mute)
    upstreams = await client(connect=0.1)
    with pytest.raises(UpstreamFailed, match=r"No connection .* within 0\.1 s") as caught:  # the TLS handshake hangs
        await ask(upstreams.at(server.url.replace("http:", "https:")))
    assert (caught.value.reason, caught.value.status) == ("timeout", 504)
    assert upstreams.status()[0].open == 0


async def test_limits_of_earlier_requests_say_nothing_of_later_ones(serve, client):
    slow = asyncio.Event()

    async def script(peer):
        for _ in range(3):
            await peer.request()
            peer.send(OK)
        await peer.request()
        slow.set()
        await peer.ended()

    server = await serve(script)
    upstream = (await client(answer=0.3)).at(server.url)
    for _ in range(3):
        assert await whole(upstream) == (200, b"ok")
        await asyncio.wait((asyncio.get_running_loop().create_future(),), timeout=0.15)
    with pytest.raises(UpstreamFailed, match="did not answer"):
        await ask(upstream)
    assert slow.is_set()
