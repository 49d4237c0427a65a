"""A hook that changes one column of a table, in a process of its own: as one writes it.

`/orjson/price` doubles `price` in each row, or the element at that index if the rows are arrays, and answers with the
whole document that it was sent, as a replacement; `/json/price` does so with the library that comes with Python.
`python -m benchmarks.column_hook` prints the port it listens on and serves until its standard input is closed.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


def reply_to(path: str, body: bytes) -> bytes:
    """The whole reply to a structured call of `path` whose body is `body`."""
    _, library, column = path.split("/")
    document = (orjson.loads(body) if library == "orjson" else json.loads(body))["data"]["result"]
    rows = document["rows"]
    key: Any = int(column) if isinstance(rows[0], list) else column
    for row in rows:
        row[key] *= 2
    answer = orjson.dumps(document) if library == "orjson" else json.dumps(document).encode()
    return HEAD % len(answer) + answer


class ColumnProtocol(asyncio.Protocol):
    """Collects a request until it is whole, and answers it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to answer on."""
        self._transport = cast(asyncio.Transport, transport)
        self._pieces: list[bytes] = []
        self._missing = 0

    def data_received(self, data: bytes) -> None:
        """Take a piece of a request; answer once the request is whole."""
        self._pieces.append(data)
        if self._missing > len(data):
            self._missing -= len(data)
            return
        request = b"".join(self._pieces)
        head, _, body = request.partition(b"\r\n\r\n")
        at = head.lower().find(b"content-length:")
        if at < 0:
            return
        self._missing = int(head[at + 15 :].split(b"\r\n", 1)[0]) - len(body)
        if self._missing <= 0:
            self._pieces.clear()
            self._missing = 0
            self._transport.write(reply_to(head.split(b" ", 2)[1].decode(), body))
        else:
            self._pieces[:] = [request]


async def serve() -> None:
    """Listen on a free port of 127.0.0.1, print it, and serve until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(ColumnProtocol, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


@contextmanager
def column_hook() -> Iterator[int]:
    """The port of such a hook in another process, which ends with the block."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.column_hook"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(timeout=10)


if __name__ == "__main__":
    from benchmarks.loops import run

    run(serve())
