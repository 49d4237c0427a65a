"""Plays a how-to page as its reader would: each file as it stands there, each command, each program in a terminal."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs" / "how-to"
NEIGHBOURS = ROOT / ".venv-neighbours" / "bin"
WAIT_SECONDS = 60
SYSTEM, GATEWAY, CONTROL, HOOK = "8001", "8080", "8081", "9100"  # the ports on the pages
MAX_RESULT_BYTES = 100_000  # small, so that a result beyond it is soon made
INSTALLS = re.compile(r"(pip|apt|apt-get|uv) ")


def until(seen, what):
    """Ask again until `seen` gives something; `what` it is, for the error."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError, http.client.HTTPException):
            found = seen()
            if found:
                return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come within {WAIT_SECONDS} s")


def free_ports(count):
    """So many ports, all different."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [str(probe.getsockname()[1]) for probe in probes]


@dataclass
class Answer:
    """An answer as it came, not decompressed."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def hooks(self) -> str:
        return self.headers.get("gateway-hooks", "")


@dataclass
class Block:
    """A block of a page: its language, its code, and the paragraph before it."""

    language: str
    code: str
    before: str


def blocks_of(page):
    text = (HOW_TO / page).read_text()
    found = re.findall(r"((?:^(?!```)[^\n]*\n)*)^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(language, code, before.strip().split("\n\n")[-1]) for before, language, code in found]


@dataclass
class Terminal:
    """A program that stays in a terminal of its own."""

    command: str
    process: subprocess.Popen
    said: Path


@dataclass
class Standing:
    """What stands once a page has been played: the system, the gateway, the hook, and a folder with the files."""

    page: str
    folder: Path
    programs: dict[str, Path]
    ports: dict[str, str] = field(default_factory=dict)
    terminals: dict[str, Terminal] = field(default_factory=dict)

    # ------------------------------------------------------------ playing the page

    def real(self, text):
        """`text` of the page with the ports that are free here."""
        return re.sub(r"\b(8001|8080|8081|9100)\b", lambda found: self.ports[found[0]], text)

    def written(self, text):
        """What was printed here, with the ports of the page."""
        for port, here in self.ports.items():
            text = text.replace(f":{here}", f":{port}")
        return text

    @property
    def exported(self):
        """The file with what the page's commands exported."""
        return self.folder / "exported"

    def play(self):
        self.exported.touch()
        self.ports = dict(zip((SYSTEM, GATEWAY, CONTROL, HOOK), free_ports(4), strict=True))
        for name, program in self.programs.items():
            shim = self.folder / "bin" / name
            shim.parent.mkdir(exist_ok=True)
            shim.write_text(f'#!/bin/sh\nexec {program} "$@"\n')
            shim.chmod(0o755)
        for block in blocks_of(self.page):
            file = re.search(r"`([\w.-]+)`:$", block.before)
            if file:
                (self.folder / file[1]).write_text(self.real(block.code))
            elif block.language == "sh" and INSTALLS.match(block.code):
                continue
            elif block.language == "sh" and "terminal of its own" in block.before:
                self.open_terminal(block.code.strip())
            elif block.language == "sh":
                self.run(block.code)
            elif block.language == "console":
                if "kill -9" in block.before:
                    self.kill_hook()
                for command, shown in re.findall(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", block.code, re.MULTILINE):
                    said = self.written(self.run(command))
                    assert matches(said, shown), f"{command}\nsaid:\n{said}\nthe page shows:\n{shown}"

    def environment(self):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
        return {
            **kept,
            "PATH": f"{self.folder / 'bin'}:{kept['PATH']}",
            "PYTHONPATH": f"{ROOT}:{ROOT / 'extensions'}",
            "PYTHONUNBUFFERED": "1",
            "HOME": str(self.folder),
            "NO_COLOR": "1",
            "COLUMNS": "120",
            "GATEWAY_URL": f"http://127.0.0.1:{self.ports[CONTROL]}",
        }

    def run(self, code):
        """Run lines of a shell; what they print. What they export holds for whatever comes later."""
        script = f". {self.exported}; {self.real(code)}\nexport -p > {self.exported}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_SECONDS,
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}{done.stderr}"
        return done.stdout

    def open_terminal(self, command):
        """Start what the page tells to, and wait until it is there."""
        kind = "gateway" if command.startswith("gateway ") else "hook" if HOOK_COMMAND.match(command) else "system"
        said = self.folder / f"{kind}.log"
        more = {"GATEWAY_CALLS__MAX_RESULT_BYTES": str(MAX_RESULT_BYTES)} if kind == "gateway" else {}
        with said.open("wb") as log:
            process = subprocess.Popen(
                ["bash", "-c", f". {self.exported}; exec {self.real(command)}"],
                cwd=self.folder,
                env=self.environment() | more,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.terminals[kind] = Terminal(command, process, said)

        def ready():
            assert process.poll() is None, f"{command} ended:\n{said.read_text()}"
            match kind:
                case "hook":
                    return self.ask("/healthz", port=HOOK).json["enrolment"] == "enrolled"
                case "gateway":
                    return self.ask("/readyz", port=CONTROL).status == 200
                case _:
                    return self.ask("/", port=SYSTEM)

        until(ready, f"{command}: {said}")

    def close(self):
        for terminal in reversed(self.terminals.values()):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(terminal.process.pid, signal.SIGCONT)
                os.killpg(terminal.process.pid, signal.SIGTERM)
            try:
                terminal.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(terminal.process.pid, signal.SIGKILL)
                terminal.process.wait(20)

    # ------------------------------------------------------------ asking

    def ask(self, path, method="GET", body=None, port=GATEWAY, **headers):
        """The answer of the gateway, or of what listens on another port of the page."""
        connection = http.client.HTTPConnection("127.0.0.1", int(self.ports[port]), timeout=WAIT_SECONDS)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            response = connection.getresponse()
            lowered: dict[str, str] = {}
            for name, value in response.getheaders():
                lowered[name.lower()] = f"{lowered[name.lower()]}, {value}" if name.lower() in lowered else value
            return Answer(response.status, lowered, response.read())
        finally:
            connection.close()

    def own(self, path, method="GET", body=None, **headers):
        """The system's own answer, without the gateway, to a request that arrives with the same host."""
        if "pass_host = true" in (self.folder / "gateway.toml").read_text():
            headers["host"] = f"127.0.0.1:{self.ports[GATEWAY]}"
        return self.ask(path, method, body, port=SYSTEM, **headers)

    # ------------------------------------------------------------ what may happen to the hook

    def kill_hook(self):
        """As `kill -9`: it says nothing to anyone."""
        process = self.terminals["hook"].process
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)

    def start_hook(self):
        self.open_terminal(self.terminals["hook"].command)

    @contextlib.contextmanager
    def hanging_hook(self):
        """Within the block the hook takes calls and does not answer."""
        process = self.terminals["hook"].process
        os.killpg(process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGCONT)

    @contextlib.contextmanager
    def dead_hook(self):
        """Within the block the hook has been killed, and its lease has not ended yet."""
        self.kill_hook()
        try:
            yield
        finally:
            self.start_hook()

    def answering(self, path, method="GET", body=None, **headers):
        """Wait until the hook's change is in the answer again; what the breaker keeps away is let through anew."""
        return until(
            lambda: (found := self.ask(path, method, body, **headers)) and ";applied" in found.hooks and found,
            "the hook",
        )


HOOK_COMMAND = re.compile(r"python \w+\.py$")
TELLING = {"date", "via", "connection", "keep-alive", "transfer-encoding", "content-length", "server-timing"}


def matches(said, shown):
    """Whether it is what is shown, where … stands for anything."""
    pattern = ".*".join(re.escape(part) for part in shown.strip().split("…"))
    return re.fullmatch(pattern, said.replace("\r", "").strip(), re.DOTALL) is not None


@pytest.fixture(scope="session")
def same():
    """Says in what the gateway's answer differs from the system's: status, headers that describe the content, and
    every byte but what is `varying`. Of the request's headers the answer may be said to depend on more.
    """

    def differences(answer, own, varying=None):
        def essence(given):
            headers = {k: v for k, v in given.headers.items() if k not in TELLING and not k.startswith("gateway-")}
            return given.status, headers, re.sub(varying, b"", given.body) if varying else given.body

        found, expected = essence(answer), essence(own)
        if "json" in found[1].get("content-type", "") and found[1].get("cache-control") == "no-cache":
            for headers in (found[1], expected[1]):  # a result that hooks may change must be asked for again each time
                headers.pop("cache-control", None)
        names, wanted = (
            {name.strip().lower() for name in headers.pop("vary", "").split(",")} - {""}
            for headers in (found[1], expected[1])
        )
        return [pair for pair in zip(found, expected, strict=True) if pair[0] != pair[1]] + sorted(wanted - names)

    return differences


@pytest.fixture(scope="module")
def standing(request, tmp_path_factory):
    """The module's `PAGE`, played to its end, with the hook alive again. `SYSTEM_PROGRAMS` are what it starts."""
    programs = {"python": Path(sys.executable), "gateway": f"{sys.executable} -m gateway"}
    for name, (path, way) in request.module.SYSTEM_PROGRAMS.items():
        if path is None or not Path(path).exists():
            pytest.skip(f"{name} is not installed: {way}")
        programs[name] = path
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    stand = Standing(request.module.PAGE, tmp_path_factory.mktemp(request.module.PAGE.removesuffix(".md")), programs)
    try:
        stand.play()
        if stand.terminals["hook"].process.poll() is not None:
            stand.start_hook()
        yield stand
    finally:
        stand.close()
