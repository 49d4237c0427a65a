"""`gateway serve --workers 2` as real processes, in front of a real query API, with real hooks."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio

from gateway.testing.hook_server import HookServer, Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.testing.hook_server import Request

OPERATOR = "operator-key-for-tests"
ROOT = Path(__file__).parents[3]
WORKERS = 2
PATIENCE = 60.0


class Whole:
    """A supervisor with its workers, and the server that is query API and hooks in one."""

    def __init__(
        self, process: asyncio.subprocess.Process, log: Path, server: HookServer, session: aiohttp.ClientSession
    ) -> None:
        self.process = process
        self.server = server
        self._log = log
        self._session = session
        self.command: Sequence[str] = ()
        self.environment: dict[str, str] = {}
        self.control_url = ""
        self.url = ""
        self._made = 0

    @property
    def pids(self) -> list[int]:
        """The worker processes that live now."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(each) for each in children.read_text().split()] if children.exists() else []

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The lines of the log with this event."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith('{"time"')]
        return [line for line in lines if line["event"] == event]

    async def api(self, method: str, path: str, body: Any = None) -> Any:
        """What the control API answers the operator; fails for an error."""
        headers = {"authorization": f"Bearer {OPERATOR}"}
        async with self._session.request(method, self.control_url + path, json=body, headers=headers) as answer:
            text = await answer.text()
            assert answer.status < 300, (answer.status, text)
            return json.loads(text) if "json" in answer.content_type else text

    async def query(self, path: str = "/data", **headers: str) -> aiohttp.ClientResponse:
        """One query, on a connection of its own, which the kernel gives to one of the workers."""
        async with self._session.get(self.url + path, headers=headers) as answer:
            await answer.read()
            return answer

    async def queries(self, count: int = 40) -> list[str | None]:
        """What became of the hooks of so many queries at once: the header `gateway-hooks`."""
        answers = await asyncio.gather(*(self.query() for _ in range(count)))
        assert {each.status for each in answers} == {200}
        return [each.headers.get("gateway-hooks") for each in answers]

    async def in_all(self, seen: Callable[[], int], at_least: int) -> None:
        """Query until `seen()` has come to `at_least`."""
        async with asyncio.timeout(PATIENCE):
            while seen() < at_least:
                await self.queries(8)

    async def hook(self, path: str, name: str | None = None, **fields: Any) -> str:
        """A new hook at `path` of an integration of its own; its id."""
        self._made += 1
        envelope = fields.pop("envelope", {})
        made = await self.api(
            "POST",
            "/v1/integrations",
            {"name": f"integration {self._made}", "base_url": self.server.url, "envelope": envelope},
        )
        declared = {"name": name or f"hook-{self._made}", "path": path, **fields}
        hook = await self.api("POST", f"/v1/hooks?integration={made['id']}", declared)
        return str(hook["id"])

    async def switch(self, hook_id: str, what: str, **body: Any) -> Any:
        """Enable or disable a hook."""
        return await self.api("POST", f"/v1/hooks/{hook_id}/{what}", body)

    async def metrics(self) -> dict[str, float]:
        """Every sample, by its name with labels."""
        text = await self.api("GET", "/metrics")
        lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}

    async def ready(self) -> tuple[int, str]:
        """What `/readyz` says."""
        async with self._session.get(self.control_url + "/readyz") as answer:
            return answer.status, await answer.text()

    async def until(self, holds: Callable[[], Any]) -> None:
        """Return once it holds."""
        async with asyncio.timeout(PATIENCE):
            while True:  # what other processes have come to, nobody tells
                found = holds()
                if await found if asyncio.iscoroutine(found) else found:
                    return
                await asyncio.sleep(0.02)

    async def until_all_say(self, word: str | None, at_once: int = 24) -> None:
        """Return once the hooks of so many queries at once come out as `word`, or are not there at all: `None`.

        What a worker notices by itself reaches the other ones a moment after the control API shows it.
        """

        async def all_say() -> bool:
            said = await self.queries(at_once)
            return all(each is None if word is None else word in str(each) for each in said)

        await self.until(all_say)

    async def all_ready(self) -> bool:
        """Whether all workers are ready."""
        return (await self.ready())[0] == 200

    async def end(self) -> int:
        """End it as an operator does; its exit code."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        return await self.process.wait()


async def data(_request: Request) -> Reply:
    return Reply.json(b'{"rows": [1, 2, 3]}')


@asynccontextmanager
async def running(directory: Path, *options: str, **variables: str) -> AsyncIterator[Whole]:
    """The gateway in `directory`, with further options and variables."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(HookServer())
        server.on("/data", data)
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=PATIENCE))
        )
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
        set_here = {
            "PYTHONPATH": str(ROOT),
            "GATEWAY_CONTROL__OPERATOR_KEYS": json.dumps([OPERATOR]),
            "GATEWAY_CALLS__ALLOW": '["127.0.0.0/8"]',
            "GATEWAY_CALLS__ALLOW_HTTP": "true",
            "GATEWAY_CALLS__REQUIRE_OWNERSHIP": "false",
            "GATEWAY_CALLS__TIMEOUT_MS": "10000",
            "GATEWAY_CALLS__BUDGET_MS": "30000",
            "GATEWAY_STORE__URL": "memory:",
        }
        log = directory / "gateway.log"
        command = [sys.executable, "-m", "gateway", "serve", "--json", "--workers", str(WORKERS)]
        command += ["--upstream", server.url]
        environment = {**kept, **set_here, **variables}
        with log.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                *command,
                "--listen",
                "127.0.0.1:0",
                "--control",
                "127.0.0.1:0",
                *options,
                cwd=directory,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
            )
        whole = Whole(process, log, server, session)
        whole.command, whole.environment = command, environment
        try:
            assert process.stdout is not None
            async with asyncio.timeout(PATIENCE):
                if line := await process.stdout.readline():
                    told = json.loads(line)
                    whole.control_url, whole.url = told["control_url"], told["gateway_url"]
            yield whole
        finally:
            server.release()
            if process.returncode is None:
                await whole.end()
            told = [line for line in log.read_text().splitlines() if '"level": "info"' not in line]
            print("\n".join(told))  # noqa: T201  shown where a test failed


Starting = Callable[..., Any]


@pytest.fixture
def starting(tmp_path: Path) -> Starting:
    """Starts a gateway of the test's own."""
    return lambda *options, **variables: running(tmp_path, *options, **variables)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Whole]:
    """A gateway that the tests of a module share: none of them ends its workers."""
    async with running(tmp_path_factory.mktemp("workers")) as opened:
        yield opened
