"""What it saves to send a hook the one column that it works on, instead of the whole table."""

from __future__ import annotations

import random
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

import orjson

from benchmarks.column_hook import column_hook
from benchmarks.column_receiver import column_receiver
from benchmarks.registered import TYPES, capability, guard, registry_of
from benchmarks.report import Report, aim
from benchmarks.rounds import in_turns
from gateway.model import Query, Result, Status
from gateway.observe.metrics import GatewayMetrics
from gateway.pipeline import (
    CallSettings,
    ChainSettings,
    HookCaller,
    HookChain,
    HookGuard,
    Protections,
    ProtectionSettings,
)
from gateway.resilience.breaker import BreakerSettings
from gateway.transport.client import HttpTransport
from gateway.wire import signature

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.rounds import Figures
    from gateway.pipeline import Answer

    Call = Callable[[], Awaitable[Answer]]

ROWS: Final = 100_000
COLUMNS: Final = 20
AT: Final = 10  # of the column that the hook changes
MOST_BYTES: Final = 128 * 1024 * 1024
BYTES_AIM: Final = 1 / 12
TIME_AIM: Final = 0.35
WHOLE, COLUMN = "whole", "column"
NAMES: Final = tuple("price" if n == AT else f"column_{n}" for n in range(COLUMNS))


def table(rows: int, *, commas: bool = False) -> list[list[Any]]:
    """Rows of numbers, codes, names, prices and times, the same ones each time."""
    draw = random.Random(20)
    between = ", " if commas else " "
    kinds = (
        lambda n: n * 7,
        lambda _: f"K{draw.randrange(10**5):05d}",
        lambda _: f"Customer{between}{draw.randrange(10**6)}",
        lambda _: round(draw.random() * 10_000, 2),
        lambda n: f"2026-11-{n % 28 + 1:02d}T10:00:00Z",
        lambda n: n % 3 == 0,
    )
    order = [3 if at == AT else at % len(kinds) for at in range(COLUMNS)]
    return [[kinds[kind](n) for kind in order] for n in range(rows)]


def documents(rows: int) -> dict[str, tuple[bytes, str, str]]:
    """The tables: their bytes, the pointer to the column, and what the hook calls it."""
    values, with_commas = table(rows), table(rows, commas=True)
    objects = [dict(zip(NAMES, row, strict=True)) for row in values]
    arrays = {"columns": NAMES, "rows": values}
    return {
        "rows are objects": (orjson.dumps({"rows": objects}), "/rows/*/price", "price"),
        "rows are arrays": (orjson.dumps(arrays), f"/rows/*/{AT}", str(AT)),
        "rows are arrays, commas in strings": (
            orjson.dumps({"columns": NAMES, "rows": with_commas}),
            f"/rows/*/{AT}",
            str(AT),
        ),
    }


async def _chain(stack: AsyncExitStack, port: int, path: str, secret: str, reads: tuple[str, ...] | None) -> HookChain:
    """The chain as the gateway composes it, with room for results of this size, and one hook."""
    registry = await stack.enter_async_context(registry_of(1, port=port, path=path, secret=secret))
    await registry.change_hook("hk_0", {"timeout_ms": 10_000, "reads": reads})
    transport = HttpTransport(guard())
    stack.push_async_callback(transport.aclose)
    caller = HookCaller(transport, CallSettings(max_reply_bytes=MOST_BYTES))
    protections = Protections(ProtectionSettings(breaker=BreakerSettings(enabled=False)))  # calls are slow on purpose
    settings = ChainSettings(budget=60.0, max_result_bytes=MOST_BYTES)
    return HookChain(registry.present, HookGuard(caller, protections), settings, GatewayMetrics())


async def _measured(
    port: int, path: str, secret: str, pointer: str, body: bytes, rounds: int, calls: int
) -> tuple[dict[str, int], dict[str, Figures]]:
    """The bytes sent and the figures, of the whole document and of the column."""
    query = Query(type=TYPES[0], capability=capability(0))

    def by(chain: HookChain) -> Call:
        async def call() -> Answer:
            answer = await chain.run(query, Result(body))
            assert answer.outcomes[0].status is Status.APPLIED, answer.outcomes
            return answer

        return call

    async with AsyncExitStack() as stack:
        contestants = {
            WHOLE: by(await _chain(stack, port, path, secret, None)),
            COLUMN: by(await _chain(stack, port, path, secret, (pointer,))),
        }
        answers = {name: await call() for name, call in contestants.items()}
        assert orjson.loads(answers[WHOLE].result.body) == orjson.loads(answers[COLUMN].result.body)
        sent = {name: answer.outcomes[0].bytes_out for name, answer in answers.items()}
        del answers
        return sent, await in_turns(contestants, rounds=rounds, calls=calls, concurrency=1)


async def scope(*, quick: bool) -> Report:
    """Measure one hook that changes one column, with and without `reads`."""
    rounds, calls, count = (1, 1, 5_000) if quick else (5, 1, ROWS)
    rows: list[list[str]] = []
    aims: list[str] = []
    secret = signature.new_secret()
    with column_hook() as bare, column_receiver(secret) as receiver:
        for name, (body, pointer, column) in documents(count).items():
            for library in ("SDK", "orjson", "json"):
                port = receiver if library == "SDK" else bare
                path = "/hook" if library == "SDK" else f"/{library}/{column}"
                sent, seen = await _measured(port, path, secret, pointer, body, rounds, calls)
                share, ratio = sent[COLUMN] / sent[WHOLE], seen[COLUMN].latency / seen[WHOLE].latency
                rows.append(
                    [
                        f"{name}, {library}",
                        *(f"{sent[each] / 1e6:.2f}" for each in (WHOLE, COLUMN)),
                        f"1/{1 / share:.1f}",
                        *(f"{seen[each].latency / 1e3:,.0f}" for each in (WHOLE, COLUMN)),
                        f"{ratio:.2f}",
                        *(f"{seen[each].cpu / 1e3:,.0f}" for each in (WHOLE, COLUMN)),
                    ]
                )
                aims.append(aim(f"{name}, {library}: time {ratio:.2f} × the whole", ratio, TIME_AIM))
            aims.append(aim(f"{name}: bytes sent {share:.3f} × the whole", share, BYTES_AIM))
    return Report(
        name="scope",
        title="One column of a table",
        how=(
            f"A hook in another process doubles one of {COLUMNS} columns of {count:,} rows (the one at index {AT}) and "
            "answers with the whole document that it was sent: written with the SDK, which verifies and signs; "
            "or a bare one that does neither, and reads and writes with orjson or with Python's json. Sent is "
            "the whole table, or by `reads` that column alone. Megabytes sent, and milliseconds from the query to the "
            "merged result, the hook's own work included; CPU of the gateway's process. One query at a time, medians "
            f"of {rounds} interleaved rounds of {calls} calls."
        ),
        columns=(
            "table, hook",
            "MB whole",
            "MB column",
            "bytes",
            "ms whole",
            "ms column",
            "time",
            "CPU ms whole",
            "CPU ms column",
        ),
        rows=rows,
        aims=aims,
        not_measured=[
            "networks slower than loopback, where the bytes that are not sent save more",
            "several queries at once: what the gateway computes for them, it computes one after another",
            "tables written with white space, several columns, columns further to the right in rows that are arrays",
        ],
    )
