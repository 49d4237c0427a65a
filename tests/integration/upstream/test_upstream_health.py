"""When an upstream counts as down, what requests get then, and how it comes up again."""

from __future__ import annotations

import asyncio
import logging

import pytest

from gateway.errors import UpstreamFailed
from gateway.testing.clock import ManualClock
from tests.integration.upstream.conftest import RawUpstream, ask, until, whole

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Naps:
    """A sleep that lasts until the test says how it ends, and moves the clock by its length then."""

    def __init__(self):
        self.clock = ManualClock()
        self.asked = asyncio.Queue()

    async def sleep(self, seconds):
        over = asyncio.Event()
        self.asked.put_nowait((seconds, over))
        await over.wait()

    async def end_one(self):
        """End the next nap; how long it was to be."""
        seconds, over = await self.asked.get()
        self.clock.advance(seconds)
        over.set()
        return seconds


@pytest.fixture
def naps():
    return Naps()


def state(upstreams):
    (status,) = upstreams.status()
    return str(status.state)


async def failing(upstream, times):
    found = []
    for _ in range(times):
        with pytest.raises(UpstreamFailed) as caught:
            await ask(upstream)
        found.append(caught.value.reason)
    return found


def changes(caplog):
    return [record.getMessage().split()[0] for record in caplog.records if record.name == "gateway.upstream"]


async def test_after_failed_connections_requests_fail_at_once_until_a_try_goes_well(client, naps, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="gateway")
    path = tmp_path / "api.sock"
    upstreams = await client(clock=naps.clock, sleep=naps.sleep, down_after=3, down=1.0, longest_down=3.0)
    upstream = upstreams.at(f"http+unix://{path}")
    assert state(upstreams) == "unknown"
    assert await failing(upstream, 4) == ["refused"] * 3 + ["down"]
    assert state(upstreams) == "down"
    with pytest.raises(UpstreamFailed, match=r"is down: No connection .* tries it again in 1\.0 s\.") as caught:
        await ask(upstream)
    assert (caught.value.status, caught.value.retry_after) == (502, 1.0)
    assert [await naps.end_one() for _ in range(4)] == [1.0, 2.0, 3.0, 3.0]
    seconds, over = await naps.asked.get()
    assert await failing(upstream, 1) == ["down"]
    script_runs = asyncio.Event()

    async def script(peer):
        script_runs.set()
        while True:
            await peer.request()
            peer.send(OK)

    server = await RawUpstream(script).start(path=str(path))
    naps.clock.advance(seconds)
    over.set()
    await script_runs.wait()
    await until(lambda: state(upstreams) == "up")
    assert await whole(upstream) == (200, b"ok")
    assert server.accepted == 1
    (status,) = upstreams.status()
    assert (str(status.state), status.why, status.failures) == ("up", None, {"refused": 3, "down": 3})
    assert changes(caplog) == ["upstream.down", "upstream.up"]
    await upstreams.aclose()
    await server.stop()


async def test_one_connection_that_is_made_ends_the_count(serve, client, naps, tmp_path):
    upstreams = await client(clock=naps.clock, sleep=naps.sleep, down_after=3, keep_alive=0.0)
    path = tmp_path / "api.sock"
    upstream = upstreams.at(f"http+unix://{path}")
    for _ in range(3):
        assert await failing(upstream, 2) == ["refused"] * 2
        server = await serve(OK, path=str(path))
        assert await whole(upstream) == (200, b"ok")
        await server.stop()
        path.unlink(missing_ok=True)
    assert state(upstreams) == "up"


async def test_failures_that_lie_far_apart_do_not_add_up(client, naps, tmp_path):
    upstreams = await client(clock=naps.clock, sleep=naps.sleep, down_after=3)
    upstream = upstreams.at(f"http+unix://{tmp_path}/none.sock")
    for _ in range(6):
        assert await failing(upstream, 1) == ["refused"]
        naps.clock.advance(61)
    assert state(upstreams) == "unknown"


async def test_connections_that_are_there_are_used_while_no_new_one_can_be_made(serve, client, naps, tmp_path):
    path = tmp_path / "api.sock"
    server = await serve(OK, path=str(path))
    upstreams = await client(clock=naps.clock, sleep=naps.sleep, down_after=1, connections=2, wait=30.0)
    upstream = upstreams.at(f"http+unix://{path}")
    await whole(upstream)
    server._server.close()
    path.unlink(missing_ok=True)
    first = await ask(upstream)
    first.release()
    kept = await ask(upstream)
    assert kept.head.status == 200


# ------------------------------------------------------------ asking for it


async def checked(serve, client, naps, answers, **limits):
    """An upstream whose health path gives `answers`, one after another; everything else is OK."""
    seen = []

    async def script(peer):
        while True:
            head, _ = await peer.request()
            seen.append(head.split()[1])
            if head.startswith(b"GET /healthz?deep=1 "):
                answer = answers.pop(0) if answers else OK
                if answer is None:
                    return
                peer.send(answer)
            else:
                peer.send(OK)

    server = await serve(script)
    upstreams = await client(
        clock=naps.clock, sleep=naps.sleep, health_path="/healthz?deep=1", health_interval=10.0, down_after=2, **limits
    )
    return upstreams, upstreams.at(server.url + "/base"), seen, server


BAD = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"


async def test_an_upstream_that_says_it_is_unwell_is_asked_for_nothing_else(serve, client, naps, caplog):
    caplog.set_level(logging.INFO, logger="gateway")
    upstreams, upstream, seen, server = await checked(serve, client, naps, [OK, BAD, BAD, BAD, None, OK], down=1.0)
    assert await naps.end_one() == 10.0
    assert state(upstreams) == "up"
    assert await whole(upstream) == (200, b"ok")
    assert await naps.end_one() == 10.0  # one bad answer is none
    assert await naps.end_one() == 1.0
    assert await failing(upstream, 1) == ["down"]
    assert await naps.end_one() == 2.0
    assert await naps.end_one() == 4.0
    assert await naps.end_one() == 10.0
    assert state(upstreams) == "up"
    assert await whole(upstream) == (200, b"ok")
    assert seen.count(b"/") == 2
    assert seen.count(b"/healthz?deep=1") >= 6
    assert server.accepted == 2  # the connection that was closed, and one more
    assert changes(caplog) == ["upstream.down", "upstream.up"]


async def test_a_check_that_is_not_answered_in_time_is_a_bad_one(serve, client, naps):
    async def script(peer):
        await peer.request()
        await peer.ended()

    server = await serve(script)
    upstreams = await client(
        clock=naps.clock, sleep=naps.sleep, health_path="/h", health_timeout=0.02, down_after=1, down=1.0
    )
    upstreams.at(server.url)
    assert await naps.end_one() == 1.0
    (status,) = upstreams.status()
    assert (str(status.state), "within 0.02 s" in status.why) == ("down", True)


async def test_checks_begin_with_the_context_and_end_with_it(serve, naps):
    from gateway.service.upstream import Limits, Upstreams

    server = await serve(OK)
    upstreams = Upstreams(Limits(health_path="/h"), clock=naps.clock, sleep=naps.sleep)
    upstreams.at(server.url)
    await asyncio.sleep(0)
    assert server.accepted == 0
    async with upstreams:
        assert await naps.end_one() == 10.0
        assert await naps.end_one() == 10.0
        assert state(upstreams) == "up"
    assert [status.open for status in upstreams.status()] == [0]
    assert len(asyncio.all_tasks()) <= 3  # this test, the server, its connection


async def test_retired_upstreams_are_not_checked_any_more(serve, client, naps):
    upstreams, upstream, seen, _ = await checked(serve, client, naps, [])
    await naps.end_one()
    await naps.asked.get()
    upstreams.retire()
    await asyncio.sleep(0)
    assert await whole(upstream) == (200, b"ok")
    assert naps.asked.empty()
    assert seen.count(b"/healthz?deep=1") == 2
