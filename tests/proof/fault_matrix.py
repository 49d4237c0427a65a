"""The whole fault matrix, with times and memory: `python tests/proof/fault_matrix.py`.

Each fault × `ignore`/`fail` × first/middle/last of the chain × 1 and 50 queries at once. Prints a table (the one
in docs/reference/faults.md, with what was measured). Exits with 1 if an answer, an outcome or what is left open is
not as it must be, if a query alone takes 50 ms beyond its limit, or if the memory grows.
With 50 queries at once the gateway, the server and the queries share one processor, so the time there is only told.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from pathlib import Path

from gateway.model import FailurePolicy
from gateway.observe.log import configure_logging
from gateway.runtime import run
from gateway.testing.fault_matrix import FaultMatrix, Place
from gateway.testing.fault_server import FAULTS, Fault

MOST_LATE_MS = 50.0
MOST_GROWTH_KIB = 32 * 1024


def resident_kib() -> int:
    """The resident memory of this process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def expected_words(fault: Fault) -> str:
    """What must become of it, for the table."""
    words = f"`{fault.expected.reason}`" if fault.expected.reason else f"*{fault.expected.status}*"
    return words + (", at first *applied*" if fault.first else "")


def head() -> str:
    """The table's head."""
    return "| fault | the server … | outcome | late alone | late of 50 | memory |\n|---|---|---|---|---|---|\n"


async def matrix(many: int) -> list[str]:
    """Run all of it, and print the rows; what is wrong."""
    wrong = []
    async with FaultMatrix.open() as it:
        for fault in FAULTS[:3]:  # what is made once is there then
            await it.run(fault, FailurePolicy.IGNORE, Place.MIDDLE, many)
        base = resident_kib()
        for fault in FAULTS:
            late = {1: 0.0, many: 0.0}
            before = resident_kib()
            for policy in FailurePolicy:
                for place in Place:
                    for concurrency in (1, many):
                        cell = await it.run(fault, policy, place, concurrency)
                        late[concurrency] = max(late[concurrency], cell.late_ms)
                        wrong += [f"{fault.name} {policy} {place} {concurrency}: {each}" for each in cell.wrong]
            grown = resident_kib() - before
            if late[1] > MOST_LATE_MS:
                wrong.append(f"{fault.name}: {late[1]:.0f} ms beyond the limit")
            sys.stdout.write(
                f"| `{fault.name}` | {fault.does} | {expected_words(fault)} "
                f"| {late[1]:.0f} ms | {late[many]:.0f} ms | {grown / 1024:+.1f} MiB |\n"
            )
            sys.stdout.flush()
        grown = resident_kib() - base
        if grown > MOST_GROWTH_KIB:
            wrong.append(f"the memory has grown by {grown} KiB")
        sys.stdout.write(f"\nIn all, the resident memory grew by {grown / 1024:.1f} MiB over the whole matrix.\n")
    return wrong


def main() -> int:
    """Run the proof; 0 if all is as it must be."""
    parser = argparse.ArgumentParser(description="Every fault, in every place, under every policy.")
    parser.add_argument("--many", type=int, default=50, help="how many queries at once (50)")
    options = parser.parse_args()
    configure_logging("text", "error", sys.stderr)
    started = time.monotonic()
    sys.stdout.write(head())
    wrong = run(matrix(options.many))
    sys.stdout.write("".join(f"WRONG: {each}\n" for each in wrong))
    cells = len(FAULTS) * len(FailurePolicy) * len(Place) * 2
    sys.stdout.write(f"{cells} cells, {len(wrong)} wrong; {time.monotonic() - started:.0f} s\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
