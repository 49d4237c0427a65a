"""A served gateway between a client that speaks bytes and a query API that is told, byte for byte, what to do."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import aiohttp
import pytest
from aiohttp import web

from gateway import Envelope, FailurePolicy, HookDraft, IntegrationDraft, Settings
from gateway.runtime import open_gateway
from gateway.service.serving import listening
from gateway.testing.hook_server import HookServer

GIVE_UP = 10.0


class Wire:
    """One end of a connection: sends bytes, reads heads, chunks and whatever comes."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def head(self):
        """The next head: its first line, and its headers with names in lower case."""
        async with asyncio.timeout(GIVE_UP):
            raw = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = raw[:-4].decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers.setdefault(name.lower(), []).append(value.strip())
        return first, {name: ", ".join(values) for name, values in headers.items()}

    async def exactly(self, size):
        async with asyncio.timeout(GIVE_UP):
            return await self.reader.readexactly(size)

    async def some(self):
        """Whatever comes next; empty at the end, also if that is a reset."""
        async with asyncio.timeout(GIVE_UP):
            try:
                return await self.reader.read(65_536)
            except ConnectionError:
                return b""

    async def chunk(self):
        async with asyncio.timeout(GIVE_UP):
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            piece = await self.reader.readexactly(size)
            if size:
                assert await self.reader.readexactly(2) == b"\r\n"
            return piece

    async def trailers(self):
        """What follows the last chunk."""
        lines = []
        async with asyncio.timeout(GIVE_UP):
            while (line := await self.reader.readuntil(b"\r\n")) != b"\r\n":
                lines.append(line[:-2].decode())
        return lines

    async def close(self):
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


class Api:
    """A query API: each connection that is made to it waits to be taken by the test."""

    def __init__(self):
        self.url = ""
        self.made = asyncio.Queue()

    async def taken(self):
        """The next connection of the gateway."""
        async with asyncio.timeout(GIVE_UP):
            return await self.made.get()

    async def asked(self):
        """The next connection and the head of the request on it."""
        wire = await self.taken()
        return wire, *await wire.head()


class Served:
    def __init__(self, gateway, url, hooks):
        self.gateway = gateway
        self.url = url
        self.hooks = hooks
        self.enabled = []

    async def hook(self, path, **fields):
        """Enable a hook, whose behaviour is named by its path; returns its id."""
        envelope = Envelope(failure_policy=FailurePolicy.FAIL, may_reject=True)
        made = await self.gateway.registry.register(
            IntegrationDraft(f"one-{len(self.enabled)}", self.hooks.url, envelope=envelope)
        )
        hook = await self.gateway.registry.create_hook(
            made.integration.id, HookDraft("it", path, timeout_ms=5_000, **fields)
        )
        await self.gateway.registry.enable(hook.id)
        self.enabled.append(hook.id)
        return hook.id

    @asynccontextmanager
    async def client(self):
        host, _, port = self.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        wire = Wire(reader, writer)
        try:
            yield wire
        finally:
            await wire.close()

    async def ask(self, path, method="GET", **options):
        """A whole answer: its status, headers and body as they came."""
        async with (
            aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(method, self.url + path, allow_redirects=False, **options) as response,
        ):
            return response.status, response.headers, await response.read()


@pytest.fixture
async def api():
    """A query API on loopback."""
    it = Api()
    wires = []

    async def connected(reader, writer):
        wire = Wire(reader, writer)
        wires.append(wire)
        await it.made.put(wire)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    it.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield it
    finally:
        server.close()
        for wire in wires:
            await wire.close()


@pytest.fixture
async def serve():
    """`await serve(url, **settings)`: a gateway in front of the query API at `url`."""
    async with AsyncExitStack() as stack:

        async def served(url, *routes, calls=None, **settings):
            given = {
                "listen": "127.0.0.1:0",
                "control": {"listen": "127.0.0.1:0"},
                "store": {"url": "memory:"},
                "calls": {"allow_http": True, "allow": ["127.0.0.0/8"], "require_ownership": False, **(calls or {})},
                **settings,
            }
            if routes:
                given["routes"] = [{"upstream": url, **route} for route in routes]
            else:
                given["upstream"] = url
            hooks = await stack.enter_async_context(HookServer())
            gateway = await stack.enter_async_context(open_gateway(Settings(**given)))
            _, at = await stack.enter_async_context(listening(gateway, ["an-operator-key-for-tests"]))
            return Served(gateway, at, hooks)

        yield served


class Origin:
    """A query API that keeps to the rules about conditions and ranges, and remembers what it was asked."""

    def __init__(self):
        self.url = ""
        self.asked = []  # (method, path, headers), in order
        self.body = b'{"rows": [1.50]}'
        self.tag = '"v1"'
        self.headers = {"last-modified": "Tue, 14 Nov 2023 22:13:50 GMT", "cache-control": "public, max-age=60"}

    async def handle(self, request):
        self.asked.append((request.method, request.path_qs, request.headers, await request.read()))
        kind = {"/picture": "image/png", "/typed": request.query.get("as", "text/plain")}
        headers = {"etag": self.tag, "accept-ranges": "bytes", **self.headers}
        if request.path == "/no-head" and request.method == "HEAD":
            return web.Response(status=405, text="GET only")
        if request.path == "/status":
            return web.Response(status=int(request.query["s"]), body=self.body, content_type="application/json")
        if request.path == "/plain":
            headers = {}
        if self.tag in request.headers.get("if-none-match", ""):
            return web.Response(status=304, headers=headers)
        if request.headers.get("if-match", self.tag) != self.tag:
            return web.Response(status=412, headers=headers)
        headers["content-type"] = kind.get(request.path, "application/json")
        if request.headers.get("range") == "bytes=0-1" and request.headers.get("if-range", self.tag) == self.tag:
            headers["content-range"] = f"bytes 0-1/{len(self.body)}"
            return web.Response(status=206, body=self.body[:2], headers=headers)
        if request.path in {"/br", "/gzip"}:
            headers["content-encoding"] = request.path[1:]
            return web.Response(body=gzip.compress(self.body), headers=headers)
        return web.Response(body=self.body, headers=headers)


@pytest.fixture
async def origin():
    """A query API that answers by itself."""
    it = Origin()
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", it.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    it.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield it
    await runner.cleanup()
