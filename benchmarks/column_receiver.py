"""A hook that changes one column of a table, written with the SDK and served by it, in a process of its own.

It doubles `price` in each row, or the element at index 10 if the rows are arrays. Unlike `column_hook`, it
verifies the signature of what it gets and signs what it answers, as every integration server should.
`python -m benchmarks.column_receiver` reads the secret from its standard input, prints its port, and serves until that
input is closed.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gateway.receiver import HookReceiver, replace
from gateway.receiver.reception import ReceptionSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.receiver import Call
    from gateway.receiver.answers import Answer

MOST_BYTES = 128 * 1024 * 1024
COLUMN, INDEX = "price", "10"


def receiver_with(secret: str) -> HookReceiver:
    """The receiver, with its one hook."""
    receiver = HookReceiver([secret], settings=ReceptionSettings(max_body_bytes=MOST_BYTES, timeout=30.0))

    @receiver.default
    async def double(call: Call) -> Answer:
        """Twice the price. In a column of its own, an element is a member named by its index."""
        rows = call.value["rows"]
        key: Any = int(INDEX) if isinstance(rows[0], list) else COLUMN if COLUMN in rows[0] else INDEX
        for row in rows:
            row[key] *= 2
        return replace(call.value)

    return receiver


async def serve(secret: str) -> None:
    """Listen on a free port of 127.0.0.1, print it, and serve until standard input ends."""
    async with receiver_with(secret).serving() as url:
        print(url.rpartition(":")[2], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@contextmanager
def column_receiver(secret: str) -> Iterator[int]:
    """The port of such a hook in another process, which ends with the block."""
    words = [sys.executable, "-m", "benchmarks.column_receiver"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(f"{secret}\n")
            process.stdin.flush()
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(timeout=10)


if __name__ == "__main__":
    from benchmarks.loops import run

    run(serve(sys.stdin.readline().strip()))
