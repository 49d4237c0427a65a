"""Bodies without end do not fill the memory, also where a single one may be large."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("endless_bodies.py")


def test_memory_is_bounded_under_200_bodies_without_end_at_once():
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
