"""The control API over real HTTP, on a registry in memory, with a clock that stands still."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from gateway.observe.metrics import GatewayMetrics
from gateway.registry import Registry, RegistryRules, WaivedOwnership
from gateway.registry.notes import AuditNotes
from gateway.relay.desk import new_desk
from gateway.relay.filters import event_filter
from gateway.relay.publisher import Publisher
from gateway.service.control import control_app
from gateway.stores.memory import MemoryStore
from gateway.stores.memory_events import MemoryEventStore
from gateway.transport import AddressGuard

if TYPE_CHECKING:
    from aiohttp import ClientResponse
    from aiohttp.test_utils import TestClient

OPERATOR = "operator-key"


class Clock:
    """Seconds since 1970 that pass only when told to."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.25

    def __call__(self) -> float:
        return self.now


@dataclass
class Reply:
    """A whole response."""

    status: int
    headers: Any
    body: bytes
    json: Any


@dataclass
class Api:
    """Calls the API with a key, by default the operator's."""

    client: TestClient
    registry: Registry
    clock: Clock
    store: MemoryStore
    key: str | None = OPERATOR

    def as_(self, key: str | None) -> Api:
        return Api(self.client, self.registry, self.clock, self.store, key)

    async def __call__(self, method: str, path: str, json: Any = None, **kwargs: Any) -> Reply:
        headers = dict(kwargs.pop("headers", {}))
        if self.key is not None:
            headers.setdefault("authorization", f"Bearer {self.key}")
        if json is not None:
            kwargs["json"] = json
        response: ClientResponse = await self.client.request(method, path, headers=headers, **kwargs)
        body = await response.read()
        is_json = "json" in response.content_type and body
        return Reply(
            response.status, response.headers, body, await response.json(content_type=None) if is_json else None
        )

    async def integration(self, name: str = "prices", **more: Any) -> dict[str, Any]:
        reply = await self.as_(OPERATOR)(
            "POST", "/v1/integrations", {"name": name, "base_url": "https://hooks.example.com", **more}
        )
        assert reply.status == 201, reply.body
        return reply.json

    async def hook(self, name: str = "fx", **more: Any) -> dict[str, Any]:
        params = {"integration": more.pop("integration")} if "integration" in more else None
        reply = await self("POST", "/v1/hooks", {"name": name, "path": f"/{name}", **more}, params=params)
        assert reply.status == 201, reply.body
        return reply.json


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def registry(clock, store):
    async with Registry.open(store, RegistryRules(AddressGuard()), now=clock) as opened:
        yield opened


@pytest.fixture
def metrics() -> GatewayMetrics:
    return GatewayMetrics()


@pytest.fixture
def events() -> MemoryEventStore:
    return MemoryEventStore()


@pytest.fixture
def ownership():
    """How an address is asked whether it wants to be called."""
    return WaivedOwnership()


@pytest.fixture
def desk(registry, store, events, ownership, clock):
    publisher = Publisher(events, compiled=event_filter, now=clock)
    audit = AuditNotes(store, registry, clock)
    return new_desk(events, publisher, AddressGuard(), ownership, audit, now=clock)


@pytest.fixture
async def api(aiohttp_client, registry, clock, store, metrics, desk) -> Api:
    app = control_app(
        registry, operator_keys=["another-key", OPERATOR], metrics=metrics, desk=desk, max_body_bytes=65_536
    )
    return Api(await aiohttp_client(app), registry, clock, store)
