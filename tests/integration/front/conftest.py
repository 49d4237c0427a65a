"""A front on loopback, and a client that sends bytes as they are and reads answers one by one."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import uvloop

from gateway.service.front import Front, FrontSettings
from gateway.service.messages import ResponseHead
from gateway.testing.clock import ManualClock

GIVE_UP = 10.0


@dataclass
class Answered:
    status: int
    headers: list
    body: bytes
    trailers: list = field(default_factory=list)

    def header(self, name):
        return next((value for found, value in self.headers if found == name), None)


class Client:
    """Speaks bytes. Reading is strict: an answer that is not framed as RFC 9112 says fails the test."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def head(self):
        async with asyncio.timeout(GIVE_UP):
            raw = await self.reader.readuntil(b"\r\n\r\n")
        line, *lines = raw[:-4].split(b"\r\n")
        version, status, _reason = line.split(b" ", 2)
        assert version == b"HTTP/1.1"
        headers = [tuple(each.split(b": ", 1)) for each in lines]
        assert all(name == name.lower() for name, _ in headers)
        return Answered(int(status), headers, b"")

    async def answer(self, method="GET"):
        async with asyncio.timeout(GIVE_UP):
            got = await self.head()
            length, coding = got.header(b"content-length"), got.header(b"transfer-encoding")
            assert length is None or coding is None
            if method == "HEAD" or got.status in {204, 304} or got.status < 200:
                return got
            if coding == b"chunked":
                while size := int(await self.reader.readuntil(b"\r\n"), 16):
                    got.body += (await self.reader.readexactly(size + 2))[:-2]
                while (line := await self.reader.readuntil(b"\r\n")) != b"\r\n":
                    got.trailers.append(tuple(line[:-2].split(b": ", 1)))
            elif length is not None:
                got.body = await self.reader.readexactly(int(length))
            else:
                assert got.header(b"connection") == b"close"
                got.body = await self.reader.read()
            return got

    async def rest(self):
        """Everything until the end of the connection."""
        async with asyncio.timeout(GIVE_UP):
            return await self.reader.read()

    async def is_closed(self):
        return await self.rest() == b""

    def close(self):
        self.writer.close()


class Served:
    """A front, its address, and what it told of requests."""

    def __init__(self, front, port, clock, told):
        self.front = front
        self.port = port
        self.clock = clock
        self.told = told
        self.clients = []

    async def connect(self, **more):
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port, **more))
        self.clients.append(client)
        return client

    async def ask(self, data, method="GET"):
        """One request on a connection of its own."""
        client = await self.connect()
        await client.send(data)
        return await client.answer(method)

    def wait(self, seconds):
        """Let time pass, as far as the front can tell."""
        self.clock.advance(seconds)
        self.front.sweep()


async def tell(exchange):
    """Answers with the request as it was understood; echoes bodies; breaks when asked to."""
    path = exchange.head.path
    if path == "/echo":
        await exchange.begin(ResponseHead(200), None)
        while piece := await exchange.body.read():
            await exchange.write(piece)
        await exchange.end(exchange.body.trailers)
        return
    body = b""
    if exchange.body is not None and path != "/unread":
        while piece := await exchange.body.read():
            body += piece
    head = exchange.head
    lines = [f"{head.method} {head.target} {head.minor}".encode()]
    lines += [b"%b: %b" % header for header in head.headers]
    exchange.answer(200, [(b"content-type", b"text/plain")], b"\n".join([*lines, b"", body]))


@asynccontextmanager
async def serving(handler=tell, *, ssl_context=None, **limits):
    clock, told = ManualClock(), []
    front = Front(handler, FrontSettings(**limits), access=told.append, clock=clock)
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    await front.listen(sock, ssl_context=ssl_context)
    served = Served(front, sock.getsockname()[1], clock, told)
    try:
        yield served
    finally:
        for client in served.clients:
            client.close()
        await front.drain(0.5)
        assert (front.connections, front.in_flight) == (0, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(config, item):
    """Each test here runs on both event loops: they differ in when they pause, resume and tell of ends."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


async def _until(condition):
    async with asyncio.timeout(GIVE_UP):
        while not condition():  # noqa: ASYNC110  what is waited for is the inside of the server: it has no event
            await asyncio.sleep(0)


@pytest.fixture
def until():
    """`await until(lambda: served.front.in_flight)`."""
    return _until


@pytest.fixture
def serve():
    """`async with serve(handler, max_headers=3) as served`."""
    return serving
