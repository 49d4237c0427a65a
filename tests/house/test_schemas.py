"""The JSON Schemas and the AsyncAPI document are up to date, whole, and true of what really goes over the wire."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
from pathlib import Path

import jsonschema_rs
import pytest

from gateway import HookDraft, IntegrationDraft, Query, Result, Settings, open_gateway
from gateway.model.subscription import ContentType
from gateway.relay import message
from gateway.testing.hook_server import HookServer, Reply

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "docs" / "schemas"


@pytest.fixture(scope="module")
def render():
    spec = importlib.util.spec_from_file_location("render_schemas", Path(__file__).with_name("render_schemas.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fits(name, body):
    """Raise unless the JSON in `body` is as the schema says."""
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(json.loads(body))


def test_the_files_are_up_to_date(render):
    """If this fails: .venv/bin/python tests/house/render_schemas.py"""
    assert {path.name for path in SCHEMAS.glob("*.json")} == {f"{name}.schema.json" for name in render.WIRE}
    stale = [path.name for path, text in render.rendered().items() if path.read_text() != text]
    assert stale == []


def test_every_reference_within_the_asyncapi_document_leads_somewhere():
    text = (ROOT / "docs" / "reference" / "asyncapi.json").read_text()
    document = json.loads(text)
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', text)):
        place = document
        for part in reference.split("/"):
            place = place[part]


def test_every_example_in_the_asyncapi_document_fits_its_schema():
    document = json.loads((ROOT / "docs" / "reference" / "asyncapi.json").read_text())
    examples = 0
    for told in document["components"]["messages"].values():
        for example in told.get("examples", ()):
            jsonschema_rs.validate(told["payload"]["schema"], example["payload"])
            examples += 1
    assert examples > 10


@pytest.mark.parametrize(
    "query",
    [
        Query("search"),
        Query("search", "prices", "acme", params={"q": [1]}, context={"user": None}, tracestate="a=b",
              traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("coalesce", [False, True])
async def test_real_calls_are_as_the_schemas_say(query, coalesce):
    settings = {"allow_http": True, "allow": ["127.0.0.0/8"], "require_ownership": False, "coalesce_ms": 10}
    async with (
        HookServer() as server,
        open_gateway(Settings.model_validate({"store": {"url": "memory:"}, "calls": settings})) as gateway,
    ):
        made = await gateway.registry.register(IntegrationDraft("one", server.url))
        draft = HookDraft("it", "/unchanged", coalesce=coalesce)
        hook = await gateway.registry.create_hook(made.integration.id, draft)
        await gateway.registry.enable(hook.id)
        await asyncio.gather(*(gateway.chain.run(query, Result.of({"n": n})) for n in range(2)))
        bodies = [request.body for request in server.requests]
    for body in bodies:
        fits("call-batch" if body.startswith(b"[") else "call", body)
    assert coalesce is any(body.startswith(b"[") for body in bodies)


async def test_a_real_question_for_health_and_its_answer_are_as_the_schemas_say():
    settings = {"allow_http": True, "allow": ["127.0.0.0/8"], "require_ownership": False}
    seen = []
    async with (
        HookServer() as server,
        open_gateway(
            Settings.model_validate({"store": {"url": "memory:"}, "calls": settings, "health": {"interval_seconds": 1}})
        ) as gateway,
    ):

        async def health(request):
            seen.append(request.body)
            answer = json.dumps({"id": json.loads(request.body)["id"]})
            return Reply(200, [("content-type", "application/json")], answer.encode())

        server.on("/health", health)
        made = await gateway.registry.register(IntegrationDraft("one", server.url, health_path="/health"))
        hook = await gateway.registry.create_hook(made.integration.id, HookDraft("it", "/unchanged"))
        await gateway.registry.enable(hook.id)
        await server.arrived()
    fits("health-request", seen[0])
    fits("health-reply", json.dumps({"id": json.loads(seen[0])["id"]}))


@pytest.mark.parametrize(
    ("kind", "name"), [(ContentType.JSON, "notification"), (ContentType.CLOUDEVENTS, "notification-cloudevent")]
)
def test_real_notifications_are_as_the_schemas_say(kind, name):
    body = message.payload(
        kind, ident="evt_1", name="order.created", source="/gateway", at=1.5, data=b'{"n":1}', subject=None
    )
    fits(name, body)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("call", {"specversion": "1.0"}),
        ("call-batch", []),
        ("reply-json-patch", [{"op": "delete", "path": "/a"}]),
        ("reply-batch", [{"status": 200}]),
        ("health-request", {"id": "x"}),
        ("notification", {"id": "e", "type": "t", "timestamp": "yesterday", "data": 1}),
    ],
)
def test_what_is_wrong_does_not_fit(name, body):
    with pytest.raises(jsonschema_rs.ValidationError):
        fits(name, json.dumps(body))


def test_the_examples_of_the_reference_fit():
    page = (ROOT / "docs" / "reference" / "webhook.md").read_text()
    structured = re.findall(r"^```json\n(\{.*?)^```", page, re.MULTILINE | re.DOTALL)[0]
    fits("call", structured)
    answers = re.findall(r"^```json\n(\[.*?)^```", page, re.MULTILINE | re.DOTALL)[1]
    fits("reply-batch", answers)
