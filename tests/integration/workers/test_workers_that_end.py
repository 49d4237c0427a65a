"""Workers that are killed, that cannot start, or whose supervisor is killed: what is lost, and what is not."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from gateway.testing.hook_server import Reply

if TYPE_CHECKING:
    from gateway.testing.hook_server import Request
    from tests.integration.workers.conftest import Starting, Whole


def alive(pid: int) -> bool:
    """Whether that process still runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Client:
    """Asks again and again on one connection, and on a new one when that breaks."""

    def __init__(self, whole: Whole) -> None:
        self._whole = whole
        self.answered = 0
        self.broken: list[str] = []

    async def run(self, until: asyncio.Event) -> None:
        """Ask until then."""
        while not until.is_set():
            async with aiohttp.ClientSession() as session:
                while not until.is_set():
                    try:
                        # A POST, which no client library repeats by itself.
                        async with session.post(self._whole.url + "/data", data=b"{}") as answer:
                            assert answer.status == 200, await answer.text()
                            await answer.read()
                            self.answered += 1
                    except aiohttp.ClientError as error:
                        self.broken.append(repr(error))
                        break


async def test_a_killed_worker_loses_only_what_was_in_flight_in_it_and_is_replaced(starting: Starting) -> None:
    async with starting() as whole:
        hook = await whole.hook("/unchanged", "steady")
        await whole.switch(hook, "enable")
        clients, enough = [Client(whole) for _ in range(12)], asyncio.Event()
        asking = [asyncio.ensure_future(each.run(enough)) for each in clients]
        before = whole.pids
        counted: list[float] = []
        for killed, pid in enumerate(before, start=1):
            reached = sum(each.answered for each in clients)
            await whole.until(lambda reached=reached: sum(each.answered for each in clients) > reached + 50)
            counted.append(total(await whole.metrics()))
            broken = sum(len(each.broken) for each in clients)
            os.kill(pid, signal.SIGKILL)
            counted.append(total(await whole.metrics()))
            await whole.until(lambda killed=killed: len(whole.logged("worker.ready")) == 2 + killed)
            # Each client had at most one request in flight, and one connection.
            assert sum(len(each.broken) for each in clients) - broken <= len(clients)
            counted.append(total(await whole.metrics()))
        reached = sum(each.answered for each in clients)
        await whole.until(lambda: sum(each.answered for each in clients) > reached + 50)
        enough.set()
        await asyncio.gather(*asking)
        assert counted == sorted(counted)
        assert not set(before) & set(whole.pids)
        assert all(len(each.broken) <= len(before) for each in clients)
        assert {line["by"] for line in whole.logged("worker.ended")} == {"SIGKILL"}
        assert not any("Connect call failed" in each for client in clients for each in client.broken)


def total(metrics: dict[str, float]) -> float:
    """How often the hook was called."""
    return sum(value for name, value in metrics.items() if name.startswith("gateway_hook_calls_total"))


async def test_connections_that_nobody_has_accepted_wait_for_the_next_worker(starting: Starting) -> None:
    async with starting() as whole:
        for pid in whole.pids:
            os.kill(pid, signal.SIGKILL)
        assert {answer.status for answer in await asyncio.gather(*(whole.query() for _ in range(20)))} == {200}


async def test_readiness_names_the_worker_that_is_missing_until_it_is_replaced(starting: Starting) -> None:
    async with starting() as whole:
        assert await whole.all_ready()
        await whole.until(lambda: len(whole.logged("worker.serves")) == 2)
        number = next(line["worker"] for line in whole.logged("worker.serves") if line["pid"] == whole.pids[0])
        os.kill(whole.pids[0], signal.SIGKILL)
        said: list[str] = []

        async def missed() -> bool:
            status, text = await whole.ready()
            said.append(text)
            return status == 503

        await whole.until(missed)
        assert f"Of 2 workers, not ready: worker {number};" in said[-1]
        await whole.until(whole.all_ready)


async def test_a_worker_that_does_not_take_a_change_over_is_replaced_and_the_change_holds(starting: Starting) -> None:
    async with starting() as whole:
        hook = await whole.hook("/unchanged")
        stuck = whole.pids[0]
        os.kill(stuck, signal.SIGSTOP)
        await whole.switch(hook, "enable")
        assert not alive(stuck)
        assert None not in await whole.queries(24)


async def test_calls_of_a_killed_worker_that_were_told_stay_in_the_journal(starting: Starting) -> None:
    async with starting() as whole:
        hook = await whole.hook("/unchanged")
        await whole.switch(hook, "enable")
        await whole.queries(30)
        outcomes = f"/v1/hooks/{hook}/outcomes?limit=100"
        before = await whole.api("GET", outcomes)
        assert len(before["items"]) == 30
        for pid in whole.pids:
            os.kill(pid, signal.SIGKILL)
        await whole.until(lambda: len(whole.logged("worker.ended")) == 2)
        assert await whole.api("GET", outcomes) == before


async def in_flight(whole) -> tuple[list[asyncio.Future], asyncio.Event]:
    """Ten queries whose hook has been called, and what lets it answer."""
    calls: list[Request] = []
    released = asyncio.Event()

    async def held(request: Request) -> Reply:
        calls.append(request)
        await released.wait()
        return Reply(204)

    whole.server.on("/held", held)
    await whole.switch(await whole.hook("/held"), "enable")
    asking = [asyncio.ensure_future(whole.query()) for _ in range(10)]
    await whole.until(lambda: len(calls) == 10)
    return asking, released


async def test_no_worker_outlives_a_killed_supervisor_and_what_is_in_flight_is_answered(starting: Starting) -> None:
    async with starting() as whole:
        asking, released = await in_flight(whole)
        pids = whole.pids
        whole.process.kill()
        await whole.process.wait()
        released.set()
        assert {answer.status for answer in await asyncio.gather(*asking)} == {200}
        await whole.until(lambda: not any(map(alive, pids)))


async def test_a_good_end_answers_what_is_in_flight_in_the_workers(starting: Starting) -> None:
    async with starting() as whole:
        asking, released = await in_flight(whole)
        pids = whole.pids
        ending = asyncio.ensure_future(whole.end())
        await whole.until(lambda: whole.logged("serve.draining"))
        released.set()
        assert {answer.status for answer in await asyncio.gather(*asking)} == {200}
        assert await ending == 0
        assert not any(map(alive, pids))
        assert not whole.logged("worker.killed")


BROKEN = """\
import os, sys
if "gateway.service.workers" in sys.orig_argv:
    os._exit(1)
"""


async def test_workers_that_never_get_ready_are_given_up_with_a_sentence(starting: Starting, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BROKEN)
    here = os.environ.get("PYTHONPATH", "")
    async with starting(PYTHONPATH=f"{tmp_path}:{Path(__file__).parents[3]}:{here}") as whole:
        assert await whole.process.wait() == 1
        ended = whole.logged("worker.ended")
        assert {line["by"] for line in ended} == {"exit code 1"}
        assert len(ended) >= 6
        assert whole.logged("worker.ends_again_and_again")
        log = (tmp_path / "gateway.log").read_text()
        assert "No worker could be started" in log
        assert "Traceback" not in log


async def test_a_unix_socket_is_shared_by_all_workers(starting: Starting, tmp_path: Path) -> None:
    async with starting("--listen", f"unix:{tmp_path}/queries.sock") as whole:
        connector = aiohttp.UnixConnector(f"{tmp_path}/queries.sock", force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            os.kill(whole.pids[0], signal.SIGKILL)
            for _ in range(20):
                async with session.get("http://gateway/data") as answer:
                    assert answer.status == 200
        assert await whole.end() == 0
        assert not (tmp_path / "queries.sock").exists()


async def test_a_new_route_reaches_every_worker_also_one_that_starts_later(starting: Starting, tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text("")
    async with starting("--config", str(config)) as whole:
        config.write_text("[server]\nmax_target_bytes = 64\n")
        told = await whole.api("POST", "/v1/config/reload")
        assert told["applied"] == ["server.max_target_bytes"]
        long = "/data?" + "x" * 100
        assert {(await whole.query(long)).status for _ in range(16)} == {414}
        for pid in whole.pids:
            os.kill(pid, signal.SIGKILL)
        assert {(await whole.query(long)).status for _ in range(16)} == {414}


async def test_a_port_that_another_gateway_has_is_refused(starting: Starting, tmp_path: Path) -> None:
    async with starting() as whole:
        (tmp_path / "other").mkdir()
        refused = await asyncio.create_subprocess_exec(
            *whole.command, "--listen", whole.url.removeprefix("http://"), "--control", "127.0.0.1:0",
            cwd=tmp_path / "other", env=whole.environment, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, said = await refused.communicate()
        assert refused.returncode == 1
        assert b"another program listens there already" in said


async def test_workers_that_are_about_to_end_tell_their_clients_to_part(starting: Starting) -> None:
    async with starting(GATEWAY_SERVER__READY_DELAY_SECONDS="3600") as whole, aiohttp.ClientSession() as session:

        async def parting() -> bool:
            async with session.get(whole.url + "/data") as answer:
                assert answer.status == 200, await answer.text()
                return answer.headers.get("connection") == "close"

        assert not await parting()
        whole.process.send_signal(signal.SIGTERM)
        await whole.until(parting)
        assert await parting(), "who comes anew is answered, by whichever worker"
        whole.process.send_signal(signal.SIGTERM)
        assert await whole.process.wait() == 0


async def test_nobody_is_left_waiting_on_a_connection_that_no_worker_accepts(starting: Starting) -> None:
    async with starting() as whole:
        asked, go = asyncio.Event(), asyncio.Event()

        async def slow(_request: Request) -> Reply:
            asked.set()
            await go.wait()
            return Reply.json(b"{}")

        whole.server.on("/slow", slow)
        under_way = asyncio.ensure_future(whole.query("/slow"))
        await asked.wait()
        whole.process.send_signal(signal.SIGTERM)

        async def refused() -> bool:
            try:
                async with asyncio.timeout(1):
                    return not await whole.query()
            except (TimeoutError, aiohttp.ClientConnectorError) as error:
                return isinstance(error, aiohttp.ClientConnectorError)

        await whole.until(refused)
        go.set()
        assert (await under_way).status == 200
        assert await whole.process.wait() == 0
