"""What publishing and delivering cost on SQLite: events and deliveries per second of one core, with a steady memory."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.hook_server import hook_server
from benchmarks.report import Report
from gateway.model import SigningSecret
from gateway.model.subscription import Subscription
from gateway.observe.metrics import GatewayMetrics
from gateway.relay import NewEvent, NotificationSettings, Publisher, RelaySettings, relaying
from gateway.stores.sqlite_events import open_sqlite_events
from gateway.transport.address import AddressGuard
from gateway.transport.client import HttpTransport
from gateway.wire.signature import new_secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.stores import EventStore

DATA: Final = {"order": 4711, "total": 99.5, "lines": [{"sku": "A-1", "quantity": 2}] * 8}
ENDPOINTS: Final = 10
FLAT_MIB: Final = 16.0
_LOOK_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class _Cost:
    """How many were done in which time, wall and processor, and with how much memory in the middle and at the end."""

    count: int
    seconds: float
    cpu: float
    middle_mib: float
    end_mib: float

    def row(self, what: str) -> list[str]:
        return [
            what,
            f"{self.count:,}",
            f"{self.count / self.seconds:,.0f}",
            f"{self.count / self.cpu:,.0f}",
            f"{self.end_mib:.1f}",
        ]


def _resident_mib() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


class _Watch:
    """Takes the time from its making on."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        self.middle = 0.0

    def cost(self, count: int) -> _Cost:
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return _Cost(count, wall, cpu, self.middle, _resident_mib())


async def _publish_singly(publisher: Publisher, count: int, at_once: int) -> _Cost:
    """`at_once` tasks publish one event after another, as requests to the API do."""
    left = count
    watch = _Watch()

    async def some() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            if left == count // 2:
                watch.middle = _resident_mib()
            await publisher.publish("order.created", DATA)

    await asyncio.gather(*(some() for _ in range(at_once)))
    return watch.cost(count)


async def _publish_bulk(publisher: Publisher, count: int, size: int) -> _Cost:
    watch = _Watch()
    for number in range(count // size):
        if number == count // size // 2:
            watch.middle = _resident_mib()
        await publisher.publish_many([NewEvent("order.created", DATA)] * size)
    return watch.cost(count // size * size)


async def _deliver(store: EventStore, publisher: Publisher) -> _Cost:
    """Deliver all that waits; the receiver is another process."""
    settings = NotificationSettings(relay=RelaySettings(concurrency=256))
    total = await _waiting(store)
    watch = _Watch()
    transport = HttpTransport(AddressGuard(("127.0.0.0/8",), allow_http=True))
    try:
        async with relaying(store, transport, publisher, settings, GatewayMetrics().relay, now=time.time):
            while left := await _waiting(store):
                if not watch.middle and left <= total // 2:
                    watch.middle = _resident_mib()
                await asyncio.sleep(_LOOK_SECONDS)
            return watch.cost(total)
    finally:
        await transport.aclose()


async def _waiting(store: EventStore) -> int:
    return sum(each.waiting + each.claimed for each in await store.backlog())


@asynccontextmanager
async def _store(port: int, *, endpoints: int) -> AsyncIterator[EventStore]:
    with tempfile.TemporaryDirectory() as folder:
        async with open_sqlite_events(Path(folder) / "events.db") as store:
            for number in range(endpoints):
                url = f"http://127.0.0.1:{port}/204"
                secrets = (SigningSecret(new_secret(), 0.0),)
                await store.add_subscription(
                    Subscription(f"sub_{number:02}", None, f"n{number}", ("order.*",), url, secrets=secrets)
                )
            yield store


async def relay(*, quick: bool) -> Report:
    """Publish one by one, many at once and in bulk; then deliver what has piled up."""
    singly, bulk, backlog = (200, 400, 300) if quick else (5_000, 20_000, 20_000)
    rows, deliveries = [], []
    with hook_server() as port:
        for at_once in (1, 100):
            async with _store(port, endpoints=1) as store:
                cost = await _publish_singly(Publisher(store), singly, at_once)
                rows.append(cost.row(f"events published, {at_once} at once, 1 subscription"))
        async with _store(port, endpoints=1) as store:
            rows.append((await _publish_bulk(Publisher(store), bulk, 100)).row("events published, 100 in one call"))
        for endpoints in (1, ENDPOINTS):
            async with _store(port, endpoints=endpoints) as store:
                publisher = Publisher(store)
                await _publish_bulk(publisher, backlog // endpoints, 10)
                cost = await _deliver(store, publisher)
                deliveries.append(cost)
                rows.append(cost.row(f"deliveries, {endpoints} endpoint{'s' * (endpoints > 1)}"))
    growth = max(cost.end_mib - cost.middle_mib for cost in deliveries)
    met = "met" if growth <= FLAT_MIB else "not met"
    return Report(
        name="relay",
        title="Publishing and delivering on SQLite",
        how="SQLite with `synchronous=FULL`; each answer of `publish` and each record of an attempt waited for "
        "the disk. Deliveries are signed HTTP requests over loopback to a receiver in another process, 10 at once for "
        "each endpoint; the relay claims, sends and records them. Per core: per second of processor time of this "
        "process, all threads together.",
        columns=("what", "how many", "per second", "per second and core", "resident MiB at the end"),
        rows=rows,
        aims=[
            f"from the middle to the end of delivering, memory grew by {growth:.1f} MiB; at most {FLAT_MIB:.0f}: {met}"
        ],
        not_measured=[
            "another disk: the time that a sync takes is most of what publishing singly takes",
            "TLS, DNS and endpoints that take their time",
            "several relays on one file: they take turns at writing",
            "filters in CEL",
        ],
    )
