"""The code of the SDK's pages works as it stands there, and its tables say what the code says."""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import re
import time
from pathlib import Path

import pytest

from gateway import IntegrationDraft, Query, Result, Settings, Status, open_gateway
from gateway.receiver import HookReceiver, ReceptionSettings
from gateway.receiver.inbox import InboxCounts, WorkerSettings
from gateway.receiver.inbox.metrics import InboxMetrics
from gateway.receiver.metrics import ReceiverMetrics
from gateway.service.serving import listening
from gateway.wire import signature
from gateway.wire.cloudevents import STRUCTURED_TYPE, QueryEvent

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SDK = (DOCS / "reference" / "sdk.md").read_text()
SETTINGS = Settings.model_validate(
    {
        "store": {"url": "memory:"},
        "calls": {"allow_http": True, "allow": ["127.0.0.0/8"], "require_ownership": False},
        "control": {"listen": "127.0.0.1:0"},
    }
)
SECRET = signature.new_secret()


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


def names_of(code, monkeypatch, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    names = {"__name__": "example"}
    exec(compile(code, "example.py", "exec"), names)
    return names


def call_of(query, value, secret=SECRET):
    body = QueryEvent(query, "/gateway").structured("msg_1", "hk_1", time.time(), Result.of(value))
    at = int(time.time())
    signed = signature.sign([signature.key_of(secret)], "msg_1", at, body)
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(at),
        "webhook-signature": signed,
        "content-type": STRUCTURED_TYPE,
    }, body


async def test_the_first_hook_answers_a_real_gateway(monkeypatch, capsys):
    first, more = blocks("tutorial/first-hook.md")
    async with open_gateway(SETTINGS) as gateway, listening(gateway, ["an-operator-key-of-tests"]) as (control_url, _):
        registered = await gateway.registry.register(IntegrationDraft("first-hook", "http://127.0.0.1:1"))
        names = names_of(first, monkeypatch, HOOK_SECRET=registered.secret, API_KEY=registered.api_key)
        exec(compile(more, "example.py", "exec"), names)
        receiver = names["receiver"]
        receiver.enrol(control_url, registered.api_key)
        async with receiver.serving() as url:
            await gateway.registry.change_integration(registered.integration.id, {"base_url": url})
            await receiver._enrolment.step()
            answer = await gateway.chain.run(Query("airports"), Result.of({"rows": [["KEF"], ["RKV"]]}))
            assert answer.result.value == {"rows": [["KEF"], ["RKV"]], "count": 2}
            answer = await gateway.chain.run(Query("question", "financial-aid"), Result.of({}))
            assert answer.result.value == {"answer": "See the office in room 12."}
            answer = await gateway.chain.run(Query("countries"), Result.of({}))
            assert [outcome.status for outcome in answer.outcomes] == [Status.UNCHANGED]
            assert capsys.readouterr().out.startswith("countries: 2 bytes, ")


async def test_the_inbox_of_the_how_to_handles_what_it_takes_in(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("how-to/receive-notifications.md")
    inbox = names_of(code, monkeypatch, SUBSCRIPTION_SECRET=SECRET)["inbox"]
    at = int(time.time())
    for number, data in enumerate((b'{"customer": "c7"}', b"{}")):
        body, ident = b'{"type": "order.created", "data": %b}' % data, f"evt_{number}"
        signed = signature.sign([signature.key_of(SECRET)], ident, at, body)
        headers = {"webhook-id": ident, "webhook-timestamp": str(at), "webhook-signature": signed}
        assert inbox(headers, body).status == 202
    async with inbox.working():
        while inbox.store.counts().new:  # noqa: ASYNC110  the worker is not asked to tell
            await asyncio.sleep(0.01)
    assert inbox.store.counts() == InboxCounts(processed=1, failed=1)
    assert inbox.store.find("evt_1").error == "an order without a customer"
    assert capsys.readouterr().out == "order evt_0 c7\n"
    inbox.close()


async def test_the_examples_of_deploying_answer_and_enable(monkeypatch):
    own_server, function, deploy = blocks("how-to/deploy-a-hook.md")
    variables = {"HOOK_SECRET": SECRET, "CONTROL_URL": "http://127.0.0.1:1", "API_KEY": "key"}
    names = names_of(own_server, monkeypatch, **variables)
    assert (await names["receiver"].reply(*call_of(Query("search"), {}))).body == b'{"note":"seen"}'
    names = names_of(function, monkeypatch, **variables)
    headers, body = call_of(Query("search"), {})
    event = {"headers": headers, "body": body.decode(), "httpMethod": "POST", "path": "/hook"}
    assert names["function"](event, None)["statusCode"] == 200
    async with open_gateway(SETTINGS) as gateway, listening(gateway, ["an-operator-key-of-tests"]) as (control_url, _):
        registered = await gateway.registry.register(IntegrationDraft("example", "http://127.0.0.1:1"))
        script = names_of(deploy, monkeypatch, CONTROL_URL=control_url, API_KEY=registered.api_key)
        await asyncio.to_thread(script["deploy"], names["receiver"])
        assert [(hook.name, hook.enabled) for hook in gateway.registry.hooks()] == [("hook", True)]


def cells(heading):
    section = SDK.split(f"## {heading}\n")[1].split("\n## ")[0]
    firsts = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    return set(re.findall(r"`([\w./]+)`", " ".join(firsts)))


def test_the_tables_of_metrics_settings_and_events_are_whole():
    registries = [ReceiverMetrics()._registry, InboxMetrics()._registry]
    metrics = {
        metric.name + ("_total" if metric.type == "counter" else "")
        for registry in registries
        for metric in registry.collect()
    }
    assert cells("Metrics") == metrics
    assert cells("`ReceptionSettings`") == {field.name for field in dataclasses.fields(ReceptionSettings)}
    assert cells("`Inbox`") == {field.name for field in dataclasses.fields(WorkerSettings)} | {"WorkerSettings"}
    logged = set()
    for path in (ROOT / "gateway" / "receiver").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="_log")), args=[ast.Constant(value=str(event))]):
                    logged.add(event)
    assert cells("Log events") == logged


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(ReceptionSettings)])
def test_the_defaults_of_the_settings_are_those_in_the_table(field):
    section = SDK.split("## `ReceptionSettings`\n")[1].split("\n## ")[0]
    (default,) = re.findall(rf"^\| `{field}` \| (.*?) \|", section, re.MULTILINE)
    value = getattr(ReceptionSettings(), field)
    assert default.strip("`") == ("any" if value is None else str(value))


def test_every_public_part_of_a_receiver_is_named():
    public = {name for name in vars(HookReceiver) if not name.startswith("_")}
    unnamed = {"answer", "living", "state", "max_body_bytes", "clock", "too_large"}  # what servers use
    assert [name for name in public - unnamed if name not in SDK] == []
