"""What it gives to let the results of concurrent queries share a call."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from benchmarks.documents import json_document
from benchmarks.registered import TYPES, capability, chain_of, guard, registry_of
from benchmarks.report import Report, aim
from benchmarks.rounds import in_turns
from benchmarks.working_server import working_server
from gateway.model import Query, Result, Status
from gateway.transport.client import HttpTransport

if TYPE_CHECKING:
    from benchmarks.rounds import Call

AIM: Final = 0.8
CONCURRENCY: Final = (1, 8, 64)
SIZES: Final = {"1 KB": 1_024, "10 KB": 10_240}
ALONE, TOGETHER = "a call each", "shared calls"


async def _contestant(stack: AsyncExitStack, port: int, size: int, *, coalesce: bool) -> Call:
    registry = await stack.enter_async_context(
        registry_of(1, port=port, path="/note", timeout_ms=10_000, coalesce=coalesce)
    )
    transport = HttpTransport(guard())
    stack.push_async_callback(transport.aclose)
    chain = chain_of(registry, transport, budget=10.0)
    result = Result(json_document(size, "before"))

    async def call() -> None:
        query = Query(TYPES[0], capability(0), params={"country": "IS"}, context={"user": "u-17"})
        answer = await chain.run(query, result)
        assert answer.outcomes[0].status is Status.APPLIED, answer.outcomes

    return call


async def coalesce(*, quick: bool) -> Report:
    """Measure both ways at two sizes of result and three concurrencies."""
    rounds, calls = (1, 64) if quick else (7, 1_000)
    lines: list[list[str]] = []
    worst = 0.0
    with working_server() as port:
        for name, size in SIZES.items():
            for concurrency in CONCURRENCY:
                async with AsyncExitStack() as stack:
                    contestants = {
                        ALONE: await _contestant(stack, port, size, coalesce=False),
                        TOGETHER: await _contestant(stack, port, size, coalesce=True),
                    }
                    found = await in_turns(contestants, rounds=rounds, calls=calls, concurrency=concurrency)
                alone, together = found[ALONE], found[TOGETHER]
                if concurrency == max(CONCURRENCY):
                    worst = max(worst, together.cpu / alone.cpu)
                lines.append(
                    [
                        f"{name}, {concurrency} at a time",
                        *(f"{each:,.0f}" for each in (alone.cpu, together.cpu)),
                        f"{together.cpu / alone.cpu:.2f}",
                        *(f"{each:,.0f}" for each in (alone.wall, together.wall)),
                        f"{together.wall / alone.wall:.2f}",
                        *(f"{each:,.0f}" for each in (alone.latency, together.latency)),
                    ]
                )
    return Report(
        name="coalesce",
        title="Several results in one call",
        how=(
            "Queries to one hook that answers with a small merge patch, with `coalesce` (a window of 2 ms, up to 64 "
            "results a call) and without; the hook is a single process. Microseconds per query: CPU of the gateway, "
            f"wall time over all, and the median latency of a query. Medians of {rounds} interleaved rounds."
        ),
        columns=(
            "result, concurrency",
            "CPU, a call each",
            "CPU, shared",
            "CPU shared ÷ each",
            "wall, a call each",
            "wall, shared",
            "wall shared ÷ each",
            "latency, a call each",
            "latency, shared",
        ),
        rows=lines,
        aims=[aim(f"CPU at {max(CONCURRENCY)} at a time at worst {worst:.2f} × a call each", worst, AIM)],
        not_measured=[
            "networks slower than loopback, where each call that is not made saves more",
            "hooks whose work can be done for many results at once",
        ],
    )
