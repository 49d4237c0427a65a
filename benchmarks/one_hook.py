"""What one call to one hook costs: the chain, the floor, and a general client."""

from __future__ import annotations

import asyncio
import hmac
import math
import time
import timeit
from functools import partial
from typing import TYPE_CHECKING, Final

import aiohttp
import orjson

from benchmarks.documents import json_document
from benchmarks.floor_client import FloorClient
from benchmarks.hook_server import hook_server
from benchmarks.registered import TYPES, capability, chain_of, guard, registry_of
from benchmarks.report import Report, aim
from benchmarks.rounds import in_turns
from gateway.model import Query, Result, Status
from gateway.model.ids import message_id
from gateway.pipeline import CallSettings
from gateway.transport import Limits, Response, parse_endpoint
from gateway.transport.client import HttpTransport
from gateway.wire import document
from gateway.wire.cloudevents import STRUCTURED_TYPE, QueryEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.rounds import Call, Figures
    from gateway.transport import Endpoint

SIZES: Final = {"1 KB": 1_024, "100 KB": 102_400}
CONCURRENCY: Final = (1, 16, 64)
CHAIN, TRANSPORT, FLOOR, AIOHTTP = "chain", "transport", "floor", "aiohttp"
HEADERS: Final = (("content-type", STRUCTURED_TYPE),)
LIMITS: Final = Limits()
FLOOR_AIM: Final = 1.6
AIOHTTP_AIM: Final = 1 / 3
BEYOND_AIM_US: Final = 40


def a_query() -> Query:
    """A query that hook number 0 serves, new each time as in a real server."""
    params, context = {"country": "IS", "limit": 20}, {"user": "u-17"}
    return Query(type=TYPES[0], capability=capability(0), tenant="acme", params=params, context=context)


async def _cell(port: int, reply: str, size: int, concurrency: int, rounds: int, calls: int) -> dict[str, Figures]:
    """The three contestants at one size of result, one kind of reply and one concurrency."""
    path = "/204" if reply == "204" else f"/bytes/{size}"
    result = Result(json_document(size, "before"))
    same_bytes = QueryEvent(a_query(), "/gateway").structured(message_id(), "hk_0", 1_800_000_000.0, result)
    transport = HttpTransport(guard())
    floor = FloorClient(port)
    async with (
        registry_of(1, port=port, path=path, timeout_ms=10_000) as registry,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        chain = chain_of(registry, transport, budget=10.0)
        endpoint = parse_endpoint(f"http://127.0.0.1:{port}{path}", pool="transport")
        url = f"http://127.0.0.1:{port}{path}"

        async def by_chain() -> None:
            answer = await chain.run(a_query(), result)
            assert answer.outcomes[0].status in {Status.APPLIED, Status.UNCHANGED}, answer.outcomes

        async def by_transport() -> None:
            deadline = asyncio.get_running_loop().time() + 10.0
            response = await transport.exchange(endpoint, "POST", HEADERS, same_bytes, deadline=deadline, limits=LIMITS)
            assert response.status in {200, 204}

        async def by_floor() -> None:
            status, _ = await floor.post(path, same_bytes)
            assert status in {200, 204}

        async def by_aiohttp() -> None:
            async with session.post(url, data=same_bytes, headers={"content-type": STRUCTURED_TYPE}) as response:
                await response.read()
                assert response.status in {200, 204}

        contestants: dict[str, Call] = {CHAIN: by_chain, TRANSPORT: by_transport, FLOOR: by_floor, AIOHTTP: by_aiohttp}
        try:
            return await in_turns(contestants, rounds=rounds, calls=calls, concurrency=concurrency)
        finally:
            floor.close()
            await transport.aclose()


class InstantTransport:
    """Answers at once: what is left of a chain's cost over it is not the network's."""

    def __init__(self, status: int, body: bytes) -> None:
        self._response = Response(status, [("content-type", "application/json")] if body else [], body, len(body))

    async def exchange(
        self,
        endpoint: Endpoint,
        method: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        *,
        deadline: float,
        limits: Limits,
    ) -> Response:
        """Return the one response there is."""
        return self._response

    async def aclose(self) -> None:
        """Do nothing."""


async def _without_a_network(*, quick: bool) -> tuple[list[str], float]:
    """The chain over a transport that answers at once: the best of many rounds, so at the machine's full speed.

    And what it costs at worst at the first size, in microseconds.
    """
    lines = []
    small = 0.0
    for name, size in SIZES.items():
        result = Result(json_document(size, "before"))
        for kind, transport in {
            "204": InstantTransport(204, b""),
            "replacement": InstantTransport(200, json_document(size, "after")),
        }.items():
            count = 20 if quick else 500
            best = math.inf
            async with registry_of(1) as registry:
                chain = chain_of(registry, transport)
                for _ in range(2 if quick else 10):
                    before = time.process_time()
                    for _ in range(count):
                        await chain.run(a_query(), result)
                    best = min(best, (time.process_time() - before) / count * 1e6)
            lines.append(f"{name}, {kind}: the chain over a transport that answers at once {best:,.0f} µs")
            if size == min(SIZES.values()):
                small = max(small, best)
    return lines, small


def _inevitable() -> list[str]:
    """What must be done with the bytes of a call, by itself: a lower bound for the chain; a parse to compare with."""
    key = b"k" * 32
    lines = []
    for name, size in SIZES.items():
        body = json_document(size, "before")
        signing = _best_us(partial(hmac.digest, key, body, "sha256"))
        parsing = _best_us(partial(orjson.loads, body))
        checking = _best_us(partial(document.check, body, max_depth=CallSettings().max_json_depth))
        lines.append(
            f"{name}: one HMAC-SHA256 {signing:,.0f} µs, one parse by orjson {parsing:,.0f} µs, "
            f"one check of a replacement (its syntax, its encoding, its depth) {checking:,.0f} µs"
        )
    return lines


def _best_us(work: Callable[[], object]) -> float:
    return min(timeit.repeat(work, number=20, repeat=20)) / 20 * 1e6


async def one_hook(*, quick: bool) -> Report:
    """Measure one hook at two sizes of result, two kinds of reply and three concurrencies."""
    rounds = 1 if quick else 9
    rows: list[list[str]] = []
    worst_floor = worst_aiohttp = 0.0
    with hook_server() as port:
        for size_name, size in SIZES.items():
            calls = 64 if quick else (3_000 if size < 10_000 else 600)
            for reply in ("204", "replacement"):
                for concurrency in CONCURRENCY:
                    cell = await _cell(port, reply, size, concurrency, rounds, calls)
                    chain, transport, floor, general = (cell[n] for n in (CHAIN, TRANSPORT, FLOOR, AIOHTTP))
                    worst_floor = max(worst_floor, chain.cpu / floor.cpu)
                    worst_aiohttp = max(worst_aiohttp, chain.cpu / general.cpu)
                    rows.append(
                        [
                            f"{size_name}, {reply}, {concurrency} at a time",
                            *(f"{figures.cpu:,.0f}" for figures in (chain, transport, floor, general)),
                            f"{chain.cpu / floor.cpu:.2f}",
                            f"{chain.cpu / general.cpu:.2f}",
                            *(f"{figures.latency:,.0f}" for figures in (chain, transport, floor, general)),
                        ]
                    )
    beyond, small = await _without_a_network(quick=quick)
    return Report(
        name="one-hook",
        title="One call to one hook",
        how=(
            "The chain (event, signature, deadline, caps, address guard, reply checked and applied, outcome), its "
            "transport alone (deadline, caps, address guard), the floor client (no guard, nothing understood) and "
            "aiohttp's client as one writes it, sending the same bytes to the same hook. CPU of the client's process "
            f"and median latency, microseconds per call, medians of {rounds} interleaved rounds."
        ),
        columns=(
            "result, reply, concurrency",
            "CPU chain",
            "CPU transport",
            "CPU floor",
            "CPU aiohttp",
            "chain ÷ floor",
            "chain ÷ aiohttp",
            "latency chain",
            "latency transport",
            "latency floor",
            "latency aiohttp",
        ),
        rows=rows,
        more=[*_inevitable(), *beyond],
        aims=[
            aim(f"CPU at worst {worst_floor:.2f} × the floor's", worst_floor, FLOOR_AIM),
            aim(f"CPU at worst {worst_aiohttp:.2f} × aiohttp's", worst_aiohttp, AIOHTTP_AIM),
            aim(f"the chain beyond its transport at worst {small:.0f} µs at 1 KB", small, BEYOND_AIM_US),
        ],
        not_measured=[
            "TLS, names that must be resolved, networks slower than loopback",
            "patches, which cost a parse of the result and writing it again",
            "the tail of the latencies: on shared machines it is noise",
            "a hook kept busy by others: here it sleeps while a slower contestant computes, and to wake it takes 10 µs",
        ],
    )
