"""`python -m benchmarks.peers [--quick] [--only NAME …] [--out FOLDER]`: beside what one would pick instead.

The other gateways are the machine's own: `apt-get install nginx libnginx-mod-http-lua libnginx-mod-http-js squid
c-icap wrk gcc`, and in an environment of their own beside the checkout's:

    python3 -m venv .venv-peers && .venv-peers/bin/pip install --require-hashes -r benchmarks/peers/requirements.lock
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.peers.contestants import CONTESTANTS
from benchmarks.peers.measure import peers
from benchmarks.report import RESULTS, machine_facts


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one short round: to see that it works, not how fast")
    parser.add_argument("--only", nargs="*", default=[], choices=list(CONTESTANTS), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5, help="how many turns each contestant takes")
    parser.add_argument("--out", type=Path, help="the folder for the tables (benchmarks/results; none with --quick)")
    chosen = parser.parse_args()
    report = peers(quick=chosen.quick, only=chosen.only, rounds=chosen.rounds)
    machine = machine_facts("uvloop")
    print(report.markdown(machine))
    out = chosen.out or (None if chosen.quick or chosen.only else RESULTS)
    if out is not None:
        print(f"(written to {report.write(machine, out)})")


if __name__ == "__main__":
    main()
