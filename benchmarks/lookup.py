"""What finding the hooks of a query costs, with few and with many hooks registered."""

from __future__ import annotations

import gc
import time
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.registered import TYPES, capability, registry_of
from benchmarks.report import Report, aim

if TYPE_CHECKING:
    from gateway.registry.snapshot import Snapshot

SIZES: Final = (10, 1_000, 100_000)
QUICK_SIZES: Final = (10, 100, 1_000)
FLAT: Final = 2.0


def _batch_ns(snapshot: Snapshot, keys: list[tuple[str, str]], repeats: int) -> float:
    """Nanoseconds per look-up of `keys`, asked `repeats` times over."""
    select = snapshot.select
    gc.collect()
    before = time.perf_counter_ns()
    for _ in range(repeats):
        for query_type, wanted in keys:
            select(query_type, wanted, None)
    return (time.perf_counter_ns() - before) / (len(keys) * repeats)


async def lookup(*, quick: bool) -> Report:
    """Measure look-ups at each size, cold (first of its kind in a snapshot) and warm (asked before)."""
    rounds = 3 if quick else 15
    sizes = QUICK_SIZES if quick else SIZES
    cold: dict[int, list[float]] = {size: [] for size in sizes}
    warm: dict[int, list[float]] = {size: [] for size in sizes}
    snapshots: dict[int, Snapshot] = {}
    for size in sizes:
        async with registry_of(size) as registry:
            snapshots[size] = registry.snapshot
    for number in range(rounds):
        for size, snapshot in snapshots.items():
            # Ten keys at every size, spread over all hooks, others in each round.
            picks = [(number + size * n // 10) % size for n in range(10)]
            keys = [(TYPES[n % len(TYPES)], capability(n)) for n in picks]
            fresh = snapshot.changed(number + 2, {})
            cold[size].append(_batch_ns(fresh, keys, 1))
            warm[size].append(_batch_ns(fresh, keys, 100 if quick else 2_000))
    rows = [[f"{size:,}", f"{median(cold[size]):,.0f}", f"{median(warm[size]):,.0f}"] for size in sizes]
    spread_warm, spread_cold = (
        max(median(times[size]) for size in sizes) / min(median(times[size]) for size in sizes)
        for times in (warm, cold)
    )
    return Report(
        name="lookup",
        title="Finding the hooks of a query",
        how=(
            "`Snapshot.select` for queries that one hook serves, with few and with many hooks enabled. Cold is the "
            "first look-up of a type and capability in a snapshot, warm is any later one. Nanoseconds per look-up, "
            f"medians of {rounds} interleaved rounds."
        ),
        columns=("hooks", "cold, ns", "warm, ns"),
        rows=rows,
        aims=[
            aim(f"flat when warm: the slowest size costs {spread_warm:.2f} × the fastest", spread_warm, FLAT),
            aim(f"flat when cold: {spread_cold:.2f} ×", spread_cold, FLAT),
        ],
        not_measured=[
            "queries that many hooks serve: the cost of a cold look-up grows with the hooks that it finds",
            "the cost of making a new snapshot when something is changed",
            "memory",
        ],
    )
