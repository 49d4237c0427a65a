"""The whole fault matrix, with times and memory: `python tests/proof/fault_matrix.py`.

Each fault × `ignore`/`fail` × first/middle/last of the chain × 1 and 50 queries at once. Writes what it
measured to benchmarks/results/fault-matrix.json, from which `tests/house/render_reference.py` makes the table of
docs/reference/faults.md. Exits with 1 if an answer, an outcome or what is
left open is not as it must be, if a hook takes 50 ms beyond its limit, or if the memory grows: each fault has run once
before it is first measured, so that what is told is growth, not the peak.
The fault server has a process of its own; nothing else may be busy on the machine, or the times are not the gateway's.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from gateway.model import FailurePolicy
from gateway.observe.log import configure_logging
from gateway.runtime import run
from gateway.testing.fault_matrix import FaultMatrix, Place
from gateway.testing.fault_process import FaultServerProcess
from gateway.testing.fault_server import FAULTS

MOST_LATE_MS = 50.0
MOST_GROWTH_KIB = 64 * 1024  # the allocator's; 3,000 calls with 10,000 headers each take half of it, ever more slowly
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "fault-matrix.json"


def resident_kib() -> int:
    """The resident memory of this process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


async def matrix(server: FaultServerProcess, many: int) -> tuple[dict[str, Any], list[str]]:
    """Run all of it and print the rows; what was measured, and what is wrong."""
    wrong: list[str] = []
    told: dict[str, Any] = {}
    async with FaultMatrix.open(server) as it:
        for fault in FAULTS:  # what is made once is there then, and the heap has had its peak
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
            wrong += [
                f"{fault.name}, {count} at once: {beyond:.0f} ms beyond the limit"
                for count, beyond in late.items()
                if beyond > MOST_LATE_MS
            ]
            told[fault.name] = {
                "late_alone_ms": round(late[1]),
                "late_many_ms": round(late[many]),
                "grown_mib": round(grown / 1024, 1),
            }
            sys.stdout.write(f"{fault.name:24} {late[1]:6.0f} ms {late[many]:6.0f} ms {grown / 1024:+8.1f} MiB\n")
            sys.stdout.flush()
        grown = resident_kib() - base
        if grown > MOST_GROWTH_KIB:
            wrong.append(f"the memory has grown by {grown} KiB")
        sys.stdout.write(f"\nIn all, the resident memory grew by {grown / 1024:.1f} MiB over the whole matrix.\n")
    return {"many": many, "grown_mib": round(grown / 1024, 1), "faults": told}, wrong


def main() -> int:
    """Run the proof; 0 if all is as it must be."""
    parser = argparse.ArgumentParser(description="Every fault, in every place, under every policy.")
    parser.add_argument("--many", type=int, default=50, help="how many queries at once (50)")
    options = parser.parse_args()
    configure_logging("text", "error", sys.stderr)
    started = time.monotonic()
    sys.stdout.write(f"{'fault':24} {'late alone':>9} {f'of {options.many}':>9} {'memory':>12}\n")
    with FaultServerProcess() as server:
        measured, wrong = run(matrix(server, options.many))
    RESULTS.write_text(json.dumps(measured, indent=1) + "\n")
    sys.stdout.write("".join(f"WRONG: {each}\n" for each in wrong))
    cells = len(FAULTS) * len(FailurePolicy) * len(Place) * 2
    sys.stdout.write(f"{cells} cells, {len(wrong)} wrong; {time.monotonic() - started:.0f} s\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
