"""The proof in small, in every run: `python tests/proof/kill_loop.py --kills 60` is the whole of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

LOOP = Path(__file__).with_name("kill_loop.py")


def test_five_kills_at_random_moments_lose_nothing_that_was_acknowledged():
    done = subprocess.run([sys.executable, LOOP, "--kills", "5"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.match(r"5 kills \(.*nothing lost", done.stdout)
