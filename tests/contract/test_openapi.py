"""The OpenAPI document and the API keep to each other: every operation is called with what the document
allows and with what it does not, and must answer as the document says."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import jsonschema_rs
import pytest
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig

from gateway.errors import ConnectFailed
from gateway.model import Hook, Integration
from gateway.model.event import Event
from gateway.model.subscription import Subscription
from gateway.observe.metrics import GatewayMetrics
from gateway.pipeline import (
    CallSettings,
    ChainSettings,
    Explainer,
    HookCaller,
    HookChain,
    HookGuard,
    HookTrials,
    Insight,
    Journal,
    Protections,
    QueryPipeline,
    Replays,
    Traces,
)
from gateway.registry import Registry, RegistryRules, WaivedOwnership
from gateway.registry.credentials import ApiKeys
from gateway.registry.notes import AuditNotes
from gateway.relay.desk import new_desk
from gateway.relay.filters import event_filter
from gateway.relay.publisher import Publisher
from gateway.service.control import control_app, control_document, control_operations
from gateway.service.reloading import Reloaded
from gateway.stores.events import Publication
from gateway.stores.memory import MemoryStore
from gateway.stores.memory_events import MemoryEventStore
from gateway.stores.protocol import RegistryChange
from gateway.transport import AddressGuard
from gateway.wire.redaction import Redaction

KEY = "operator-key"


class NoNetwork:
    """A transport without a network: every call fails at once."""

    async def exchange(self, endpoint, method, headers, body, *, deadline, limits):
        raise ConnectFailed

    async def aclose(self):
        pass


def desk(registry, events=None):
    """What there is of notifications, over a store in memory."""
    events = events or MemoryEventStore()
    publisher = Publisher(events, compiled=event_filter)
    return new_desk(events, publisher, AddressGuard(), WaivedOwnership(), AuditNotes(registry._store, registry))


async def nothing_changed():
    """A reload of the same configuration."""
    return Reloaded((), (), (), ())


def pieces(registry, events=None):
    caller = HookCaller(NoNetwork(), CallSettings())
    protections = Protections(snapshot=lambda: registry.snapshot)
    chain = HookChain(registry.present, HookGuard(caller, protections))
    return {
        "metrics": GatewayMetrics(),
        "protections": protections,
        "desk": desk(registry, events),
        "insight": Insight(
            Journal(),
            Traces(10, 1_000_000),
            Explainer(registry, protections, ChainSettings()),
            HookTrials(caller, ChainSettings(), Redaction(), registry.present),
            Replays(caller, AddressGuard(), ChainSettings(), Redaction(), registry.present),
            Redaction(),
        ),
        "pipeline": QueryPipeline(chain, lambda query: {"asked": query.params}),
        "reload": nothing_changed,
    }


async def seeded() -> MemoryStore:
    """A store that holds the very ids that the document gives as examples."""
    store = MemoryStore()
    integration = Integration("int_1c9d7x2k4m6p8q0r", "prices", "https://hooks.example.com")
    hook = Hook("hk_3f8k2m9q4r7t1v5x", integration.id, "price-fx", "/price-fx")
    await store.commit(RegistryChange(0, 1, put_integrations=(integration,), put_hooks=(hook,)))
    return store


async def seeded_events() -> MemoryEventStore:
    """The same for notifications: what is published first has the id that is the example of a delivery's."""
    events = MemoryEventStore()
    subscription = Subscription("sub_5t2v8x1z4b7d0f3h", None, "audit-trail", ("*",), "https://example.com/events")
    await events.add_subscription(subscription)
    event = Event("evt_5b1f0c9de2a4a77303", "order.created", b'{"n": 1}', 0.0)
    await events.publish([Publication(event, (subscription.id,))], version=1, now=0.0)
    return events


@contextmanager
def served():
    """The control API in a thread of its own; yields its address."""
    ready, address = threading.Event(), []
    loop = asyncio.new_event_loop()
    end = asyncio.Event()

    async def serve():
        async with Registry.open(await seeded(), RegistryRules(AddressGuard())) as registry:
            parts = pieces(registry, await seeded_events())
            runner = web.AppRunner(
                control_app(registry, operator_keys=[KEY], max_failed_auth=0, **parts), access_log=None
            )
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            address.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
            ready.set()
            await end.wait()
            await runner.cleanup()

    def run():
        try:
            loop.run_until_complete(serve())
        finally:
            ready.set()
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait(10)
    try:
        yield address[0]
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(10)


def _document():
    registry = Registry(MemoryStore(), RegistryRules(AddressGuard()), None, lambda: 0.0, ApiKeys(b""))
    return json.loads(json.dumps(control_document(control_operations(registry, **pieces(registry)))))


def _config():
    config = SchemathesisConfig()
    # Beyond what a schema can say, the registry has rules (the envelope, https), a tag may not match, or be none (400).
    config.projects.default.checks.positive_data_acceptance.expected_statuses += ["400", "412", "422"]
    config.projects.default.checks.negative_data_rejection.expected_statuses += ["412"]
    return config


DOCUMENT = _document()
schema = schemathesis.openapi.from_dict(DOCUMENT, config=_config())


@pytest.fixture
def address():
    with served() as at:
        yield at


@schema.parametrize()
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_operation_answers_as_the_document_says(case, address):
    case.call_and_validate(base_url=address, headers={"Authorization": f"Bearer {KEY}"})


def test_the_document_that_is_served_is_this_one(address):
    with urllib.request.urlopen(f"{address}/openapi.json") as response:
        assert response.headers["content-type"] == "application/json"
        assert json.loads(response.read()) == DOCUMENT


def test_the_document_is_valid_openapi_3_1():
    assert DOCUMENT["openapi"].startswith("3.1.")
    schema.validate()


def test_the_calls_of_the_contract_are_there_and_no_others():
    calls = {f"{method.upper()} {path}" for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert calls == {
        "POST /v1/integrations", "GET /v1/integrations",
        "GET /v1/integrations/{integration_id}", "PATCH /v1/integrations/{integration_id}",
        "DELETE /v1/integrations/{integration_id}", "POST /v1/integrations/{integration_id}/credentials",
        "PUT /v1/hooks", "POST /v1/hooks", "GET /v1/hooks",
        "GET /v1/hooks/{hook_id}", "PATCH /v1/hooks/{hook_id}", "DELETE /v1/hooks/{hook_id}",
        "POST /v1/hooks/{hook_id}/enable", "POST /v1/hooks/{hook_id}/disable",
        "GET /v1/hooks/{hook_id}/breaker", "POST /v1/hooks/{hook_id}/breaker/reset",
        "POST /v1/hooks/{hook_id}/purge",
        "GET /v1/hooks/{hook_id}/outcomes", "POST /v1/hooks/{hook_id}/test",
            "GET /v1/calls/{call_id}", "POST /v1/calls/{call_id}/replay", "POST /v1/hooks/{hook_id}/listen",
        "POST /v1/hooks/{hook_id}/promote",
        "POST /v1/explain", "GET /v1/traces/{trace_id}",
        "POST /v1/subscriptions", "GET /v1/subscriptions", "GET /v1/subscriptions/{subscription_id}",
        "PATCH /v1/subscriptions/{subscription_id}", "DELETE /v1/subscriptions/{subscription_id}",
        "POST /v1/subscriptions/{subscription_id}/ping", "POST /v1/subscriptions/{subscription_id}/secret",
        "GET /v1/subscriptions/{subscription_id}/deliveries", "POST /v1/subscriptions/{subscription_id}/recover",
        "GET /v1/subscriptions/{subscription_id}/recoveries/{recovery_id}",
        "GET /v1/deliveries/{delivery_id}", "POST /v1/deliveries/{delivery_id}/redeliver",
        "POST /v1/events", "POST /v1/events:bulk", "GET /v1/events", "GET /v1/events/{event_id}", "GET /v1/event-types",
        "POST /v1/hooks:enable", "POST /v1/hooks:disable", "POST /v1/query", "GET /v1/audit", "POST /v1/config/reload",
        "GET /healthz", "GET /readyz", "GET /metrics", "GET /openapi.json",
    }  # fmt: skip


def test_every_member_of_every_schema_is_described_and_has_an_example_that_fits_it():
    schemas = DOCUMENT["components"]["schemas"]
    for name, each in schemas.items():
        for member, told in each.get("properties", {}).items():
            nested = "$ref" in json.dumps(told)
            assert told.get("description") or nested, f"{name}.{member} is not described"
            assert told.get("examples") or nested or name == "Problem", f"{name}.{member} has no example"
            for example in told.get("examples", []):
                assert jsonschema_rs.is_valid({**told, "components": {"schemas": schemas}}, example), f"{name}.{member}"


def test_every_operation_is_named_summed_up_and_guarded_unless_it_is_for_anyone():
    seen = set()
    for path, methods in DOCUMENT["paths"].items():
        for told in methods.values():
            assert told["operationId"] not in seen
            seen.add(told["operationId"])
            assert told["summary"]
            assert bool(told["security"]) == path.startswith("/v1/")
            assert ("401" in told["responses"]) == path.startswith("/v1/")


def test_the_reference_lists_every_call_with_its_statuses():
    """docs/reference/control-api.md; the statuses that any call may have stand there once."""
    text = (Path(__file__).parents[2] / "docs" / "reference" / "control-api.md").read_text()
    rows = re.findall(r"^\| `([A-Z]+ /\S*)` \|.*\| ([0-9, ]+) \|$", text, re.MULTILINE)
    anywhere = {"400", "401", "413", "415", "422", "429", "500", "503"}
    expected = {
        f"{method.upper()} {path}": set(told["responses"]) - anywhere
        for path, methods in DOCUMENT["paths"].items()
        for method, told in methods.items()
    }
    assert {call: set(statuses.split(", ")) for call, statuses in rows} == expected
