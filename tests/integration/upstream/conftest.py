"""Upstreams that send the very bytes a test wants, and connections to them, on both event loops."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import AsyncExitStack

import pytest
import uvloop

from gateway.service.messages import RequestHead
from gateway.service.upstream import Limits, Upstreams

PATIENCE = 30.0  # seconds; only a test that hangs waits so long


def pytest_asyncio_loop_factories(config, item):
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


class Peer:
    """The upstream's end of one connection."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    async def head(self):
        """The next request's head, as one text in bytes."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def request(self):
        """The next request: its head and its body, as it came on the wire."""
        head = await self.head()
        if b"\r\ntransfer-encoding: chunked\r\n" in head:
            body = await self.reader.readuntil(b"0\r\n")
            while not body.endswith(b"\r\n\r\n"):
                body += await self.reader.readline()
            return head, body
        length = head.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0]
        return head, await self.reader.readexactly(int(length or 0))

    def send(self, data):
        self.writer.write(data)

    async def ended(self):
        """Wait until the gateway has closed the connection."""
        try:
            while await self.reader.read(65_536):
                pass
        except ConnectionError:
            pass

    def close(self):
        self.writer.close()

    def abort(self):
        """Reset the connection."""
        if not self.writer.transport.is_closing():
            at_once = struct.pack("ii", 1, 0)
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        self.writer.transport.abort()


class RawUpstream:
    """Runs `script(peer)` for each connection; a connection is closed when it returns."""

    def __init__(self, script):
        self._script = script
        self._tasks = set()
        self.peers = []
        self.url = ""
        self.arrived = asyncio.Condition()

    async def start(self, *, ssl=None, path=None, host="127.0.0.1", port=0):
        if path is not None:
            self._server = await asyncio.start_unix_server(self._take, path)
            self.url = f"http+unix://{path}"
        else:
            self._server = await asyncio.start_server(self._take, host, port, ssl=ssl, limit=2**22)
            self.port = self._server.sockets[0].getsockname()[1]
            shown = f"[{host}]" if ":" in host else "localhost" if ssl else host
            self.url = f"{'https' if ssl else 'http'}://{shown}:{self.port}"
        return self

    @property
    def accepted(self):
        return len(self.peers)

    def _take(self, reader, writer):
        task = asyncio.get_running_loop().create_task(self._serve(Peer(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, peer):
        self.peers.append(peer)
        try:
            await self._script(peer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            peer.close()

    async def stop(self):
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for peer in self.peers:
            peer.abort()


@pytest.fixture
async def serve():
    """Start a raw upstream with a script; or with bytes, which answer each request."""
    async with AsyncExitStack() as stack:

        async def start(script, **where):
            if isinstance(script, bytes):
                script = always(script)
            server = await RawUpstream(script).start(**where)
            stack.push_async_callback(server.stop)
            return server

        async with asyncio.timeout(PATIENCE):
            yield start


@pytest.fixture
async def client():
    """Open upstreams with some limits."""
    async with AsyncExitStack() as stack:

        async def start(*, context=None, clock=None, sleep=None, **limits):
            named = {"clock": clock, "sleep": sleep}
            given = {name: value for name, value in named.items() if value is not None}
            return await stack.enter_async_context(Upstreams(Limits(**limits), context=context, **given))

        yield start


def always(answer):
    async def script(peer):
        while True:
            await peer.request()
            peer.send(answer)

    return script


def once(answer):
    """Answer one request, then close."""

    async def script(peer):
        await peer.request()
        peer.send(answer)

    return script


def head(method="GET", target="/", *headers):
    return RequestHead(method, target, [(b"host", b"api.test"), *headers])


async def ask(upstream, method="GET", target="/", *headers, body=None, **more):
    return await upstream.send(head(method, target, *headers), body, **more)


async def whole(upstream, method="GET", target="/", *headers, body=None, limit=2**26, **more):
    """Status and body of an answer that is read to its end and let go."""
    answer = await ask(upstream, method, target, *headers, body=body, **more)
    try:
        data, all_of_it = await answer.whole(limit)
        assert all_of_it
        return answer.head.status, data
    finally:
        answer.release()


async def until(condition):
    """Let the loop turn until it is so."""
    while not condition():  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0)


class Pieces:
    """A body for requests, from pieces; with `gates`, each piece waits for an event."""

    def __init__(self, *pieces, length=None, trailers=(), error=None):
        self.pieces = list(pieces)
        self.length = length
        self.trailers = list(trailers)
        self.error = error
        self.reads = 0
        self.more = asyncio.Event()
        self.more.set()

    async def read(self):
        self.reads += 1
        await self.more.wait()
        if self.pieces:
            return self.pieces.pop(0)
        if self.error is not None:
            raise self.error
        return b""
