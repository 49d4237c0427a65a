"""An inbox in each of its forms, over real HTTP."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import aiohttp
import pytest
import uvicorn
from aiohttp import web

from gateway.receiver import Inbox
from gateway.receiver.inbox import InboxCounts
from gateway.wire import signature

SECRET = signature.new_secret()


@asynccontextmanager
async def aiohttp_form(inbox):
    runner = web.AppRunner(inbox.aiohttp_app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@asynccontextmanager
async def asgi_form(inbox):
    server = uvicorn.Server(uvicorn.Config(inbox.asgi, port=0, log_level="warning", lifespan="on"))
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  it has no event for it
        await asyncio.sleep(0.005)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await task


@asynccontextmanager
async def own_form(inbox):
    async with inbox.serving() as url:
        yield url


def signed(body, ident):
    at = int(time.time())
    keys = [signature.key_of(SECRET)]
    return {
        "webhook-id": ident,
        "webhook-timestamp": str(at),
        "webhook-signature": signature.sign(keys, ident, at, body),
        "content-type": "application/json",
    }


@pytest.mark.parametrize("form", [aiohttp_form, asgi_form, own_form])
async def test_messages_are_acknowledged_handled_and_found_again(form, tmp_path):
    inbox = Inbox(tmp_path / "inbox.db", [SECRET])
    handled = asyncio.Queue()

    @inbox.on("order.created")
    async def created(message):
        handled.put_nowait(message.value()["data"])

    async with form(inbox) as url, aiohttp.ClientSession() as session, asyncio.timeout(20):
        for number in range(5):
            body = b'{"type": "order.created", "data": %d}' % number
            for _ in range(2):  # a sender that did not hear the answer
                async with session.post(url, data=body, headers=signed(body, f"evt_{number}")) as response:
                    assert response.status == 202
        assert sorted([await handled.get() for _ in range(5)]) == [0, 1, 2, 3, 4]
        async with session.post(url, data=b"{}") as response:
            assert response.status == 401
        async with session.get(f"{url}/metrics") as response:
            assert 'inbox_received_total{what="known"} 5.0' in await response.text()
        inbox.store.replay("evt_3", time.time())
        assert await handled.get() == 3
    assert inbox.store.counts() == InboxCounts(processed=5)
    inbox.close()


async def test_one_process_takes_in_and_another_handles(tmp_path):
    """Two inboxes on one file: one without handlers, one that only works."""
    taking, working = Inbox(tmp_path / "inbox.db", [SECRET]), Inbox(tmp_path / "inbox.db", [SECRET])
    handled = asyncio.Event()

    @working.on()
    async def handle(message):
        handled.set()

    async with taking.living(), working.working(), asyncio.timeout(20):
        assert taking(signed(b"{}", "evt_1"), b"{}").status == 202
        await handled.wait()
    working.close()
