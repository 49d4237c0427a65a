"""The inbox's proof in small, in every run: `python tests/proof/inbox_kill_loop.py --kills 60` is the whole of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

LOOP = Path(__file__).with_name("inbox_kill_loop.py")


def test_five_kills_at_random_moments_lose_no_message_that_was_acknowledged():
    environment = {**os.environ, "PYTHONPATH": str(LOOP.parents[2])}
    done = subprocess.run(
        [sys.executable, LOOP, "--kills", "5"], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.match(r"5 kills \(.*nothing lost", done.stdout)
