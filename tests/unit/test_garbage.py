"""Garbage collection in programs, in a process of its own: it concerns the whole of one."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc, weakref
from gateway.service.garbage import settle

class Cycle:
    def __init__(self):
        self.itself = self

settle()
assert gc.get_freeze_count() > 1_000, "what was there is not looked at any more"
assert gc.get_threshold()[0] > 700
seen = weakref.ref(Cycle())
kept = [[] for _ in range(50_000)]
assert seen() is None, "cycles that come later are found without being asked for"
"""


def test_what_a_program_starts_with_is_left_alone_and_later_cycles_are_still_found():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
