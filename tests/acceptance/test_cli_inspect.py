"""`gateway inspect`: what is sent is captured, judged and shown, to this machine only."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.wire import signature

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"type":"query.result.search","data":{"text":"<script>alert(1)</script>"}}'


@contextlib.contextmanager
def inspecting(*arguments, **variables):
    """The port of a running `gateway inspect`."""
    kept = {name: value for name, value in os.environ.items() if name not in {"HOOK_SECRET", "NO_COLOR"}}
    command = [sys.executable, "-m", "gateway", "inspect", "--listen", "127.0.0.1:0", *arguments]
    with subprocess.Popen(
        command, env={**kept, "PYTHONUNBUFFERED": "1", **variables}, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            line = process.stdout.readline()
            yield int(line.split("127.0.0.1:")[1].split("/")[0]), process
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0


def ask(port, method, path, body=None, headers=()):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, body, dict(headers))
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def call(port, secret=SECRET, at=None, path="/hook?x=1"):
    at = int(time.time()) if at is None else at
    signed = signature.sign([signature.key_of(secret)], "msg_1", at, BODY)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(at), "webhook-signature": signed}
    return ask(port, "POST", path, BODY, headers | {"content-type": "application/cloudevents+json"})


def shown(port, number):
    return json.loads(ask(port, "GET", f"/_inspect/captures/{number}")[1])


def test_a_call_is_captured_and_its_signature_checked_step_by_step():
    with inspecting(HOOK_SECRET=SECRET) as (port, process):
        answer, body = call(port)
        assert (answer.status, body) == (204, b"")
        process.stdout.readline()  # an empty line
        assert "signature ok" in process.stdout.readline()
        call(port, secret="whsec_" + "A" * 32)
        assert "signature WRONG" in process.stdout.readline()
        call(port, at=int(time.time()) - 4_000)
        ask(port, "POST", "/unsigned", b"plain")
        good, forged, old, bare = (shown(port, number) for number in (1, 2, 3, 4))
    assert [step["state"] for step in good["steps"]] == ["passed"] * 6
    assert good["steps"][4] == {"title": "Signature 1: v1", "state": "passed", "detail": "matches secret 1"}
    assert (good["method"], good["target"], good["type"]) == ("POST", "/hook?x=1", "query.result.search")
    assert ["webhook-id", "msg_1"] in [[name.lower(), value] for name, value in good["headers"]]
    assert good["body"].encode() == BODY
    assert json.loads(good["pretty"]) == json.loads(BODY)
    assert [step["state"] for step in forged["steps"]][-2:] == ["failed", "failed"]
    assert old["steps"][2]["state"] == old["steps"][-1]["state"] == "failed"
    assert "400" in old["steps"][2]["detail"]
    assert bare["pretty"] is None
    assert "absent: webhook-id" in bare["steps"][0]["detail"]
    assert SECRET not in json.dumps([good, forged, old, bare])


def test_without_a_secret_it_says_that_nothing_is_compared():
    with inspecting() as (port, _):
        call(port)
        assert shown(port, 1)["steps"][-1]["state"] == "skipped"


def test_the_page_hears_of_a_request_as_it_comes():
    with inspecting() as (port, _):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/_inspect/live")
        live = connection.getresponse()
        assert live.readline() == b": listening\n"
        call(port)
        lines = (live.readline() for _ in range(5))
        heard = next(json.loads(line[5:]) for line in lines if line.startswith(b"data:"))
        assert (heard["number"], heard["method"]) == (1, "POST")
        live.close()
        connection.close()


def test_answers_are_as_they_are_wanted_and_the_handshake_is_answered(tmp_path):
    body = tmp_path / "reply.json"
    body.write_text('{"note":1}')
    with inspecting("--body", str(body), "--content-type", "application/merge-patch+json") as (port, _):
        answer, told = call(port)
        assert (answer.status, told) == (200, b'{"note":1}')
        assert answer.getheader("content-type") == "application/merge-patch+json"
        answer, _ = ask(port, "OPTIONS", "/hook", headers={"webhook-request-origin": "gateway.example"})
        assert answer.getheader("webhook-allowed-origin") == "gateway.example"


@pytest.mark.parametrize("path", ["/_inspect", "/_inspect/page.js", "/_inspect/page.css", "/_inspect/captures"])
def test_the_page_runs_nothing_but_its_own_and_is_not_shown_under_another_name(path):
    with inspecting() as (port, _):
        answer, _ = ask(port, "GET", path)
        assert answer.status == 200
        assert "script-src 'self'" in answer.getheader("content-security-policy")
        assert ask(port, "GET", path, headers={"host": f"evil.example:{port}"})[0].status == 403


def test_the_script_never_takes_what_was_sent_for_markup():
    script = (Path(__file__).parents[2] / "gateway" / "cli" / "inspector" / "page.js").read_text()
    assert [
        word for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(") if word in script
    ] == []


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--listen", "4000"), "--listen must be"),
        (("--secret-file", "absent.txt"), "absent.txt could not be read"),
        (("--body", "absent.json"), "absent.json could not be read"),
    ],
)
def test_wrong_usage_is_told_in_a_sentence(gateway, arguments, word):
    said = gateway("inspect", *arguments)
    assert (said.code, said.out) == (2, "")
    assert word in said.err


def test_a_secret_that_is_none_is_told_without_showing_it(gateway):
    said = gateway("inspect", HOOK_SECRET="whsec_hidden!")
    assert said.code == 2
    assert "hidden" not in said.err
