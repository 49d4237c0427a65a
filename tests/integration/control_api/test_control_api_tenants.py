"""No call reaches what is another integration's: a table made from the API's own description.

Each place of an operation that takes an id gets the id of another integration's thing. An operation with a
place that this test does not know fails it, so that no new one is forgotten.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.observe.metrics import GatewayMetrics
from gateway.pipeline import (
    CallSettings,
    ChainSettings,
    Explainer,
    HookCaller,
    HookTrials,
    Insight,
    Journal,
    Protections,
    Replays,
    Traces,
)
from gateway.registry import Registry, RegistryRules
from gateway.registry.credentials import ApiKeys
from gateway.relay.desk import Desk
from gateway.service.control import control_app, control_document, control_operations
from gateway.stores import AuditQuery
from gateway.stores.events import DeliveryQuery, SubscriptionQuery
from gateway.stores.memory import MemoryStore
from gateway.transport import AddressGuard
from gateway.transport.client import HttpTransport
from gateway.wire.redaction import Redaction


def insight(registry):
    caller = HookCaller(HttpTransport(AddressGuard()), CallSettings())
    return Insight(
        Journal(),
        Traces(10, 1_000_000),
        Explainer(registry, Protections(), ChainSettings()),
        HookTrials(caller, ChainSettings(), Redaction(), registry.present),
        Replays(caller, AddressGuard(), ChainSettings(), Redaction(), registry.present),
        Redaction(),
    )


def document():
    registry = Registry(MemoryStore(), RegistryRules(AddressGuard()), None, lambda: 0.0, ApiKeys(b""))
    return control_document(
        control_operations(
            registry,
            metrics=GatewayMetrics(),
            pipeline=object(),
            protections=Protections(),
            insight=insight(registry),
            desk=Desk(None, None),
        )
    )


@pytest.fixture
async def whole(api, aiohttp_client, metrics, desk):
    """The API with everything that it can offer."""
    app = control_app(
        api.registry,
        operator_keys=[api.key],
        metrics=metrics,
        pipeline=object(),
        protections=Protections(),
        insight=insight(api.registry),
        desk=desk,
    )
    return replace(api, client=await aiohttp_client(app))


DOCUMENT = document()
IDS = {
    "integration_id": "integration", "hook_id": "hook", "trace_id": "trace", "subscription_id": "subscription",
    "delivery_id": "delivery", "event_id": "event", "recovery_id": "recovery", "call_id": "call",
}  # fmt: skip
# Query parameters that name something by its id, and those that do not.
NAMING = {"integration": "integration", "hook": "hook", "subscription": "subscription", "event": "event"}
OTHER = {"limit", "cursor", "who", "since", "until", "status", "reason", "outcome", "after", "state"}
# Members of bodies that hold ids.
ID_MEMBERS = {"ids"}


def resolved(schema):
    while "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def example(schema, found):
    """A value that fits the schema; every member that holds ids holds the victim's."""
    examples = schema.get("examples")
    schema = resolved(schema)
    if schema.get("type") == "object" and "properties" in schema:
        required = {*schema.get("required", ()), *schema.get("oneOf", [{}])[0].get("required", ())}
        return {
            name: found if name in ID_MEMBERS else example(member, found)
            for name, member in schema["properties"].items()
            if name in required or name in ID_MEMBERS
        }
    if schema.get("type") == "array" and "items" in schema and not examples:
        return [example(schema["items"], found)]
    examples = examples or schema.get("examples")
    if examples:
        return examples[0]
    if "const" in schema or "enum" in schema:
        return schema.get("const") or schema["enum"][0]
    return {"string": "x", "integer": 1, "boolean": True}.get(schema.get("type"))


def cases():
    for path, methods in DOCUMENT["paths"].items():
        for method, told in methods.items():
            if not told["security"]:
                continue
            parameters = [p for p in told["parameters"] if p["in"] in ("path", "query")]
            content = told.get("requestBody", {}).get("content", {})
            body = [each["schema"] for each in content.values()][:1]
            members = {name for schema in body for name in resolved(schema).get("properties", ()) if name in ID_MEMBERS}
            places = [p["name"] for p in parameters if p["in"] == "path" or p["name"] in NAMING] + sorted(members)
            for place in places:
                yield pytest.param(path, method.upper(), place, body, id=f"{method.upper()} {path} {place}")


CASES = list(cases())


def test_every_place_that_could_take_an_id_is_known_here():
    for path, methods in DOCUMENT["paths"].items():
        for told in methods.values():
            for parameter in told["parameters"]:
                known = IDS if parameter["in"] == "path" else {*NAMING, *OTHER}
                assert parameter["in"] == "header" or parameter["name"] in known, (path, parameter["name"])
    for name, schema in DOCUMENT["components"]["schemas"].items():
        for member in schema.get("properties", ()):
            views = name.endswith(
                (
                    "View",
                    "Page",
                    "NewIntegration",
                    "NewApiKey",
                    "NewSecret",
                    "HooksChanged",
                    "Detail",
                    "NewSubscription",
                )
            )
            assert views or not member.endswith(("_id", "_ids")), (name, member)


def test_the_table_is_not_empty():
    assert {case.values[2] for case in CASES} >= {"integration_id", "hook_id", "integration", "ids"}
    assert len(CASES) >= 18


async def notified(caller, events):
    """A subscription of the caller's, an event on its way to it, and a recovery."""
    body = {"name": "own", "events": ["*"], "config": {"url": "https://example.com"}}
    made = await caller("POST", "/v1/subscriptions", body)
    told = await caller("POST", "/v1/events", {"event": "order.created"})
    (newest, *_) = (await caller("GET", f"/v1/subscriptions/{made.json['id']}/deliveries")).json["items"]
    recovery = await events.start_recovery(made.json["id"], since=0.0, now=1.0)
    return {
        "subscription": made.json["id"],
        "event": told.json["id"],
        "delivery": newest["id"],
        "recovery": recovery.id,
    }


async def kept(whole, events):
    """All that a call must not change."""
    subscriptions = await events.subscriptions(SubscriptionQuery())
    deliveries = await events.deliveries(DeliveryQuery())
    recoveries = [await events.recovery(each) for each in events._recoveries]
    return await whole.store.load(), await whole.store.audit(AuditQuery()), subscriptions, deliveries, recoveries


@pytest.mark.parametrize(("path", "method", "place", "body"), CASES)
async def test_the_ids_of_another_integration_reach_nothing(whole, events, path, method, place, body):
    mine, theirs = await whole.integration("mine"), await whole.integration("theirs-that-nobody-sees")
    me, them = whole.as_(mine["api_key"]), whole.as_(theirs["api_key"])
    my_hook, their_hook = await me.hook("own"), await them.hook("theirs-too")
    foreign = {"integration": theirs["id"], "hook": their_hook["id"], "trace": "tr_3f8k2m9q4r7t1v5x"}
    foreign["call"] = "msg_0f3a9c1d2e4b5a6c71"  # calls that were made: test_control_api_replay
    foreign |= await notified(them, events)
    own = {"integration": mine["id"], "hook": my_hook["id"], "trace": "tr_1c9d7x2k4m6p8q0r"}
    own["call"] = "msg_0f3a9c1d2e4b5a6c72"
    own |= await notified(me, events)

    def filled(foreign):
        there = path
        for name, kind in IDS.items():
            there = there.replace(f"{{{name}}}", (foreign if name == place else own)[kind])
        params = {place: foreign[NAMING[place]]} if place in NAMING else None
        sent = example(body[0], [foreign["hook"]] if place in ID_MEMBERS else [own["hook"]]) if body else None
        return there, sent, params

    there, sent, params = filled(foreign)
    before = await kept(whole, events)
    reply = await me(method, there, sent, params=params)
    assert await kept(whole, events) == before
    assert "theirs" not in reply.body.decode()
    if reply.status == 200:  # a list, narrowed by a criterion that nothing of one's own fits
        assert reply.json["items"] == []
    else:
        assert reply.status in {403, 404}, reply.body
    # Indistinguishable from an id that never was.
    nobodys = {kind: value[:-4] + "0000" for kind, value in foreign.items()}
    there, sent, params = filled(nobodys)
    unknown = await me(method, there, sent, params=params)
    assert unknown.status == reply.status
    if unknown.json and reply.json and "detail" in reply.json:
        shown = reply.json["detail"]
        for kind, value in foreign.items():
            shown = shown.replace(value, nobodys[kind])
        assert shown == unknown.json["detail"]
