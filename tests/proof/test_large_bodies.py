"""Bodies of any size pass through a served gateway in constant memory: 300 MB here, 5 GB in the proof."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("large_bodies.py")


def test_large_bodies_pass_both_ways_in_constant_memory():
    done = subprocess.run(
        [sys.executable, SCRIPT, "--megabytes", "300"], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
