"""The floor: as little as it takes in Python to POST bytes and get bytes back over kept connections.

One protocol per connection on httptools' parser, a stack of idle connections, one write per request. No
deadline, no cap, no address check, no signature, no retry: for measuring only.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

import httptools

ONE_WRITE: Final = 65_536


class FloorConnection(asyncio.Protocol):
    """One connection, one exchange at a time."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._waiter: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to write to."""
        self.transport = cast(asyncio.Transport, transport)
        self._loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        """Hand the bytes to the parser."""
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the exchange in flight."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(exc or ConnectionError("closed"))

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        """Give the reply to whoever waits for it."""
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces = []
        if self._waiter is not None:
            self._waiter.set_result((self._parser.get_status_code(), body))

    def exchange(self, head: bytes, body: bytes) -> asyncio.Future[tuple[int, bytes]]:
        """Send one request; the future gives the status and the body."""
        self._waiter = self._loop.create_future()
        if len(body) < ONE_WRITE:
            self.transport.write(head + body)
        else:
            self.transport.writelines((head, body))
        return self._waiter


class FloorClient:
    """POSTs to one address."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[FloorConnection] = []

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """POST `body`; the status and the body of the reply."""
        head = (
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{self._port}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        ).encode()
        if self._idle:
            connection = self._idle.pop()
        else:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(FloorConnection, "127.0.0.1", self._port)
        reply = await connection.exchange(head, body)
        self._idle.append(connection)
        return reply

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().transport.close()
