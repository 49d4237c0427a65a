"""Memory stays flat under 200 bodies without end at once: `python tests/proof/endless_bodies.py`.

Once with a small cap on a reply, and once with the default cap of 8 MiB, where it is the total of incomplete replies
(`calls.max_buffered_bytes`) that bounds the memory: without it, they would take 1.6 GB. Server and gateway share the
process, so the memory of the server's side counts, too. Prints the peaks; exits with 1 if one is past its bound.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from typing import TYPE_CHECKING

from gateway import HookDraft, IntegrationDraft, Query, Result, Settings, open_gateway
from gateway.model import Reason
from gateway.runtime import run
from gateway.testing.hook_server import HookServer

if TYPE_CHECKING:
    from collections.abc import Mapping

MIB = 1024 * 1024
AT_ONCE = 200
HOOKS = 4
BUFFERED = 32 * MIB
SERVER_SIDE = 64 * MIB  # write buffers of 200 connections, and what the allocator keeps
BEFORE = b'{"rows":[1,2]}'


def peak() -> int:
    """The most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def hold(calls: Mapping[str, int]) -> tuple[set[object], int]:
    """Ask 200 times at once; the reasons of the outcomes, and by how much the peak grew."""
    given = {"allow_http": True, "allow": ["127.0.0.1"], "require_ownership": False, "budget_ms": 60_000, **calls}
    settings = Settings.model_validate(
        {"store": {"url": "memory:"}, "calls": given, "breaker": {"enabled": False}},
    )
    reasons: set[object] = set()
    async with HookServer() as server, open_gateway(settings) as gateway:
        made = await gateway.registry.register(IntegrationDraft("endless", server.url))
        for number in range(HOOKS):
            draft = HookDraft(f"hook-{number}", "/endless-body", types=frozenset({str(number)}), timeout_ms=10_000)
            await gateway.registry.enable((await gateway.registry.create_hook(made.integration.id, draft)).id)
        start = peak()
        queries = (Query(str(number % HOOKS)) for number in range(AT_ONCE))
        for answer in await asyncio.gather(*(gateway.chain.run(query, Result(BEFORE)) for query in queries)):
            assert answer.result.body == BEFORE
            reasons |= {outcome.reason for outcome in answer.outcomes}
        await server.no_connections()
    return reasons, peak() - start


async def prove() -> bool:
    """Both runs; whether both stayed within their bounds."""
    small, small_peak = await hold({"max_reply_bytes": 64 * 1024})
    large, large_peak = await hold({"max_buffered_bytes": BUFFERED})
    sys.stdout.write(f"cap 64 KiB: {small_peak / MIB:.0f} MiB more at the peak, {sorted(map(str, small))}\n")
    sys.stdout.write(f"cap 8 MiB, 32 MiB in all: {large_peak / MIB:.0f} MiB more, {sorted(map(str, large))}\n")
    within = small_peak <= SERVER_SIDE and large_peak <= 2 * BUFFERED + SERVER_SIDE
    return within and small == {Reason.TOO_LARGE} and large <= {Reason.TOO_LARGE, Reason.OVERLOAD}


if __name__ == "__main__":
    sys.exit(0 if run(prove()) else 1)
