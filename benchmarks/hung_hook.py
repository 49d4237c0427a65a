"""What one hook that hangs costs the queries of the others: the same load, with and without it."""

from __future__ import annotations

import asyncio
import gc
from contextlib import AsyncExitStack
from statistics import median, quantiles
from time import perf_counter
from typing import TYPE_CHECKING, Final

from benchmarks.documents import json_document
from benchmarks.hook_server import hook_server
from benchmarks.registered import TYPES, capability, chain_of, guard, registry_of
from benchmarks.report import Report, aim
from gateway.model import Query, Result, Status
from gateway.pipeline import Protections, ProtectionSettings
from gateway.resilience.breaker import BreakerSettings
from gateway.transport.client import HttpTransport

if TYPE_CHECKING:
    from gateway.pipeline import HookChain

HOOKS: Final = 50
WORKERS: Final = 8
THINK: Final = 0.004  # seconds between a worker's queries: busy, but not so busy that they wait for each other
PACE: Final = 0.01  # seconds between two queries for the hook that hangs
AIM: Final = 1.1
ABSENT, HEALTHY, HANGS, UNPROTECTED = "not there", "answers", "hangs", "hangs, no breaker"


def _query(number: int) -> Query:
    return Query(type=TYPES[number % len(TYPES)], capability=capability(number))


class _Contestant:
    """A gateway with `HOOKS` hooks, the last of which answers or hangs."""

    def __init__(self, chain: HookChain, protections: Protections, *, asked: bool) -> None:
        self.chain = chain
        self.asked = asked
        self._protections = protections
        self.result = Result(json_document(1_024, "before"))

    async def round(self, seconds: float) -> list[float]:
        """Latencies in seconds of the queries of healthy hooks, while others go to the last one at a steady pace."""
        last = self._protections.present(f"hk_{HOOKS - 1}")
        if last is not None:
            last.breaker.reset()  # each round meets the trouble anew
        time = asyncio.get_running_loop().time
        until = time() + seconds
        latencies: list[float] = []
        gc.collect()

        async def healthy(worker: int) -> None:
            number = worker
            while time() < until:
                number = (number + WORKERS) % (HOOKS - 1)
                query = _query(number)
                before = perf_counter()
                answer = await self.chain.run(query, self.result)
                latencies.append(perf_counter() - before)
                assert answer.outcomes[0].status is Status.UNCHANGED, answer.outcomes
                await asyncio.sleep(THINK)

        async def steadily() -> None:
            async with asyncio.TaskGroup() as group:
                while self.asked and time() < until:
                    group.create_task(self.chain.run(_query(HOOKS - 1), self.result))
                    await asyncio.sleep(PACE)

        await asyncio.gather(steadily(), *(healthy(worker) for worker in range(WORKERS)))
        return latencies


async def _contestant(stack: AsyncExitStack, port: int, what: str) -> _Contestant:
    registry = await stack.enter_async_context(registry_of(HOOKS, port=port))
    if what in {HANGS, UNPROTECTED}:
        await registry.change_hook(f"hk_{HOOKS - 1}", {"path": "/hang"})
    transport = HttpTransport(guard())
    stack.push_async_callback(transport.aclose)
    settings = ProtectionSettings(breaker=BreakerSettings(enabled=what != UNPROTECTED))
    protections = Protections(settings, snapshot=lambda: registry.snapshot)
    return _Contestant(chain_of(registry, transport, protections), protections, asked=what != ABSENT)


def _percentiles(latencies: list[float]) -> tuple[float, float]:
    """The median and the 99th percentile, in milliseconds."""
    return median(latencies) * 1e3, quantiles(latencies, n=100)[98] * 1e3


async def hung_hook(*, quick: bool) -> Report:
    """Measure the latency of queries to healthy hooks while queries to one more hook come steadily."""
    rounds, seconds = (2, 0.3) if quick else (15, 2.0)
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in (ABSENT, HEALTHY, HANGS, UNPROTECTED)}
    async with AsyncExitStack() as stack:
        port = stack.enter_context(hook_server())
        contestants = {name: await _contestant(stack, port, name) for name in seen}
        for number in range(rounds + 1):
            for name, contestant in contestants.items():
                figures = _percentiles(await contestant.round(seconds))
                if number:
                    seen[name].append(figures)
    found = {name: [median(column) for column in zip(*rows, strict=True)] for name, rows in seen.items()}
    # Per round, beside its neighbour: a machine that was slow for a minute was so for both.
    ratio = median(mine[1] / base[1] for mine, base in zip(seen[HANGS], seen[ABSENT], strict=True))
    rows = [
        [name, f"{p50:.2f}", f"{p99:.2f}", f"{p50 / found[ABSENT][0]:.2f}", f"{p99 / found[ABSENT][1]:.2f}"]
        for name, (p50, p99) in found.items()
    ]
    return Report(
        name="hung-hook",
        title="One hook that hangs among many",
        how=(
            f"{WORKERS} callers query the healthy ones of {HOOKS} hooks, with a pause of {THINK * 1e3:.0f} ms after "
            f"each answer; {1 / PACE:.0f} queries a second go to the last hook, where it is there: it answers, or "
            "hangs until its limit of 1 s. "
            f"Latency of the queries to healthy hooks in milliseconds, medians of {rounds} interleaved rounds of "
            f"{seconds:g} s; each round begins with the breaker closed."
        ),
        columns=("the last hook", "p50", "p99", "p50 ÷ not there", "p99 ÷ not there"),
        rows=rows,
        aims=[aim(f"p99 of the healthy {ratio:.2f} × that of the same round without it", ratio, AIM)],
        not_measured=[
            "queries that go through the hook that hangs: until its breaker opens, they take its limit",
            "a gateway at the limit of its processor, where any further work is felt",
        ],
    )
