"""Processes that are measured from outside: started, waited for, their CPU and memory read from /proc."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

START_SECONDS: Final = 30.0
CORES: Final = sorted(os.sched_getaffinity(0))


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return int(it.getsockname()[1])


@contextmanager
def started(
    words: Sequence[str], port: int, *, core: int, folder: Path, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """`words` run as a process on one core, until the block ends; entered once `port` takes connections."""
    log = folder / "output.log"
    with (
        log.open("ab") as out,
        subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=folder,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        ) as process,
    ):
        try:
            for child in family(process.pid):
                os.sched_setaffinity(child, {CORES[core % len(CORES)]})
            _wait_for(port, process, log)
            for child in family(process.pid):
                for task in (Path("/proc") / str(child) / "task").iterdir():
                    os.sched_setaffinity(int(task.name), {CORES[core % len(CORES)]})
            yield process
        finally:
            for child in reversed(family(process.pid)):
                try:
                    os.kill(child, 9)
                except ProcessLookupError:
                    continue


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with socket.socket() as it:
            if it.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    msg = f"{process.args!r} does not listen on port {port}: {log.read_text(errors='replace')[-800:]}"
    raise RuntimeError(msg)


def family(pid: int) -> list[int]:
    """A process and all that came from it, itself first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def cpu_seconds(pids: Sequence[int]) -> float:
    """The CPU time that these processes have taken, to the nanosecond where the kernel counts it so."""
    total = 0
    for pid in pids:
        try:
            for task in (Path("/proc") / str(pid) / "task").iterdir():
                total += int((task / "schedstat").read_text().split()[0])
        except OSError:
            continue
    return total / 1e9


def resident_bytes(pids: Sequence[int]) -> int:
    """The memory that is these processes' own: their proportional share of what is resident."""
    total = 0
    for pid in pids:
        try:
            for line in (Path("/proc") / str(pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        except OSError:
            continue
    return total
