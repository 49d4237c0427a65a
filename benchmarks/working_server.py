"""A hook that does something with what it is sent, in a process of its own: for benchmarks of rows, sharing, reuse.

`/convert` multiplies the fourth value of every row and answers with the whole document. `/convert/N` does, too, and
takes N microseconds more for each row, in which it answers others: like a service with many workers. `/note` adds a
member by a merge patch, also to each event of a shared call. `/note/fresh` says that its replies may be used again.
`python -m benchmarks.working_server` prints the port it listens on and serves until its standard input is closed.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n%s\r\n"
_MERGE: Final = "application/merge-patch+json"
_NOTE: Final = {"seen": True, "by": "a hook"}


def _converted(document: dict[str, Any]) -> dict[str, Any]:
    for row in document["rows"]:
        row[3] = row[3] * 1.1
    return document


async def _answer(path: str, body: bytes) -> tuple[str, bytes, bytes]:
    """The content type, the body and further header lines of the reply."""
    said = orjson.loads(body)
    if path.startswith("/convert"):
        document = _converted(said["data"]["result"])
        if wait := path.removeprefix("/convert").strip("/"):
            await asyncio.sleep(len(document["rows"]) * int(wait) / 1e6)
        return "application/json", orjson.dumps(document), b""
    further = b"cache-control: max-age=600\r\n" if path.endswith("/fresh") else b""
    if isinstance(said, list):
        answers = [{"id": event["id"], "contenttype": _MERGE, "data": _NOTE} for event in said]
        return "application/json", orjson.dumps(answers), further
    return _MERGE, orjson.dumps(_NOTE), further


class _Protocol(asyncio.Protocol):
    """Reads requests just far enough to know where each ends."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._data: list[bytes] = []
        self._size = self._needed = 0

    def data_received(self, data: bytes) -> None:
        self._data.append(data)
        self._size += len(data)
        if self._size < self._needed:
            return
        whole = b"".join(self._data)
        end = whole.find(b"\r\n\r\n")
        if end < 0:
            return
        head = whole[:end].lower()
        length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        self._needed = end + 4 + length
        if self._size >= self._needed:
            path = whole.split(b" ", 2)[1].decode()
            self._task = asyncio.get_running_loop().create_task(self._reply(path, whole[end + 4 : self._needed]))
            self._data, self._size, self._needed = [], 0, 0

    async def _reply(self, path: str, body: bytes) -> None:
        content_type, reply, further = await _answer(path, body)
        self._transport.writelines((_HEAD % (content_type.encode(), len(reply), further), reply))


async def serve() -> None:
    """Listen on a free port of 127.0.0.1, print it, and serve until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Protocol, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


@contextmanager
def working_server() -> Iterator[int]:
    """The port of such a server in another process, which ends with the block."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.working_server"],
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
