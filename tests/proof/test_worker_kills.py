"""The proof in small, in every run: `python tests/proof/worker_kill_loop.py --kills 30` is the whole of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

LOOP = Path(__file__).with_name("worker_kill_loop.py")


def test_two_killed_workers_lose_nothing_but_what_was_in_flight_in_them():
    done = subprocess.run([sys.executable, LOOP, "--kills", "2"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.match(r"2 kills, .* 0 of them not accepted by a killed worker; 0 wrong answers", done.stdout)
