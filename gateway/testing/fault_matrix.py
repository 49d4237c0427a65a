"""The matrix: each fault, under each failure policy, at each place of a chain, alone and many at once.

```python
async with FaultMatrix.open() as matrix:  # or open(server), with one in a process of its own
    cell = await matrix.run(fault, FailurePolicy.IGNORE, Place.MIDDLE, concurrency=50)
    assert cell.wrong == []
```

What must come out is computed from the catalogue by a naive model, which knows nothing of the gateway.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from gateway.config import Settings
from gateway.errors import HookFailed
from gateway.model import Envelope, FailurePolicy, Query, Reason, Result, Status
from gateway.registry import HookDraft, IntegrationDraft
from gateway.runtime import open_gateway
from gateway.testing.fault_server import FaultServer, Site
from gateway.transport.client import HttpTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway.model import Outcome
    from gateway.runtime import Gateway
    from gateway.testing.fault_process import FaultServerProcess
    from gateway.testing.fault_server import Expected, Fault

__all__ = ["BEFORE", "Cell", "FaultMatrix", "Place", "merged"]

BEFORE: Final = b'{"rows":[1,2]}'
_SHORT_MS: Final = 100  # the limit of a hook that is expected to reach it
_AMPLE_MS: Final = 10_000
_MAX_REPLY_BYTES: Final = 1_000_000
_SETTLE_SECONDS: Final = 10.0
_FAULT: Final = "fault"


class Place(StrEnum):
    """Where in a chain of three hooks the fault is."""

    FIRST = "first"
    MIDDLE = "middle"
    LAST = "last"


_NEIGHBOURS: Final = {
    Place.FIRST: ([], ["after-a", "after-b"]),
    Place.MIDDLE: (["before-a"], ["after-a"]),
    Place.LAST: (["before-a", "before-b"], []),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the matrix. `wrong` lists what differs from the model; `late_ms`: the most beyond the time limit."""

    wrong: tuple[str, ...]
    late_ms: float
    calls: int


class FaultMatrix:
    """A gateway, and a fault server in the same event loop or in a process of its own."""

    def __init__(self, gateway: Gateway, server: FaultServer | FaultServerProcess, transport: HttpTransport) -> None:
        self.server: Final = server
        self.transport: Final = transport
        self._gateway = gateway
        self._integrations: dict[str, str] = {}
        self._number = 0
        self._tasks = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, server: FaultServerProcess | None = None) -> AsyncIterator[FaultMatrix]:
        """Open both, unless there is a `server` already; nothing is left when it ends."""
        calls = {
            "allow_http": True,
            "allow": ["127.0.0.1"],
            "require_ownership": False,
            "budget_ms": 60_000,
            "max_reply_bytes": _MAX_REPLY_BYTES,
        }
        settings = Settings.model_validate(
            {"store": {"url": "memory:"}, "calls": calls, "breaker": {"enabled": False}},
        )
        async with AsyncExitStack() as stack:
            used: FaultServer | FaultServerProcess
            used = await stack.enter_async_context(FaultServer()) if server is None else server
            transport = HttpTransport(used.guard, resolver=used.resolver, ssl_context=used.client_tls)
            stack.push_async_callback(transport.aclose)
            gateway = await stack.enter_async_context(open_gateway(settings, transport=transport))
            matrix = cls(gateway, used, transport)
            await matrix._register()
            yield matrix

    async def run(self, fault: Fault, policy: FailurePolicy, place: Place, concurrency: int) -> Cell:
        """Run one cell: `concurrency` queries at once, then one more, through a chain with `fault` at `place`."""
        before, after = _NEIGHBOURS[place]
        names = [*before, _FAULT, *after]
        self._number += 1
        query_type = f"cell-{self._number}"
        limit = _SHORT_MS if fault.expected.reason is Reason.TIMEOUT else _AMPLE_MS
        kept = "signed" if fault.signed else fault.site.value
        hooks = [await self._hook("early", name, query_type) for name in before]
        hooks.append(await self._hook(kept, _FAULT, query_type, fault.path, limit, policy))
        hooks += [await self._hook("late", name, query_type) for name in after]
        self.server.reset()
        wrong: list[str] = []
        late = 0.0
        rounds = [concurrency, 1]
        if fault.first is not None:
            wrong += (await self._ask(query_type, names, fault.first, policy, 1, limit))[0]
        if fault.expected.reason is Reason.GONE:
            del rounds[1]  # the hook is disabled by then
        for count in rounds:
            found, beyond = await self._ask(query_type, names, fault.expected, policy, count, limit)
            wrong += found
            late = max(late, beyond)
        for hook_id in hooks:
            await self._gateway.registry.remove_hook(hook_id)
        wrong += await self.settled()
        return Cell(tuple(wrong), late, sum(rounds))

    async def settled(self) -> list[str]:
        """What is still open once the idle connections are closed: nothing, if all is well."""
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                while self.transport.open_connections > self.transport.idle_connections:  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0)
                self.server.close_idle()
                await self.server.no_connections()
                while self.transport.open_connections or len(asyncio.all_tasks()) > self._tasks:  # noqa: ASYNC110
                    await asyncio.sleep(0)
        except TimeoutError:
            known = self.transport.open_connections, self.transport.idle_connections
            tasks = len(asyncio.all_tasks()) - self._tasks
            return [f"{known[0]} connections, of them {known[1]} idle, and {tasks} tasks are left"]
        left = self.transport.buffered_bytes
        wrong = [f"{left} bytes of replies are still counted"] if left else []
        if self.server.reached_inside:
            wrong.append("the internal address was reached")
        return wrong

    async def _register(self) -> None:
        trusted = Envelope(failure_policy=FailurePolicy.FAIL)
        signing = Envelope(failure_policy=FailurePolicy.FAIL, signed_replies=True)
        registry = self._gateway.registry
        first = next(fault for fault in self.server.faults if fault.site is Site.HTTP)
        urls = {fault.site.value: self.server.base_url(fault) for fault in self.server.faults}
        for name, priority in {"early": 2, "late": 0, "signed": 1, **dict.fromkeys(urls, 1)}.items():
            envelope = signing if name == "signed" else trusted
            url = urls.get(name) or self.server.base_url(first)
            made = await registry.register(IntegrationDraft(name, url, priority=priority, envelope=envelope))
            self._integrations[name] = made.integration.id
            if name == "signed":
                self.server.secret = made.secret
        self._tasks = len(asyncio.all_tasks())

    async def _hook(
        self,
        integration: str,
        name: str,
        query_type: str,
        path: str | None = None,
        timeout_ms: int = _AMPLE_MS,
        policy: FailurePolicy = FailurePolicy.FAIL,
    ) -> str:
        draft = HookDraft(
            f"{name}.{query_type}",
            path or f"/add/{name}",
            types=frozenset({query_type}),
            timeout_ms=timeout_ms,
            failure_policy=policy,
        )
        registry = self._gateway.registry
        hook = await registry.create_hook(self._integrations[integration], draft)
        await registry.enable(hook.id)
        return hook.id

    async def _ask(
        self, query_type: str, names: Sequence[str], expected: Expected, policy: FailurePolicy, count: int, limit: int
    ) -> tuple[list[str], float]:
        """Ask `count` times at once. What is wrong, and the most milliseconds that the fault's hook took too long."""
        model = _model(names, expected, policy)
        wrong: list[str] = []
        late = 0.0
        for found, outcomes in await asyncio.gather(*(self._one(query_type) for _ in range(count))):
            told = (found, [(each.hook.partition(".")[0], each.status, each.reason) for each in outcomes])
            if told != model:
                wrong.append(f"{told} is not {model}: {[each.detail for each in outcomes]}")
            late = max([late, *(each.milliseconds - limit for each in outcomes if each.hook.startswith(_FAULT))])
        return wrong, late

    async def _one(self, query_type: str) -> tuple[Any, tuple[Outcome, ...]]:
        try:
            answer = await self._gateway.chain.run(Query(query_type), Result(BEFORE))
        except HookFailed as error:
            return (error.hook.partition(".")[0], error.reason, error.status), error.outcomes
        return answer.result.body, answer.outcomes


def _model(names: Sequence[str], expected: Expected, policy: FailurePolicy) -> tuple[Any, list[Any]]:
    """What must come out: the bytes, or the hook, reason and status of the failure; and the outcomes in order."""
    result = BEFORE
    told: list[Any] = []
    for name in names:
        if name != _FAULT:
            result = merged(result, name)
            told.append((name, Status.APPLIED, None))
            continue
        told.append((name, expected.status, expected.reason))
        if expected.status is Status.FAILED and policy is FailurePolicy.FAIL:
            status = 504 if expected.reason is Reason.TIMEOUT else 502
            return (name, expected.reason, status), told
        if expected.result is not None:
            result = expected.result
    return result, told


class _Number(str):
    """A number as it was written."""

    __slots__ = ()


def merged(body: bytes, name: str) -> bytes:
    """The document `body` with the member `name` set to `true`, by the letter of RFC 7396, numbers as they were."""
    value = json.loads(body, parse_int=_Number, parse_float=_Number)
    document = value if isinstance(value, dict) else {}
    document[name] = True
    return _written(document).encode()


def _written(value: Any) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{_written(key)}:{_written(member)}" for key, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
