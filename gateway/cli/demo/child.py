"""The integration server as a child process: started, talked to in lines of JSON, and never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator

_ANSWER_SECONDS: Final = 30.0
_END_SECONDS: Final = 5.0


class Child:
    """The process. `pid` is its number, `port` where it listens on 127.0.0.1."""

    def __init__(self, process: Process, port: int) -> None:
        self._process = process
        self.pid: Final = process.pid
        self.port: Final = port

    async def introduce(self, told: dict[str, str]) -> list[dict[str, Any]]:
        """Tell it where the control API is and who it is; returns the hooks that it declared and enabled."""
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(json.dumps(told).encode() + b"\n")
        await stdin.drain()
        hooks: list[dict[str, Any]] = (await hear(self._process))["hooks"]
        return hooks


@asynccontextmanager
async def integration_server() -> AsyncIterator[Child]:
    """Start the server; end it with the context. Should this process be killed, its input ends, and so does it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway.cli.demo.integration_server",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Child(process, (await hear(process))["port"])
    finally:
        # A second signal must not interrupt this: the process would be left behind.
        ending = asyncio.create_task(_end(process))
        while not ending.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(ending)


async def _end(process: Process) -> None:
    """Close its input, which ends it; after a while, by force."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(_END_SECONDS):
            await process.stdout.read()
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def hear(process: Process) -> dict[str, Any]:
    """The next line that it says. Raises `GatewayError` if there is none in time."""
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), _ANSWER_SECONDS)
    except TimeoutError:
        line = b""
    if not line:
        raise GatewayError("The demo's integration server did not start; what it said is above. Run the demo again.")
    said: dict[str, Any] = json.loads(line)
    if "error" in said:
        raise GatewayError(str(said["error"]))
    return said
