"""`gateway trigger`: samples reach a real server, signed, and what it answers is shown."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest

from gateway.receiver import HookReceiver
from gateway.relay.catalogue import CATALOGUE
from gateway.testing.hook_server import HookServer, Reply
from gateway.wire.signature import key_of, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_AAAQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(scope="module")
def server():
    """A `HookServer` in a thread of its own, whose /sdk is a `HookReceiver`."""
    loop, ready, end, servers = asyncio.new_event_loop(), threading.Event(), asyncio.Event(), []
    receiver = HookReceiver([SECRET])

    @receiver.transform("question", capability="opening-hours")
    def answer(call):
        return {"seen": call.result.value["answers"][0]["text"]}

    async def sdk(request):
        said = await asyncio.to_thread(receiver, dict(request.headers), request.body, method=request.method)
        return Reply(said.status, list(said.headers), said.body)

    async def serve():
        async with HookServer() as opened:
            opened.on("/sdk", sdk)
            servers.append(opened)
            ready.set()
            await end.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    yield servers[0]
    loop.call_soon_threadsafe(end.set)
    thread.join(10)
    loop.close()


def is_authentic(request):
    verify(
        [key_of(SECRET)],
        message_id=request.header("webhook-id"),
        timestamp=request.header("webhook-timestamp"),
        signature=request.header("webhook-signature"),
        body=request.body,
        now=float(request.header("webhook-timestamp")),
    )
    return True


def test_a_sample_call_is_understood_by_a_real_receiver(gateway, server):
    told = gateway(
        "trigger", "query.result.question", "--to", f"{server.url}/sdk", "--capability", "opening-hours",
        HOOK_SECRET=SECRET,
    )  # fmt: skip
    assert told.code == 0, (told.out, told.err)
    assert "status 200" in told.out
    assert "content-type: application/json" in told.out
    assert "At ten o'clock." in told.out


def test_one_that_is_signed_with_another_secret_is_refused_and_the_exit_code_says_so(gateway, server):
    told = gateway("trigger", "query.result.question", "--to", f"{server.url}/sdk", "--json", HOOK_SECRET=OTHER)
    assert told.code == 1
    assert told.json["reply"]["status"] == 401


@pytest.mark.parametrize("flag", [(), ("--cloudevents",)])
def test_a_notification_carries_the_documented_example(gateway, server, tmp_path, flag):
    (tmp_path / "secret").write_text(SECRET + "\n")
    name = "gateway.hook.disabled"
    told = gateway(
        "trigger", name, "--to", f"{server.url}/unchanged", "--secret-file", str(tmp_path / "secret"), *flag, "--json"
    )
    assert told.code == 0, told.err
    sent = server.requests[-1]
    assert is_authentic(sent)
    body = json.loads(sent.body)
    assert (body["data"], body["type"], body["id"]) == (CATALOGUE[name].example, name, sent.header("webhook-id"))
    assert sent.header("gateway-event") == name
    assert sent.header("content-type") == ("application/cloudevents+json" if flag else "application/json")
    assert told.json["request"]["body"].encode() == sent.body


def test_data_of_one_s_own_is_sent_for_any_event_and_as_the_result_of_a_call(gateway, server, tmp_path):
    (tmp_path / "data.json").write_text('{"order": 4711}')
    to = ("--to", f"{server.url}/unchanged", "--data", "@data.json")
    assert gateway("trigger", "order.created", *to, HOOK_SECRET=SECRET).code == 0
    assert json.loads(server.requests[-1].body)["data"] == {"order": 4711}
    assert gateway("trigger", "query.result.anything", *to, "--tenant", "acme", HOOK_SECRET=SECRET).code == 0
    data = json.loads(server.requests[-1].body)["data"]
    assert (data["result"], data["query"]["type"], data["query"]["tenant"]) == ({"order": 4711}, "anything", "acme")
    assert is_authentic(server.requests[-1])


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("order.created", "--to", "http://127.0.0.1:9/"), 2, "--data"),
        (("query.result.", "--to", "http://127.0.0.1:9/"), 2, "query.result.TYPE"),
        (("query.result.form", "--to", "ftp://x/"), 2, "--to"),
        (("query.result.form", "--to", "http://127.0.0.1:9/"), 1, "gave no answer (connect)"),
        (("query.result.form", "--to", "http://127.0.0.1:9/", "--data", "{"), 2, "not JSON"),
        (("query.result.form", "--to", "http://127.0.0.1:9/", "--secret-file", "absent"), 2, "absent"),
        (("query.result.form",), 2, "--to"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(gateway, arguments, code, word):
    told = gateway("trigger", *arguments, HOOK_SECRET=SECRET)
    assert (told.code, told.out) == (code, "")
    assert word in told.err


def test_without_a_secret_nothing_is_sent_and_a_wrong_one_is_not_shown(gateway):
    arguments = ("trigger", "query.result.form", "--to", "http://127.0.0.1:9/")
    assert "HOOK_SECRET" in gateway(*arguments, HOOK_SECRET="").err
    told = gateway(*arguments, HOOK_SECRET="whsec_hidden!")
    assert told.code == 2
    assert "hidden" not in told.err
