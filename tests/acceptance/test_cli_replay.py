"""`gateway replay`, as a process, against a gateway that serves and a hook that changes its mind."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from contextlib import contextmanager

import pytest

from gateway.testing.hook_server import HookServer, Reply

MERGE = ("content-type", "application/merge-patch+json")


@contextmanager
def hook_server():
    """A `HookServer` in a thread of its own, whose /hook answers with another number each time."""
    loop, ready, end, servers = asyncio.new_event_loop(), threading.Event(), asyncio.Event(), []

    async def serve():
        async with HookServer() as server:
            numbers = iter(range(1, 1_000))

            async def hook(_request):
                return Reply(200, [MERGE], json.dumps({"n": next(numbers)}).encode())

            server.on("/hook", hook)
            servers.append(server)
            ready.set()
            await end.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield servers[0]
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(10)
        loop.close()


@pytest.fixture(scope="module")
def hooks():
    with hook_server() as server:
        yield server


@pytest.fixture(scope="module")
def upstream():
    """A data source that always answers the same."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Data(BaseHTTPRequestHandler):
        def do_GET(self):
            body = b'{"rows":[1.50]}'
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Data)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def recording(program, hooks, upstream):
    """The program, set up to talk to a gateway that keeps bodies; and the id of a call that a query made."""
    key = "operator-key-for-tests"
    _, told = program.announced(
        "serve", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--upstream", upstream,
        GATEWAY_STORE__URL="memory:", GATEWAY_CONTROL__OPERATOR_KEYS=key, GATEWAY_JOURNAL__BODIES="true",
        GATEWAY_CALLS__REQUIRE_OWNERSHIP="false", GATEWAY_CALLS__ALLOW_HTTP="true",
        GATEWAY_CALLS__ALLOW="127.0.0.0/8",
    )  # fmt: skip
    program.variables = {"GATEWAY_URL": told["control_url"], "GATEWAY_KEY": key}
    assert program("integrations", "register", "fake", hooks.url).code == 0
    assert program("hooks", "create", "fx", "/hook", "-i", "fake").code == 0
    assert program("hooks", "enable", "fx").code == 0
    with urllib.request.urlopen(told["gateway_url"] + "/query", timeout=20) as answer:
        assert json.load(answer) == {"rows": [1.5], "n": 1}
    return program, hooks.requests[-1].header("webhook-id")


def test_a_recorded_call_is_sent_again_and_the_replies_compared(recording):
    gateway, call_id = recording
    told = gateway("replay", call_id)
    assert told.code == 0, told.err
    assert "applied" in told.out
    assert "replace  /body/n" in told.out
    as_json = gateway("replay", call_id, "--json").json
    assert (as_json["call_id"], as_json["recorded"]["body"]) == (call_id, '{"n": 1}')
    assert [each["path"] for each in as_json["diff"]] == ["/body/n"]


def test_the_body_can_be_edited_first_and_its_numbers_stay_as_they_are(recording, hooks, tmp_path):
    gateway, call_id = recording
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i s/1.50/77.10/ "$1"\n')
    editor.chmod(0o755)
    told = gateway("replay", call_id, "--edit", EDITOR=str(editor), VISUAL="")
    assert told.code == 0, told.err
    assert b"77.10" in hooks.requests[-1].body
    assert json.loads(hooks.requests[-1].body)["data"]["result"] == {"rows": [77.1]}


def test_nothing_is_sent_if_the_editor_is_left_without_saving(recording, hooks):
    gateway, call_id = recording
    before = len(hooks.requests)
    told = gateway("replay", call_id, "--edit", EDITOR="true", VISUAL="")
    assert told.code == 1
    assert "nothing was sent" in told.err
    assert len(hooks.requests) == before


def test_it_is_sent_elsewhere_and_with_a_body_of_one_s_own(recording, hooks, tmp_path):
    gateway, call_id = recording
    (tmp_path / "body.json").write_text('{"mine":1}')
    to = f"{hooks.url}/bad-json"
    told = gateway("replay", call_id, "--to", to, "--body", str(tmp_path / "body.json"))
    assert told.code == 1
    assert "bad_json" in told.out
    assert (hooks.requests[-1].path, hooks.requests[-1].body) == ("/bad-json", b'{"mine":1}')


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("msg_none",), 1, "no call 'msg_none'"),
        (("../hooks",), 1, "no call '../hooks'"),
        (("CALL", "--to", "http://10.1.2.3/"), 1, "not public"),
        (("CALL", "--body", "absent.json"), 2, "absent.json could not be read"),
        (("CALL", "--edit", "--body", "x"), 2, "together"),
        ((), 2, "CALL_ID"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(recording, arguments, code, word):
    gateway, call_id = recording
    told = gateway("replay", *(call_id if each == "CALL" else each for each in arguments))
    assert (told.code, told.out) == (code, "")
    assert word in told.err
