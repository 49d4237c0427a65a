"""The real program: `gateway` as a process, and a gateway that serves as another."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
OPERATOR_KEY = "operator-key-for-tests"


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without anything that would change how the program behaves."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_") and name != "NO_COLOR"}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error",
        "COLUMNS": "100",
        **more,
    }


@dataclass
class Run:
    """What a finished run of the program said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def problem(self) -> Any:
        return json.loads(self.err)


@dataclass
class Gateway:
    """The program `gateway`, with variables, in a working directory."""

    directory: Path
    variables: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def __call__(self, *arguments: str, stdin: str = "", **variables: str) -> Run:
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *arguments],
            cwd=self.directory,
            env=clean_environment(**{**self.variables, **variables}),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return Run(done.returncode, done.stdout, done.stderr)

    def shell(self, script: str) -> Run:
        """Run lines of a shell, which stops at the first that fails."""
        done = subprocess.run(
            ["bash", "-ec", script],
            cwd=self.directory,
            env=clean_environment(**self.variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Run(done.returncode, done.stdout, done.stderr)

    def on_terminal(self, *arguments: str, **variables: str) -> Run:
        """Run it with a terminal as its output, which is also where its errors go."""
        controller, terminal = pty.openpty()
        with subprocess.Popen(
            [sys.executable, "-m", "gateway", *arguments],
            cwd=self.directory,
            env=clean_environment(TERM="xterm-256color", **self.variables, **variables),
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=terminal,
        ) as process:
            os.close(terminal)
            got = b""
            with contextlib.suppress(OSError):  # how Linux says that the other side has closed
                while piece := os.read(controller, 65536):
                    got += piece
            os.close(controller)
        return Run(process.returncode, got.decode(), "")

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start it and leave it running."""
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", *arguments],
            cwd=self.directory,
            env=clean_environment(**{**self.variables, **variables}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def handed(self, sockets: Sequence[socket.socket], *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start it as systemd does, with open sockets as its descriptors from 3 on."""
        high = [fcntl.fcntl(each, fcntl.F_DUPFD, 100) for each in sockets]
        put = " ".join(f"{3 + number}<&{descriptor}" for number, descriptor in enumerate(high))
        script = f'exec {put}; LISTEN_PID=$$ LISTEN_FDS={len(high)} exec "$0" -m gateway "$@"'
        process = subprocess.Popen(
            ["bash", "-c", script, sys.executable, *arguments],
            cwd=self.directory,
            env=clean_environment(**{**self.variables, **variables}),
            pass_fds=high,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for descriptor in high:
            os.close(descriptor)
        self.started.append(process)
        return process

    def announced(self, *arguments: str, **variables: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        """Start it with `--json`; returns the process and its first line."""
        process = self.start(*arguments, "--json", **variables)
        return process, json.loads(lines_until(process, "{")[0])

    def end_all(self) -> None:
        """End what is still running; a test that failed may have left something."""
        for process in self.started:
            process.kill()
            process.communicate(timeout=30)


def lines_until(process: subprocess.Popen[str], last: str) -> list[str]:
    """What the process says, up to the first line that holds `last`. Fails if it ends before."""
    lines = []
    while line := process.stdout.readline():
        lines.append(line)
        if last in line:
            return lines
    pytest.fail(f"it ended before it said {last!r}: {''.join(lines)}{process.stderr.read()}")


@pytest.fixture
def until():
    """Reads what a running program says, up to a certain line."""
    return lines_until


@pytest.fixture
def gateway(tmp_path):
    """The program, in an empty directory."""
    opened = Gateway(tmp_path)
    yield opened
    opened.end_all()


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The program, in a directory that a module's tests share."""
    opened = Gateway(tmp_path_factory.mktemp("program"))
    yield opened
    opened.end_all()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A gateway that serves, and the program set up to talk to it as the operator."""
    directory = tmp_path_factory.mktemp("served")
    program = Gateway(directory)
    process, told = program.announced(
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--control",
        "127.0.0.1:0",
        GATEWAY_STORE__URL="memory:",
        GATEWAY_CONTROL__OPERATOR_KEYS=OPERATOR_KEY,
        GATEWAY_CALLS__REQUIRE_OWNERSHIP="false",
    )
    try:
        yield Gateway(directory, {"GATEWAY_URL": told["control_url"], "GATEWAY_KEY": OPERATOR_KEY})
    finally:
        process.terminate()
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, (out, err)
