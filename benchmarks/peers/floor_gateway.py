"""The least that a gateway in Python can cost: httptools on uvloop both ways, nothing checked, nothing understood.

usage: floor_gateway.py PORT UPSTREAM_PORT HOOK_PORT
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import httptools
import uvloop

from benchmarks.floor_client import ONE_WRITE, FloorConnection

PORT, UPSTREAM, HOOK = (int(word) for word in sys.argv[1:4])
POST_HEAD = f"POST /echo HTTP/1.1\r\nhost: 127.0.0.1:{HOOK}\r\ncontent-type: application/json\r\ncontent-length: "


class FloorPool:
    """Kept connections to one port."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[FloorConnection] = []

    async def exchange(self, head: bytes, body: bytes) -> tuple[int, bytes]:
        """One request, one answer."""
        if self._idle:
            connection = self._idle.pop()
        else:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(FloorConnection, "127.0.0.1", self._port)
        answer = await connection.exchange(head, body)
        self._idle.append(connection)
        return answer


class FloorServer(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, upstream: FloorPool, hook: FloorPool) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._upstream, self._hook = upstream, hook
        self._target = b"/"
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to answer on."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Hand the bytes to the parser."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Keep the target."""
        self._target = url

    def on_message_complete(self) -> None:
        """Answer."""
        task = asyncio.get_running_loop().create_task(self._answer(self._target))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, target: bytes) -> None:
        status, body = await self._upstream.exchange(b"GET " + target + b" HTTP/1.1\r\nhost: api\r\n\r\n", b"")
        if not target.startswith(b"/pass/"):
            said, after = await self._hook.exchange(f"{POST_HEAD}{len(body)}\r\n\r\n".encode(), body)
            if said == 200:
                body = after
        head = b"HTTP/1.1 %d OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (status, len(body))
        if len(body) < ONE_WRITE:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))


async def serve() -> None:
    """Serve until the process is ended."""
    upstream, hook = FloorPool(UPSTREAM), FloorPool(HOOK)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: FloorServer(upstream, hook), "127.0.0.1", PORT, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
