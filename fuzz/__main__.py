"""The command line: `python -m fuzz TARGET|all [--seconds N]`."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path

from fuzz.running import fuzz
from fuzz.targets import TARGETS


def main() -> int:
    """Fuzz, or repeat a finding; 0 if no law was broken, 1 if one was, 2 without the fuzzer."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz what reads bytes from outside.")
    parser.add_argument("target", choices=[*TARGETS, "all"])
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--again", type=Path, metavar="FILE", help="run the target once, on this input")
    options = parser.parse_args()
    if options.again is not None:
        if options.target == "all":
            parser.error("--again needs one target")
        TARGETS[options.target].check(options.again.read_bytes())
        print("The law holds for this input.")
        return 0
    if importlib.util.find_spec("atheris") is None:
        print(
            "The fuzzer (atheris) is not installed: there are wheels of it for Linux on x86-64. It is in the "
            "dependency group 'fuzz' and in requirements.lock.",
            file=sys.stderr,
        )
        return 2
    failed = 0
    print(f"{'target':<13}{'runs':>9}{'places reached':>16}{'inputs kept':>13}", flush=True)
    for name in TARGETS if options.target == "all" else [options.target]:
        done = fuzz(name, TARGETS[name].words, seconds=options.seconds)
        print(f"{name:<13}{done.runs:>9}{done.coverage:>16}{done.kept:>13}", flush=True)
        if done.failed:
            failed += 1
            print(f"\n{done.said}\n")
            if done.crash is not None:
                print(f"FOUND. To repeat it: python -m fuzz {name} --again {os.path.relpath(done.crash)}\n", flush=True)
    print(f"{failed} of the targets broke their law" if failed else "no law was broken")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
