"""`gateway listen`: calls of a hook reach a server that the gateway cannot call, and its answers count."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gateway.wire import signature

OPERATOR = "operator-key-for-listening"
RESULT = {"rows": [1]}


class Served:
    """A server of this test; `seen` are the requests to it: path, headers, body."""

    def __init__(self, answer):
        self.seen = seen = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                self.say(answer)

            def do_GET(self):
                self.say(RESULT)

            def say(self, document):
                text = json.dumps(document).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def call(url, method="GET", body=None, key=OPERATOR):
    data = None if body is None else json.dumps(body).encode()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=30) as answer:
        return json.loads(answer.read() or b"null"), answer.headers


@contextlib.contextmanager
def running(*arguments, **variables):
    """The program with these arguments; its standard output is read line by line."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", *arguments],
        env=kept | {"PYTHONUNBUFFERED": "1"} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=40)


@pytest.fixture
def setup(tmp_path):
    """A gateway in front of a query API, whose one hook's own server answers with `{"by": "url"}`."""
    with Served(RESULT) as api, Served({"by": "url"}) as hook:
        variables = {
            "GATEWAY_UPSTREAM": api.url,
            "GATEWAY_LISTEN": "127.0.0.1:0",
            "GATEWAY_CONTROL__LISTEN": "127.0.0.1:0",
            "GATEWAY_CONTROL__OPERATOR_KEYS": OPERATOR,
            "GATEWAY_STORE__URL": f"sqlite:///{tmp_path}/gateway.db",
            "GATEWAY_CALLS__ALLOW_HTTP": "true",
            "GATEWAY_CALLS__ALLOW": "127.0.0.0/8",
            "GATEWAY_CALLS__REQUIRE_OWNERSHIP": "false",
            "GATEWAY_CALLS__TIMEOUT_MS": "5000",
            "GATEWAY_CALLS__BUDGET_MS": "8000",
            "GATEWAY_JOURNAL__BODIES": "true",
        }
        with running("--json", "serve", **variables) as process:
            told = json.loads(process.stdout.readline())
            control, url = told["control_url"], told["gateway_url"]
            made, _ = call(f"{control}/v1/integrations", "POST", {"name": "mine", "base_url": hook.url})
            declared, _ = call(
                f"{control}/v1/hooks", "POST", {"name": "mine", "path": "/hook", "timeout_ms": 5000}, made["api_key"]
            )
            call(f"{control}/v1/hooks/{declared['id']}/enable", "POST", {}, made["api_key"])
            yield control, url, hook, made


def listening(control, made, forward, *arguments):
    return running(
        "listen", "--hook", "mine", "--forward", forward, "--json", *arguments,
        GATEWAY_URL=control, GATEWAY_KEY=made["api_key"],
    )  # fmt: skip


def until_it_listens(control, hook):
    """Another listener is refused once there is one."""
    end = time.monotonic() + 40
    while time.monotonic() < end:
        try:
            call(f"{control}/v1/hooks/{hook}/listen", "POST", {"end": True})
        except urllib.error.HTTPError as refused:
            refused.close()
            if refused.code == 409:
                return
        time.sleep(0.05)
    raise AssertionError("nobody listens")


def hook_of(control, made):
    return call(f"{control}/v1/hooks", key=made["api_key"])[0]["items"][0]["id"]


def test_live_calls_reach_the_local_server_signed_and_its_answers_count(setup):
    control, url, own, made = setup
    with Served({"by": "local"}) as local:
        with listening(control, made, local.url) as process:
            until_it_listens(control, hook_of(control, made))
            found, headers = call(f"{url}/query?q=1")
            line = json.loads(process.stdout.readline())
        assert process.returncode in {0, 1}
        assert found == {"by": "local"}
        assert "mine;applied" in headers["gateway-hooks"]
        assert own.seen == []
        ((path, sent, body),) = local.seen
        assert path == "/hook"
        keys = [signature.key_of(made["secret"])]
        signature.verify(
            keys, message_id=sent["webhook-id"], timestamp=sent["webhook-timestamp"],
            signature=sent["webhook-signature"], body=body, now=time.time(),
        )  # fmt: skip
        assert (line["status"], line["type"], line["counts"]) == (200, "query.result.query", True)
    found, _ = call(f"{url}/query?q=1")  # it has ended: the hook's own URL is called again
    assert found == {"by": "url"}
    assert len(own.seen) == 1


def test_in_shadow_the_local_server_gets_a_copy_and_its_answer_does_not_count(setup):
    control, url, own, made = setup
    with (
        Served({"by": "local"}) as local,
        listening(control, made, f"{local.url}/other", "--mode", "shadow") as process,
    ):
        until_it_listens(control, hook_of(control, made))
        assert call(f"{url}/query")[0] == {"by": "url"}
        line = json.loads(process.stdout.readline())
        assert (line["counts"], local.seen[0][0]) == (False, "/other")
        assert local.seen[0][2] == own.seen[0][2]


def test_replayed_brings_recorded_calls_that_are_sent_again_and_no_others(setup):
    control, url, own, made = setup
    call(f"{url}/query")
    hook = hook_of(control, made)
    outcomes, _ = call(f"{control}/v1/hooks/{hook}/outcomes", key=made["api_key"])
    with Served({"by": "local"}) as local, listening(control, made, local.url, "--mode", "replayed"):
        until_it_listens(control, hook)
        assert call(f"{url}/query")[0] == {"by": "url"}
        assert local.seen == []
        call_id = outcomes["items"][0]["call_id"]
        replayed, _ = call(f"{control}/v1/calls/{call_id}/replay", "POST", {}, made["api_key"])
        assert json.loads(replayed["reply"]["body"]["text"] if isinstance(replayed["reply"]["body"], dict)
                          else replayed["reply"]["body"]) == {"by": "local"}  # fmt: skip
        assert local.seen[0][2] == own.seen[0][2]


def test_a_local_server_that_is_not_there_fails_the_call_and_the_answer_stays_as_it_was(setup):
    control, url, _, made = setup
    with listening(control, made, "http://127.0.0.1:9") as process:
        until_it_listens(control, hook_of(control, made))
        found, headers = call(f"{url}/query")
        line = json.loads(process.stdout.readline())
    assert found == RESULT
    assert "mine;failed;reason=status" in headers["gateway-hooks"]
    assert line["status"] == 502
    assert line["error"]


@pytest.mark.parametrize(
    "forward", ["localhost:3000", "ftp://localhost", "http://u@localhost", "http://localhost/?q=1"]
)
def test_a_forward_that_is_no_server_is_told_in_a_sentence(gateway, forward):
    said = gateway("listen", "--hook", "x", "--forward", forward)
    assert (said.code, said.out) == (2, "")
    assert "--forward must be the URL of a server" in said.err
