"""A registry in memory with as many enabled hooks as wanted, and the chain over it."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from gateway.model import ApiKeyHash, Hook, Integration, SigningSecret
from gateway.observe.metrics import GatewayMetrics
from gateway.pipeline import (
    CallSettings,
    ChainSettings,
    Coalescer,
    HookCaller,
    HookChain,
    HookGuard,
    HookTurn,
    Reuse,
    RowBatches,
    Sending,
)
from gateway.registry import Registry, RegistryRules
from gateway.stores.memory import MemoryStore
from gateway.stores.protocol import RegistryChange
from gateway.transport import AddressGuard
from gateway.wire import signature

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.pipeline import Protections
    from gateway.transport import Transport

PER_INTEGRATION: Final = 1_000
TYPES: Final = ("question", "search", "form")


def guard() -> AddressGuard:
    """The guard of the benchmarks: plain HTTP on loopback."""
    return AddressGuard(allow_http=True, allow=("127.0.0.0/8",))


def capability(number: int) -> str:
    """The capability that only the hook with this number serves."""
    return f"capability-{number}"


@asynccontextmanager
async def registry_of(
    count: int, *, port: int = 80, path: str = "/204", secret: str | None = None, **fields: Any
) -> AsyncIterator[Registry]:
    """A registry with `count` enabled hooks with these `fields`; hook number n alone serves `capability(n)`.

    Calls are signed with `secret`, or with one that nobody knows.
    """
    integrations = [
        Integration(
            id=f"in_{n}",
            name=f"integration {n}",
            base_url=f"http://127.0.0.1:{port}",
            api_keys=(ApiKeyHash(f"sha256:{n}", 0.0),),
            secrets=(SigningSecret(secret or signature.new_secret(), 0.0),),
        )
        for n in range(-(-count // PER_INTEGRATION))
    ]
    hooks = [
        Hook(
            id=f"hk_{n}",
            integration_id=f"in_{n // PER_INTEGRATION}",
            name=f"hook{n}",
            path=path,
            types=frozenset({TYPES[n % len(TYPES)]}),
            capabilities=frozenset({capability(n)}),
            enabled=True,
            generation=1,
            **fields,
        )
        for n in range(count)
    ]
    store = MemoryStore()
    await store.commit(RegistryChange(0, 1, put_integrations=tuple(integrations), put_hooks=tuple(hooks)))
    async with Registry.open(store, RegistryRules(guard())) as registry:
        yield registry


def chain_of(
    registry: Registry, transport: Transport, protections: Protections | None = None, *, budget: float = 2.0
) -> HookChain:
    """The chain as the gateway composes it: signatures, guards and metrics, reuse, rows and shared calls on."""
    caller = HookCaller(transport, CallSettings())
    guard = HookGuard(caller, protections, gone=registry.report_gone)
    sending = Sending(guard, Reuse(clock=time.monotonic), RowBatches(), Coalescer(guard, caller))
    turn = HookTurn(guard, sending=sending)
    return HookChain(registry.present, guard, ChainSettings(budget=budget), GatewayMetrics(), turn=turn)
