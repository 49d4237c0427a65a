"""What the chain costs a query that no hook serves."""

from __future__ import annotations

import gc
import time
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.documents import json_document
from benchmarks.registered import chain_of, guard, registry_of
from benchmarks.report import Report, aim
from gateway.model import Query, Result
from gateway.transport.client import HttpTransport

if TYPE_CHECKING:
    from gateway.pipeline import Answer, HookChain

SIZES: Final = (0, 100, 10_000)
AIM_NS: Final = 2_000


class NoChain:
    """What the same call costs in Python when it does nothing: the price of awaiting a method."""

    async def run(self, query: Query, result: Result) -> Answer | None:
        """Return nothing."""


async def _batch_ns(chain: HookChain | NoChain, query: Query, result: Result, count: int) -> float:
    run = chain.run
    gc.collect()
    before = time.process_time_ns()
    for _ in range(count):
        await run(query, result)
    return (time.process_time_ns() - before) / count


async def no_hook(*, quick: bool) -> Report:
    """Measure `HookChain.run` where nothing matches, with hooks for other queries registered or not."""
    rounds, count = (3, 2_000) if quick else (15, 100_000)
    query = Query(type="search", capability="nobody-serves-this", tenant="acme")
    result = Result(json_document(1_024, "before"))
    contestants: dict[str, HookChain | NoChain] = {"an empty async method": NoChain()}
    for size in SIZES:
        async with registry_of(size) as registry:
            transport = HttpTransport(guard())
            contestants[f"the chain, {size:,} hooks for other queries"] = chain_of(registry, transport)
    seen: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, chain in contestants.items():
            nanoseconds = await _batch_ns(chain, query, result, count)
            if number:
                seen[name].append(nanoseconds)
    slowest = max(median(times) for name, times in seen.items() if name.startswith("the chain"))
    return Report(
        name="no-hook",
        title="A query that no hook serves",
        how=(
            "`HookChain.run` for a query that no enabled hook serves. Nanoseconds of CPU per query, "
            f"medians of {rounds} interleaved rounds of {count:,} queries."
        ),
        columns=("contestant", "CPU ns per query"),
        rows=[[name, f"{median(times):,.0f}"] for name, times in seen.items()],
        aims=[aim(f"{slowest:,.0f} ns at worst", slowest, AIM_NS)],
        not_measured=[
            "the data-query phase and the steps before and after it",
            "HTTP on the caller's side (middleware, standalone gateway)",
        ],
    )
