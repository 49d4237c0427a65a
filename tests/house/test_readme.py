"""What the README and the tutorial tell people to type does what they say."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
TUTORIAL = (ROOT / "docs" / "tutorial" / "first-query.md").read_text()
TWO_COMMANDS = ("./gw demo", "./gw test")


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Ports:
    """Free ports in the place of those in the text, so that the test disturbs nothing that runs here."""

    def __init__(self):
        self.query, self.control, self.hook = free_port(), free_port(), free_port()

    def put_into(self, text):
        for written, real in ((8080, self.query), (8081, self.control), (9100, self.hook)):
            text = text.replace(str(written), str(real))
        return text


@contextmanager
def running(command, folder, **environment):
    """A process in a session of its own, ended with the block."""
    with (folder / "errors.txt").open("ab") as errors:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.communicate(timeout=30)


@contextmanager
def demo(ports, folder):
    """The demo, up and waiting; what it announced."""
    options = ["--json", "--port", str(ports.query), "--control-port", str(ports.control)]
    with running([sys.executable, "-m", "gateway", "demo", *options], folder) as process:
        line = process.stdout.readline()
        assert line, (folder / "errors.txt").read_text()
        yield json.loads(line)


@contextmanager
def hook(page, ports, folder):
    """The page's hook.py, listening."""
    (code,) = [code for code in blocks(page, "python") if "serve_forever" in code]
    code = ports.put_into(code).replace(".serve_forever()", "; print('listening', flush=True); _.serve_forever()")
    (folder / "hook.py").write_text(re.sub(r"^(ThreadingHTTPServer\()", r"_ = \1", code, flags=re.MULTILINE))
    with running([sys.executable, "hook.py"], folder) as process:
        assert process.stdout.readline() == b"listening\n"
        yield


def run_shell(code, folder, key):
    """Run shell lines as typed, with `./gw` being the gateway's command; what they print."""
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "gw").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gateway "$@"\n')
    (folder / "gw").chmod(0o755)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=folder,
        env={**os.environ, "KEY": key, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_readme_has_the_two_commands():
    first = blocks(README, "sh")[0]
    assert [line.split("  ")[0].strip() for line in first.splitlines()] == list(TWO_COMMANDS)


def test_the_embedded_example_runs_as_a_script(tmp_path):
    (example,) = [code for code in blocks(README, "python") if "asyncio.run" in code]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("{'airports': ['KEF'], ")
    assert done.stdout.endswith(" applied\n")
    assert sum(line != "" for line in example.split("async def main")[1].splitlines()) <= 15


def test_every_shell_block_of_the_readme_is_run_or_starts_the_demo():
    assert [code for code in blocks(README, "sh")[:2] if "./gw demo" not in code] == []
    assert len(blocks(README, "sh")) == 3


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_tour_with_curl_does_what_it_says(tmp_path):
    ports = Ports()
    with demo(ports, tmp_path) as place, hook(README, ports, tmp_path):
        said = run_shell(ports.put_into(blocks(README, "sh")[2]), tmp_path, place["operator_key"])
    _, with_hook, without = said.split("HTTP/1.1 200 OK")
    assert "note;applied" in with_hook
    assert "seen by my hook" in with_hook
    assert "gateway-hooks:" in without
    assert "note;" not in without
    assert "seen by my hook" not in without


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_tutorial_does_what_it_says(tmp_path):
    ports = Ports()
    shell = [ports.put_into(code) for code in blocks(TUTORIAL, "sh")]
    start, ask, switch, own = shell
    assert start == f"./gw demo --port {ports.query} --control-port {ports.control}\n"
    with demo(ports, tmp_path) as place:
        assert "gateway-hooks: metric-units;applied" in run_shell(ask, tmp_path, place["operator_key"])
        (told,) = re.findall(r"gateway-hooks: (.*)", run_shell(switch, tmp_path, place["operator_key"]))
        assert "metric-units" not in told
        with hook(TUTORIAL, ports, tmp_path):
            said = run_shell(own, tmp_path, place["operator_key"])
            assert "note;applied" in said
            assert "seen by my hook" in said
        last = own.splitlines()[-1]
        assert "note;failed;reason=connect" in run_shell(last, tmp_path, place["operator_key"])
