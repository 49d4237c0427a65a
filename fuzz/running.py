"""Starts the fuzzer on a target and understands what it says."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).parents[1]
HERE: Final = Path(__file__).parent
CORPUS: Final = HERE / "corpus"
CRASHES: Final = HERE / "crashes"  # inputs that broke a law
FOUND: Final = HERE / "found"  # inputs that reached something new; kept from run to run

_STATUS: Final = re.compile(r"^#\d+\s+.*cov: (\d+) ft: (\d+) corp: (\d+)/", re.MULTILINE)
_RUNS: Final = re.compile(r"^stat::number_of_executed_units:\s*(\d+)|^Done (\d+) runs", re.MULTILINE)
_ARTIFACT: Final = re.compile(r"Test unit written to (\S+)")
_SECONDS_PER_INPUT: Final = 10
_MEMORY_MIB: Final = 2048


@dataclass(frozen=True, slots=True)
class Finished:
    """What came of fuzzing one target. `crash` is the input that broke its law; `said` the end of the output.

    `coverage` counts the places in the code that were reached, `kept` the inputs that each reach something new.
    """

    target: str
    runs: int
    coverage: int
    kept: int
    failed: bool
    crash: Path | None
    said: str


def fuzz(target: str, words: Sequence[bytes], *, seconds: int) -> Finished:
    """Fuzz `target` for so long. `words` are put into inputs as they are."""
    found = FOUND / target
    found.mkdir(parents=True, exist_ok=True)
    CRASHES.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".dict") as dictionary:
        dictionary.writelines('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in words)
        dictionary.flush()
        flags = [
            f"-max_total_time={seconds}", f"-timeout={_SECONDS_PER_INPUT}", f"-rss_limit_mb={_MEMORY_MIB}",
            "-max_len=4096", "-print_final_stats=1", f"-artifact_prefix={CRASHES}/{target}-",
            f"-dict={dictionary.name}", str(found), str(CORPUS / target),
        ]  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "fuzz.child", target, *flags],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    return understood(target, done.returncode, done.stdout.decode(errors="replace"))


def understood(target: str, code: int, output: str) -> Finished:
    """What the fuzzer's exit code and output mean."""
    status = _STATUS.findall(output)
    coverage, _, kept = status[-1] if status else (0, 0, 0)
    counts = [int(one or other) for one, other in _RUNS.findall(output)]
    artifact = _ARTIFACT.search(output)
    crash = Path(artifact[1]) if artifact else None
    lines = [line for line in output.splitlines() if not line.startswith(("#", "stat::", "INFO:", "0x"))]
    said = "\n".join(lines[-40:])
    return Finished(target, max(counts, default=0), int(coverage), int(kept), code != 0, crash, said)
