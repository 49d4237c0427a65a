"""What it gives to use replies again, and what it costs where none can be."""

from __future__ import annotations

import random
from contextlib import AsyncExitStack
from itertools import count
from typing import TYPE_CHECKING, Final

from benchmarks.documents import json_document
from benchmarks.registered import TYPES, capability, chain_of, guard, registry_of
from benchmarks.report import Report, aim
from benchmarks.rounds import in_turns
from benchmarks.working_server import working_server
from gateway.model import Query, Result, Status
from gateway.transport.client import HttpTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.rounds import Call

AIM: Final = 0.5
CONCURRENCY: Final = 16
SIZES: Final = {"1 KB": 1_024, "100 KB": 102_400}
QUERIES: Final = 1_000
WELL: Final = {Status.APPLIED, Status.CACHED}
OFF, ON = "without", "with"


def _zipf() -> Iterator[int]:
    """Which of the queries comes next: the n-th most frequent one 1/n as often as the first."""
    drawn = random.Random(7)  # the same for all contestants
    weights = [1 / (n + 1) for n in range(QUERIES)]
    while True:
        yield from drawn.choices(range(QUERIES), weights, k=1_000)


async def _contestant(stack: AsyncExitStack, port: int, size: int, mix: str, *, cache: bool) -> Call:
    registry = await stack.enter_async_context(
        registry_of(1, port=port, path="/note/fresh", timeout_ms=10_000, cache=cache)
    )
    transport = HttpTransport(guard())
    stack.push_async_callback(transport.aclose)
    chain = chain_of(registry, transport, budget=10.0)
    result = Result(json_document(size, "before"))
    numbers = _zipf() if mix == "Zipf" else count()

    async def call() -> None:
        answer = await chain.run(Query(TYPES[0], capability(0), params={"number": next(numbers)}), result)
        assert answer.outcomes[0].status in WELL, answer.outcomes

    return call


async def cache(*, quick: bool) -> Report:
    """Measure a mix of frequent and rare queries, and one in which no query comes twice."""
    rounds, calls = (1, 64) if quick else (7, 1_500)
    lines: list[list[str]] = []
    worst = 0.0
    with working_server() as port:
        for name, size in SIZES.items():
            for mix, told in (("Zipf", f"{QUERIES:,} queries, Zipf"), ("new", "no query twice")):
                async with AsyncExitStack() as stack:
                    contestants = {
                        OFF: await _contestant(stack, port, size, mix, cache=False),
                        ON: await _contestant(stack, port, size, mix, cache=True),
                    }
                    some = calls if size < 10_000 else calls // 5
                    found = await in_turns(contestants, rounds=rounds, calls=some, concurrency=CONCURRENCY)
                off, on = found[OFF], found[ON]
                if mix == "Zipf":
                    worst = max(worst, on.cpu / off.cpu)
                lines.append(
                    [
                        f"{name}, {told}",
                        *(f"{each:,.0f}" for each in (off.cpu, on.cpu)),
                        f"{on.cpu / off.cpu:.2f}",
                        *(f"{each:,.0f}" for each in (off.wall, on.wall)),
                        f"{on.wall / off.wall:.2f}",
                        *(f"{each:,.0f}" for each in (off.latency, on.latency)),
                    ]
                )
    return Report(
        name="cache",
        title="Replies used again",
        how=(
            f"Queries to one hook whose replies may be used again, {CONCURRENCY} at a time, with the hook's `cache` on "
            "and off. In one mix the n-th most frequent query comes 1/n as often as the first; in the other no query "
            "comes twice, so that nothing is gained. Microseconds per query: CPU of the gateway, wall time over "
            f"all, and the median latency of a query. Medians of {rounds} interleaved rounds "
            "after one that fills the cache."
        ),
        columns=(
            "result, mix",
            "CPU without",
            "CPU with",
            "CPU with ÷ without",
            "wall without",
            "wall with",
            "wall with ÷ without",
            "latency without",
            "latency with",
        ),
        rows=lines,
        aims=[aim(f"CPU for the mix with frequent queries at worst {worst:.2f} × without", worst, AIM)],
        not_measured=["a hook that takes longer than a fraction of a millisecond, where a hit saves all of that"],
    )
