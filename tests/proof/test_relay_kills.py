"""The proof in small, in every run: `python tests/proof/relay_kill_loop.py --kills 200` is the whole of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

LOOP = Path(__file__).with_name("relay_kill_loop.py")


def test_four_kills_of_publisher_and_relays_lose_no_acknowledged_event():
    done = subprocess.run([sys.executable, LOOP, "--kills", "4"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.match(r"4 kills \(.* acknowledged events .*all arrived, backlog drained", done.stdout)
