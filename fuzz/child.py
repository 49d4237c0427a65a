"""Fuzzes one target, in a process of its own: the fuzzer never returns.

Its arguments are the target, flags of libFuzzer, and folders of inputs.
"""

from __future__ import annotations

import hashlib
import logging
import sys

import atheris

with atheris.instrument_imports(include=["gateway", "jsonpatch", "jsonpointer"]):
    from fuzz.running import CRASHES
    from fuzz.targets import TARGETS


def main() -> None:
    """Hand over to the fuzzer."""
    logging.disable()  # what is refused is logged, and here nearly everything is
    name, *flags = sys.argv[1:]
    law = TARGETS[name].check

    def check(data: bytes) -> None:
        try:
            law(data)
        except Exception:
            # The fuzzer writes the input, too, but not whenever it ends by an error of Python.
            path = CRASHES / f"{name}-{hashlib.sha256(data).hexdigest()[:16]}"
            path.write_bytes(data)
            print(f"Test unit written to {path}", file=sys.stderr, flush=True)
            raise

    atheris.Setup([f"fuzz.{name}", *flags], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
