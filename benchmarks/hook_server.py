"""A hook that answers as fast as Python can: a fixed reply per path, in a process of its own.

`/204` answers 204; `/bytes/N` answers 200 with a JSON document of N bytes; `/hang` never answers.
`python -m benchmarks.hook_server` prints the port it listens on and serves until its standard input is closed.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, cast

from benchmarks.documents import json_document

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_CONTENT: Final = b"HTTP/1.1 204 No Content\r\n\r\n"


def reply_for(path: bytes) -> bytes:
    """The whole reply, head and body, for a path."""
    if path == b"/hang":
        return b""
    if not path.startswith(b"/bytes/"):
        return NO_CONTENT
    body = json_document(int(path.removeprefix(b"/bytes/")), "after")
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


class HookProtocol(asyncio.Protocol):
    """Reads requests just far enough to know where each ends."""

    def __init__(self, replies: dict[bytes, bytes]) -> None:
        self._replies = replies
        self._waiting: list[bytes] = []
        self._missing = 0
        self._reply = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to answer on."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take a piece of a request; answer once the request is whole."""
        if not self._missing:
            if self._waiting:
                data = b"".join((*self._waiting, data))
                self._waiting.clear()
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._waiting.append(data)
                return
            head = data[:end].lower()
            path = data.split(b" ", 2)[1]
            reply = self._replies.get(path)
            if reply is None:
                reply = self._replies[path] = reply_for(path)
            self._reply = reply
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            self._missing = end + 4 + length
        self._missing -= len(data)
        if self._missing <= 0:
            self._missing = 0
            self._transport.write(self._reply)


async def serve() -> None:
    """Listen on a free port of 127.0.0.1, print it, and serve until standard input ends."""
    loop = asyncio.get_running_loop()
    replies: dict[bytes, bytes] = {}
    server = await loop.create_server(lambda: HookProtocol(replies), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


@contextmanager
def hook_server() -> Iterator[int]:
    """The port of a hook server in another process, which ends with the block."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.hook_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
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
