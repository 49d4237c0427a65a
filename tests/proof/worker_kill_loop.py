"""Proof that a worker which is killed loses nothing but what was in flight in it.

    python tests/proof/worker_kill_loop.py --kills 30

Starts `gateway serve --workers 2` in front of a query API with an enabled hook, and clients that ask without a pause,
each on a connection of its own. Kills a worker with SIGKILL, waits until it is replaced, and again. Just before each
kill the worker is stopped, and the connections that it has accepted are noted: only those may break. No connection
may be refused, each answer must be whole and come through the hook, and the counters must never go back. Prints one
summary line; exits with 1 if anything else happened. Linux only.
"""

from __future__ import annotations

import argparse
import http.client
import http.server
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OPERATOR = "kill-loop-operator-key"
START_SECONDS = 120.0
RESULT = json.dumps({"rows": list(range(50))}).encode()


class Broken(Exception):
    """Something was lost that was not in flight in the killed worker."""


class Server(http.server.BaseHTTPRequestHandler):
    """The query API (GET) and the hook (POST) in one."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer(200, RESULT)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self._answer(204, b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if body:
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


class Quiet(http.server.ThreadingHTTPServer):
    """Says nothing of the connections that a killed worker leaves."""

    def handle_error(self, *args: Any) -> None:
        """Say nothing."""


@dataclass
class Client:
    """Asks again and again on one connection; when it breaks, on a new one."""

    address: tuple[str, int]
    stop: threading.Event
    answered: int = 0
    broke: list[int] = field(default_factory=list)  # the own ports of connections that broke
    wrong: list[str] = field(default_factory=list)
    longest: float = 0.0

    def run(self) -> None:
        """Ask until told to stop."""
        while not self.stop.is_set():
            connection = http.client.HTTPConnection(*self.address, timeout=60)
            try:
                connection.connect()
            except OSError as error:
                self.wrong.append(f"a connection was refused: {error}")
                return
            port = connection.sock.getsockname()[1]
            try:
                self._ask_on(connection)
            except (OSError, http.client.HTTPException):
                self.broke.append(port)
            finally:
                connection.close()

    def _ask_on(self, connection: http.client.HTTPConnection) -> None:
        while not self.stop.is_set():
            begun = time.monotonic()
            connection.request("GET", "/rows")
            answer = connection.getresponse()
            body = answer.read()
            self.longest = max(self.longest, time.monotonic() - begun)
            if answer.status != 200 or body != RESULT:
                self.wrong.append(f"{answer.status}: {body[:200]!r}")
            elif not (answer.headers["gateway-hooks"] or "").startswith("steady;unchanged"):
                self.wrong.append(f"not through the hook: {answer.headers['gateway-hooks']}")
            self.answered += 1
            if self.answered % 200 == 0:  # now and then a new connection, so that all workers get some
                return


class Loop:
    """Kills a worker, looks what became of it, and again."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._random = random.Random(seed)
        self.kills = 0
        self.allowed: set[int] = set()
        self.replaced_after: list[float] = []
        self._counted = 0.0

    def run(self, kills: int, clients: int) -> list[Client]:
        """Kill so many times while so many clients ask."""
        server = Quiet(("127.0.0.1", 0), Server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        with (self._folder / "gateway.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "serve", "--json", "--workers", "2", "--upstream", url,
                 "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"],
                cwd=self._folder, env=self._env(), stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            self._control = _address(told["control_url"])
            self._enable_hook(url)
            return self._kill(process.pid, _address(told["gateway_url"]), kills, clients)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            server.shutdown()

    def _kill(self, supervisor: int, address: tuple[str, int], kills: int, count: int) -> list[Client]:
        stop = threading.Event()
        clients = [Client(address, stop) for _ in range(count)]
        threads = [threading.Thread(target=each.run) for each in clients]
        for thread in threads:
            thread.start()
        try:
            for _ in range(kills):
                self._wait_ready()
                self._count()
                time.sleep(self._random.uniform(0.1, 1.0))
                pid = self._random.choice(_workers(supervisor))
                os.kill(pid, signal.SIGSTOP)
                self.allowed |= _accepted(pid, address[1])
                os.kill(pid, signal.SIGKILL)
                self.kills += 1
                begun = time.monotonic()
                while pid in _workers(supervisor):
                    time.sleep(0.005)
                self._count()
                self._wait_ready()
                self.replaced_after.append(time.monotonic() - begun)
            reached = sum(each.answered for each in clients)
            while any(thread.is_alive() for thread in threads) and sum(c.answered for c in clients) < reached + 200:
                time.sleep(0.02)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        return clients

    def _count(self) -> None:
        """Look at a counter of all workers: it must not have gone back."""
        text = self._ask("GET", "/metrics").decode()
        lines = [line for line in text.splitlines() if line.startswith("gateway_hook_calls_total")]
        counted = sum(float(line.rpartition(" ")[2]) for line in lines)
        if counted < self._counted:
            raise Broken(f"a counter went back, from {self._counted} to {counted}")
        self._counted = counted

    def _enable_hook(self, url: str) -> None:
        made = json.loads(self._ask("POST", "/v1/integrations", {"name": "steady", "base_url": url}))
        hook = {"name": "steady", "path": "/hook", "timeout_ms": 9000}
        found = json.loads(self._ask("POST", f"/v1/hooks?integration={made['id']}", hook))
        self._ask("POST", f"/v1/hooks/{found['id']}/enable", {})

    def _wait_ready(self) -> None:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            connection = http.client.HTTPConnection(*self._control, timeout=30)
            connection.request("GET", "/readyz")
            status = connection.getresponse().status
            connection.close()
            if status == 200:
                return
            time.sleep(0.02)
        raise Broken("a killed worker was not replaced")

    def _ask(self, method: str, path: str, body: Any = None) -> bytes:
        connection = http.client.HTTPConnection(*self._control, timeout=30)
        headers = {"authorization": f"Bearer {OPERATOR}", "content-type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status >= 400:
            raise Broken(f"{method} {path} was answered with {answer.status}: {text.decode()[:300]}")
        return text

    def _env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
        return kept | {
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "GATEWAY_STORE__URL": "memory:",
            "GATEWAY_CONTROL__OPERATOR_KEYS": json.dumps([OPERATOR]),
            "GATEWAY_CALLS__ALLOW_HTTP": "true",
            "GATEWAY_CALLS__ALLOW": "127.0.0.0/8",
            "GATEWAY_CALLS__REQUIRE_OWNERSHIP": "false",
            "GATEWAY_CALLS__BUDGET_MS": "20000",
        }


def _address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return host, int(port)


def _workers(supervisor: int) -> list[int]:
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return [int(each) for each in children]


def _accepted(pid: int, port: int) -> set[int]:
    """The ports of clients whose connections to `port` this process has accepted."""
    inodes = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        try:
            name = str(each.readlink())
        except OSError:
            continue
        if name.startswith("socket:["):
            inodes.add(name[8:-1])
    found = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        local, remote = (int(each.rpartition(":")[2], 16) for each in fields[1:3])
        if local == port and fields[9] in inodes and remote:
            found.add(remote)
    return found


def main() -> int:
    """Run the loop, print what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gateway-worker-kill-loop-") as folder:
        loop = Loop(Path(folder), options.seed)
        try:
            clients = loop.run(options.kills, options.clients)
        except Broken as error:
            print(f"LOST (seed {options.seed}): {error}")
            return 1
    wrong = [each for client in clients for each in client.wrong]
    broke = [port for client in clients for port in client.broke]
    strange = [port for port in broke if port not in loop.allowed]
    answered = sum(each.answered for each in clients)
    replaced = sorted(loop.replaced_after)
    print(
        f"{loop.kills} kills, {answered} answers; {len(broke)} connections broke, {len(strange)} of them not accepted "
        f"by a killed worker; {len(wrong)} wrong answers or refused connections; replaced after "
        f"{replaced[len(replaced) // 2]:.1f} s (median), {replaced[-1]:.1f} s (longest); longest answer "
        f"{max(each.longest for each in clients):.1f} s; seed {options.seed}"
    )
    for each in wrong[:5]:
        print(each)
    return 1 if wrong or strange else 0


if __name__ == "__main__":
    sys.exit(main())
