"""The benchmarks run. How fast anything is, is not asserted: that depends on the machine."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "which",
    ["no-hook", "one-hook", "lookup", "hung-hook", "rows", "coalesce", "cache", "relay", "events-store", "scope"],
)
def test_a_quick_run_writes_a_table_with_machine_facts_and_what_was_not_measured(which, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", which, "--quick", "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / f"{which}.md").read_text()
    assert "|---|---:" in page
    for heading in ("## Aims", "## Machine", "## Not measured"):
        assert heading in page
