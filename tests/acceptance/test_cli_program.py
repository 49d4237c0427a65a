"""The program itself: help, exit codes, errors, completion, and what it does without a gateway to talk to."""

from __future__ import annotations

import contextlib
import http.server
import os
import socket
import subprocess
import sys
import threading

import pytest
from click.testing import CliRunner

from gateway.cli.app import program
from gateway.cli.client import ControlClient
from gateway.cli.failures import Unreachable

ROOT_ARGUMENTS = [sys.executable, "-m", "gateway"]


def every_command(group=program, path=()):
    for name, command in sorted(group.commands.items()):
        yield (*path, name), command
        if hasattr(command, "commands"):
            yield from every_command(command, (*path, name))


@pytest.mark.parametrize("path", [path for path, _ in every_command()], ids=" ".join)
def test_every_help_teaches_with_an_example(path):
    shown = CliRunner().invoke(program, [*path, "--help"], prog_name="gateway")
    assert shown.exit_code == 0
    examples = shown.output.partition("Examples:")[2]
    assert "gateway " + " ".join(path) in examples


def test_help_tells_the_exit_codes(gateway):
    shown = gateway("--help")
    assert shown.code == 0
    assert "gateway demo" in shown.out
    assert "0 done, 1 failed, 2 wrong usage or configuration, 3 could not" in shown.out


@pytest.mark.parametrize(
    ("path", "command"), list(every_command()), ids=lambda each: " ".join(each) if isinstance(each, tuple) else ""
)
def test_every_command_takes_json_and_no_color(path, command):
    offered = {name for parameter in command.params for name in parameter.opts}
    assert {"--json", "--no-color"} <= offered


def test_help_needs_neither_a_web_framework_nor_a_settings_library():
    code = (
        "import sys; from gateway.cli import main; main(['--help']); "
        "heavy = ('aiohttp', 'pydantic', 'rich', 'asyncio', 'http.client'); "
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_the_version_is_the_package_s(gateway):
    from gateway import __version__

    assert gateway("--version").out == f"gateway {__version__}\n"


@pytest.mark.parametrize("arguments", [("hooks", "lits"), ("hooks", "list", "--nope"), ("hooks", "enable"), ("bogus",)])
def test_wrong_usage_exits_with_2_and_points_to_the_help(gateway, arguments):
    refused = gateway(*arguments, GATEWAY_KEY="k")
    assert refused.code == 2
    assert "--help" in refused.err
    told = gateway(*arguments, "--json", GATEWAY_KEY="k")
    assert told.code == 2
    assert told.problem["title"] == "Wrong usage or configuration"


def test_no_key_is_wrong_usage(gateway):
    refused = gateway("hooks", "list")
    assert refused.code == 2
    assert "GATEWAY_KEY" in refused.err


@pytest.mark.parametrize("url", ["ftp://x", "127.0.0.1:8081", "http://", "http://u:p@h", "http://h:99999"])
def test_a_url_that_cannot_be_one_is_wrong_usage(gateway, url):
    refused = gateway("hooks", "list", "--key", "k", "--url", url)
    assert refused.code == 2
    assert "GATEWAY_URL" in refused.err


def test_a_gateway_that_is_not_there_exits_with_3(gateway):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    refused = gateway("hooks", "list", "--key", "k", "--url", url)
    assert refused.code == 3
    assert "gateway serve" in refused.err
    assert gateway("hooks", "list", "--key", "k", "--url", url, "--json").problem["title"] == "Gateway not reached"


@contextlib.contextmanager
def answering(status: int, content_type: str, body: bytes):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (200, "text/html", b"<html>"),
        (200, "application/json", b"{nonsense"),
        (404, "text/plain", b"nothing"),
        (302, "text/plain", b""),
    ],
)
def test_a_server_that_is_no_control_api_is_called_that(gateway, status, content_type, body):
    with answering(status, content_type, body) as url:
        refused = gateway("hooks", "list", "--key", "k", "--url", url)
    assert refused.code == 1
    assert "does not answer like a control API" in refused.err


@pytest.mark.parametrize("body", [b"[]", b'{"items": 3}', b"null", b'{"items": [{}]}'])
def test_json_of_another_shape_is_no_control_api_either(gateway, body):
    with answering(200, "application/json", body) as url:
        refused = gateway("hooks", "list", "--key", "k", "--url", url)
    assert refused.code == 1
    assert "does not answer like a control API" in refused.err


def test_what_a_server_says_cannot_steer_the_terminal(gateway):
    problem = b'{"type": "about:blank", "title": "No", "detail": "evil \\u001b[2J\\u0007 words", "status": 400}'
    with answering(400, "application/problem+json", problem) as url:
        refused = gateway("hooks", "list", "--key", "k", "--url", url)
    assert refused.code == 1
    assert "\x1b" not in refused.err
    assert "\x07" not in refused.err


def test_a_server_that_never_answers_is_given_up_on():
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        client = ControlClient(f"http://127.0.0.1:{deaf.getsockname()[1]}", "k")
        with pytest.raises(Unreachable, match="did not answer within"):
            client.call("GET", "/v1/hooks", timeout_seconds=0.05)


def test_a_server_that_drips_is_given_up_on_as_a_whole():
    def drip():
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while not over.wait(0.01):
                connection.sendall(b"x: y\r\n"[:1])

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip)
        thread.start()
        client = ControlClient(f"http://127.0.0.1:{server.getsockname()[1]}", "k")
        with pytest.raises(Unreachable, match="did not answer within"):
            client.call("GET", "/v1/hooks", timeout_seconds=0.2)
        over.set()
        thread.join()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_names_the_program(gateway, shell):
    script = gateway("completion", shell)
    assert script.code == 0
    assert "_GATEWAY_COMPLETE" in script.out


def test_the_completion_script_is_valid_bash_and_completes(gateway):
    script = gateway("completion", "bash").out
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    offered = gateway(_GATEWAY_COMPLETE="bash_complete", COMP_WORDS="gateway hooks en", COMP_CWORD="2")
    assert offered.out.strip() == "plain,enable"


def test_colours_are_for_terminals_that_want_them(gateway):
    arguments = ("hooks", "list", "--url", "nonsense", "--key", "k")
    assert "\x1b[31m" in gateway.on_terminal(*arguments).out
    assert "\x1b" not in gateway.on_terminal(*arguments, "--no-color").out
    assert "\x1b" not in gateway.on_terminal(*arguments, NO_COLOR="1").out
    assert "\x1b" not in gateway(*arguments).err


def test_a_reader_that_leaves_early_is_no_drama(gateway):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*ROOT_ARGUMENTS, "config", "check"], cwd=gateway.directory, stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert done.returncode == 1
    assert done.stderr == b""
