"""The benchmarks run. How fast anything is, is not asserted: that depends on the machine."""

import os
import shutil
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


def test_a_quick_run_beside_a_peer_writes_its_tables(tmp_path):
    missing = [name for name in ("wrk", "gcc", "taskset") if shutil.which(name) is None]
    if missing and not os.environ.get("CI"):
        pytest.skip(f"the peers' benchmark needs {', '.join(missing)}: apt-get install wrk gcc util-linux")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers", "--quick", "--only", "gateway", "floor", "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "peers.md").read_text()
    assert "answers gone wrong: none" in page
    assert [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| gateway")] == ["| gateway"] * 3
