"""What it gives to call a row-wise hook in batches, instead of once with the whole result."""

from __future__ import annotations

import gc
import time
from contextlib import AsyncExitStack
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import orjson

from benchmarks.registered import TYPES, capability, chain_of, guard, registry_of
from benchmarks.report import Report, aim
from benchmarks.working_server import working_server
from gateway.model import Granularity, Query, Result, Status
from gateway.transport.client import HttpTransport

if TYPE_CHECKING:
    from gateway.pipeline import HookChain

ROWS: Final = 20_000
AIM: Final = 0.8
BATCHES: Final = (500, 1_000, 5_000)
KINDS: Final = {"/convert": "computes", "/convert/10": "takes 10 µs more per row, side by side"}


def table(rows: int) -> Result:
    """A result with so many rows of eight values."""
    return Result(
        orjson.dumps(
            {
                "columns": ["id", "code", "name", "price", "open", "lat", "lon", "note"],
                "rows": [[n, f"K{n}", f"name {n}", n + 0.25, n % 2 == 0, 1.5, -0.5, None] for n in range(rows)],
            }
        )
    )


async def _chain(stack: AsyncExitStack, port: int, path: str, batch: int | None) -> HookChain:
    fields: dict[str, Any] = (
        {} if batch is None else {"granularity": Granularity.ROWS, "rows_at": "/rows", "batch_rows": batch}
    )
    registry = await stack.enter_async_context(registry_of(1, port=port, path=path, timeout_ms=10_000, **fields))
    transport = HttpTransport(guard())
    stack.push_async_callback(transport.aclose)
    return chain_of(registry, transport, budget=10.0)


async def _once(chain: HookChain, result: Result) -> tuple[float, float]:
    """Seconds of wall time and of this process's CPU for one query."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    answer = await chain.run(Query(TYPES[0], capability(0)), result)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert answer.outcomes[0].status is Status.APPLIED, answer.outcomes
    assert not answer.outcomes[0].batches_failed, answer.outcomes
    return wall, cpu


async def rows(*, quick: bool) -> Report:
    """Measure one query at a time: the whole result in one call, and batches of several sizes."""
    rounds, count = (1, 2_000) if quick else (9, ROWS)
    result = table(count)
    lines: list[list[str]] = []
    best = 1.0
    with working_server() as port:
        for path, kind in KINDS.items():
            async with AsyncExitStack() as stack:
                chains = {size: await _chain(stack, port, path, size) for size in (None, *BATCHES)}
                seen: dict[int | None, list[tuple[float, float]]] = {size: [] for size in chains}
                for number in range(rounds + 1):
                    for size, chain in chains.items():
                        figures = await _once(chain, result)
                        if number:
                            seen[size].append(figures)
            whole = seen[None]
            for size, mine in seen.items():
                # Per round, beside its neighbour: a machine that was slow for a minute was so for both.
                ratio = median(each[0] / base[0] for each, base in zip(mine, whole, strict=True))
                if path != "/convert":
                    best = min(best, ratio)
                lines.append(
                    [
                        f"{kind}: {'one call' if size is None else f'batches of {size:,}'}",
                        f"{median(each[0] for each in mine) * 1e3:,.0f}",
                        f"{median(each[1] for each in mine) * 1e3:,.0f}",
                        f"{ratio:.2f}",
                    ]
                )
    return Report(
        name="rows",
        title="A row-wise hook: batches against one call",
        how=(
            f"One query at a time, with a result of {count:,} rows of eight values ({len(result.body) / 1e6:.1f} MB), "
            "of which the hook changes one value in each row and answers with the whole document. Up to eight batches "
            "at once. One hook computes, in a single process; the other takes 10 µs more for each row in which it "
            "answers others, like a service with many workers. Milliseconds per query, medians of "
            f"{rounds} interleaved rounds."
        ),
        columns=("the hook, and how it is called", "wall", "CPU of the gateway", "wall ÷ one call"),
        rows=lines,
        aims=[aim(f"wall time {best:.2f} × one call, for the hook that works side by side", best, AIM)],
        not_measured=[
            "several queries at once, whose batches share the hook's places",
            "hooks on several machines, where batches that only compute would be side by side, too",
        ],
    )
