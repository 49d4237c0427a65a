"""`python -m benchmarks [NAME|all] [--quick] [--plain-asyncio] [--out FOLDER]`; the names are those of `BENCHMARKS`."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.cache import cache
from benchmarks.coalesce import coalesce
from benchmarks.events_store import events_store
from benchmarks.hung_hook import hung_hook
from benchmarks.lookup import lookup
from benchmarks.loops import name_of_running_loop, run
from benchmarks.no_hook import no_hook
from benchmarks.one_hook import one_hook
from benchmarks.relay import relay
from benchmarks.report import RESULTS, machine_facts
from benchmarks.rows import rows
from benchmarks.scope import scope

BENCHMARKS = {
    "no-hook": no_hook,
    "one-hook": one_hook,
    "lookup": lookup,
    "hung-hook": hung_hook,
    "events-store": events_store,
    "rows": rows,
    "coalesce": coalesce,
    "cache": cache,
    "relay": relay,
    "scope": scope,
}


async def measure(names: list[str], out: Path | None, *, quick: bool) -> None:
    """Run the benchmarks named, print each report and write it to `out`, if that is given."""
    machine = machine_facts(name_of_running_loop())
    for name in names:
        report = await BENCHMARKS[name](quick=quick)
        print(report.markdown(machine))
        if out is not None:
            print(f"(written to {report.write(machine, out)})\n")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure what it costs.")
    parser.add_argument("which", nargs="?", default="all", choices=[*BENCHMARKS, "all"])
    parser.add_argument("--quick", action="store_true", help="a few rounds: to see that it works, not how fast")
    parser.add_argument("--plain-asyncio", action="store_true", help="asyncio's own loop, also where uvloop is present")
    parser.add_argument("--out", type=Path, help="the folder for the tables (benchmarks/results; none with --quick)")
    chosen = parser.parse_args()
    names = list(BENCHMARKS) if chosen.which == "all" else [chosen.which]
    out = chosen.out or (None if chosen.quick else RESULTS)
    run(measure(names, out, quick=chosen.quick), plain=chosen.plain_asyncio)


if __name__ == "__main__":
    main()
