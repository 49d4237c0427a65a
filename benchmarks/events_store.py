"""What the event store does on SQLite: publishing, claiming and finishing, and whether a long backlog slows it down."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.report import Report, aim
from gateway.model.delivery import Attempt, DeliveryState
from gateway.model.event import Event
from gateway.model.ids import event_id
from gateway.model.subscription import Subscription
from gateway.stores.events import Completion, Publication
from gateway.stores.sqlite_events import open_sqlite_events

if TYPE_CHECKING:
    from gateway.stores.events import Claimed
    from gateway.stores.sqlite_events import SqliteEventStore

PRODUCERS: Final = (1, 16, 64)
BULK: Final = 100
BATCH: Final = 32
BACKLOGS: Final = (1_000, 1_000_000)
QUICK_BACKLOGS: Final = (200, 5_000)
SUBSCRIPTIONS: Final = 10
FLAT: Final = 2.0
MOST_MIB: Final = 64.0
DATA: Final = b'{"order":12345,"rows":[1,2,3],"note":"something of an ordinary length, as events have it"}'


def _publication(*to: str) -> Publication:
    return Publication(Event(event_id(), "order.placed", DATA, time.time()), to)


async def _subscribed(store: SqliteEventStore, count: int) -> tuple[list[str], int]:
    keys = [f"sub_{n}" for n in range(count)]
    for key in keys:
        await store.add_subscription(
            Subscription(key, None, key, ("*",), "https://hooks.example", max_concurrency=1_000_000)
        )
    return keys, (await store.subscription_changes(0)).version


async def _published_per_second(
    store: SqliteEventStore, version: int, producers: int, bulk: int, seconds: float
) -> float:
    until, count = time.perf_counter() + seconds, 0

    async def produce() -> None:
        nonlocal count
        while time.perf_counter() < until:
            made = [_publication("sub_0") for _ in range(bulk)]
            await store.publish(made, version=version, now=time.time())
            count += bulk

    before = time.perf_counter()
    await asyncio.gather(*(produce() for _ in range(producers)))
    return count / (time.perf_counter() - before)


def _delivered(claimed: Claimed, now: float) -> Completion:
    return Completion(claimed.delivery.id, claimed.token, Attempt(now, 1.0, 200), DeliveryState.DELIVERED)


async def _delivered_per_second(store: SqliteEventStore, workers: int, seconds: float) -> float:
    until, count = time.perf_counter() + seconds, 0

    async def work() -> None:
        nonlocal count
        while time.perf_counter() < until:
            now = time.time()
            claims = await store.claim(now=now, lease_until=now + 60, limit=BATCH)
            if not claims:
                return
            await store.finish([_delivered(each, now) for each in claims], now=now)
            count += len(claims)

    before = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(workers)))
    return count / (time.perf_counter() - before)


async def _fill(store: SqliteEventStore, keys: list[str], version: int, have: int, want: int) -> None:
    """Let `want` deliveries wait where `have` do."""
    while have < want:
        count = min(500, (want - have) // len(keys) or 1)
        await store.publish([_publication(*keys) for _ in range(count)], version=version, now=time.time())
        have += count * len(keys)


async def _claim_and_finish_ms(
    store: SqliteEventStore, keys: list[str], version: int, rounds: int
) -> tuple[float, float]:
    """Medians, while the backlog stays as long as it is."""
    claims_ms, finish_ms = [], []
    for _ in range(rounds):
        gc.collect()
        now, before = time.time(), time.perf_counter()
        claims = await store.claim(now=now, lease_until=now + 60, limit=BATCH)
        between = time.perf_counter()
        await store.finish([_delivered(each, now) for each in claims], now=now)
        claims_ms.append((between - before) * 1e3)
        finish_ms.append((time.perf_counter() - between) * 1e3)
        await _fill(store, keys, version, 0, len(claims))
    return median(claims_ms), median(finish_ms)


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


async def events_store(*, quick: bool) -> Report:
    """Measure throughput, and latency with a short and with a long backlog."""
    seconds, rounds = (0.3, 10) if quick else (5.0, 200)
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_FOLDER")) as folder:
        async with open_sqlite_events(Path(folder) / "throughput.db") as store:
            _, version = await _subscribed(store, 1)
            for producers in PRODUCERS:
                rate = await _published_per_second(store, version, producers, 1, seconds)
                rows.append([f"events published per second, {producers} at a time", f"{rate:,.0f}"])
            rate = await _published_per_second(store, version, 4, BULK, seconds)
            rows.append([f"events published per second, 4 times {BULK} at a time", f"{rate:,.0f}"])
            for workers in (1, 4):
                rate = await _delivered_per_second(store, workers, seconds)
                rows.append(
                    [f"deliveries claimed and finished per second, {workers} × {BATCH} at a time", f"{rate:,.0f}"]
                )
        latencies, sizes = [], []
        backlogs = QUICK_BACKLOGS if quick else BACKLOGS
        async with open_sqlite_events(Path(folder) / "backlog.db") as store:
            keys, version = await _subscribed(store, SUBSCRIPTIONS)
            have = 0
            for want in backlogs:
                before = time.perf_counter()
                await _fill(store, keys, version, have, want)
                filled = (want - have) / (time.perf_counter() - before)
                claims_ms, finish_ms = await _claim_and_finish_ms(store, keys, version, rounds)
                (*found,) = await store.backlog()
                have = sum(each.waiting for each in found)
                latencies.append(claims_ms)
                sizes.append(_resident_mib())
                rows += [
                    [f"claim of {BATCH} with {want:,} waiting, ms", f"{claims_ms:.2f}"],
                    [f"finish of {BATCH} with {want:,} waiting, ms", f"{finish_ms:.2f}"],
                    [f"resident memory with {want:,} waiting, MiB", f"{sizes[-1]:.0f}"],
                    [f"deliveries stored per second on the way to {want:,}", f"{filled:,.0f}"],
                ]
    ratio, growth = latencies[-1] / latencies[0], sizes[-1] - sizes[0]
    return Report(
        name="events-store",
        title="The event store on SQLite",
        how=(
            "One process, events of 90 bytes, every commit synced to the disk (WAL, `synchronous=FULL`). Throughput "
            f"with one subscription, {seconds:g} s each. The backlog is spread over {SUBSCRIPTIONS} subscriptions; "
            f"latencies are medians of {rounds} claims, each followed by its finish."
        ),
        columns=("what", "figure"),
        rows=rows,
        aims=[
            aim(f"claims do not slow down: with {backlogs[-1]:,} waiting {ratio:.2f} × the time", ratio, FLAT),
            aim(f"memory stays flat: {growth:+.0f} MiB", growth, MOST_MIB),
        ],
        not_measured=[
            "HTTP: what relays do between claiming and finishing",
            "several processes on one file",
            "a disk slower or faster than this machine's: each transaction waits for one sync",
        ],
    )
