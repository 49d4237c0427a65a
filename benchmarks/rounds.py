"""Measuring contestants in turns: CPU and wall time of whole rounds, latency of single calls."""

from __future__ import annotations

import asyncio
import gc
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Call = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians over the rounds, in microseconds per call: CPU of this process, latency of a call, wall time."""

    cpu: float
    latency: float
    wall: float


async def _one_round(call: Call, calls: int, concurrency: int) -> tuple[float, float, float]:
    latencies: list[float] = []

    async def worker(count: int) -> None:
        for _ in range(count):
            before = time.perf_counter()
            await call()
            latencies.append(time.perf_counter() - before)

    share = max(1, calls // concurrency)
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker(share) for _ in range(concurrency)))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    done = share * concurrency
    return cpu / done * 1e6, median(latencies) * 1e6, wall / done * 1e6


async def in_turns(contestants: Mapping[str, Call], *, rounds: int, calls: int, concurrency: int) -> dict[str, Figures]:
    """Let the contestants take turns (A B C A B C …) after one round each that does not count."""
    seen: dict[str, list[tuple[float, float, float]]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, call in contestants.items():
            figures = await _one_round(call, calls, concurrency)
            if number:
                seen[name].append(figures)
    return {name: Figures(*(median(column) for column in zip(*rows, strict=True))) for name, rows in seen.items()}
