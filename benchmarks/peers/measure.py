"""The peers' benchmark: every contestant in front of the same upstream and the same hook, in turns."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.peers.contestants import CONTESTANTS, HERE, Ports, Running
from benchmarks.peers.processes import CORES, cpu_seconds, family, resident_bytes
from benchmarks.report import Report, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HOOK_MS: Final = 5
QUERIES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Cell:
    """One kind of load: a name, the target (a prefix where queries are drawn), and how many connections."""

    name: str
    target: str
    connections: int
    queries: int = 0


HOOKED: Final = tuple(
    Cell(f"{size.upper()} c={connections}", f"/hook/{size}", connections)
    for size in ("1k", "100k")
    for connections in (1, 16, 64)
)
PASSED: Final = (
    Cell("pass 1K c=16", "/pass/1k", 16),
    Cell("pass 100K c=16", "/pass/100k", 16),
    Cell("pass 10M c=4", "/pass/10m", 4),
)
ZIPF: Final = (
    Cell("Zipf c=16", "/zipf/z/", 16, QUERIES),
    Cell(f"Zipf, hook {HOOK_MS} ms, c=16", "/zipf/q/", 16, QUERIES),
)
PEERS: Final = ("nginx + Lua", "nginx + njs", "Envoy + Lua")


@dataclass(frozen=True, slots=True)
class Seen:
    """What one load showed: requests per second, latencies and CPU in milliseconds (per 1,000), answers gone wrong."""

    rate: float
    p50: float
    p99: float
    cpu: float
    bad: int


def peers(*, quick: bool, only: Sequence[str] = (), rounds: int = 5) -> Report:
    """Measure all contestants that are installed, in so many rounds; the report names those that are not."""
    absent = [name for name in ("wrk", "gcc") if shutil.which(name) is None]
    if absent:
        msg = f"The peers' benchmark needs {' and '.join(absent)}: apt-get install {' '.join(absent)}"
        raise SystemExit(msg)
    chosen = {name: start for name, start in CONTESTANTS.items() if not only or name in only}
    rounds, seconds = (0, 1) if quick else (rounds, 2)
    cells = (HOOKED[1], PASSED[0], PASSED[-1], *ZIPF) if quick else (*HOOKED, *PASSED, *ZIPF)
    missing: list[str] = []
    seen: dict[tuple[str, str], list[Seen]] = {}
    memory: dict[str, int] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="peers-", ignore_cleanup_errors=True)))
        folder.chmod(0o755)
        program = _compiled(folder)
        ports = Ports(stack.enter_context(_responder(program)), stack.enter_context(_responder(program, HOOK_MS)))
        running: dict[str, Running] = {}
        for name, start in chosen.items():
            own = folder / name.replace(" ", "-")
            own.mkdir()
            try:
                running[name] = stack.enter_context(start(ports, own))
            except FileNotFoundError as e:
                missing.append(f"{name} ({e})")
        for number in range(rounds + 1):
            for cell in cells:
                for name, it in running.items():
                    found = _load(it, cell, seconds if number else 1, seed=number + 1)
                    if number or not rounds:
                        seen.setdefault((cell.name, name), []).append(found)
            print(f"round {number} of {rounds} done", file=sys.stderr, flush=True)
        memory = {name: resident_bytes(_all(it)) for name, it in running.items()}
    return _report(list(running), cells, {key: _middle(found) for key, found in seen.items()}, memory, missing)


def _compiled(folder: Path) -> Path:
    program = folder / "responder"
    subprocess.run(["gcc", "-O2", "-o", str(program), str(HERE / "responder.c")], check=True)
    return program


@contextmanager
def _responder(program: Path, delay_ms: int = 0) -> Iterator[int]:
    core = str(CORES[-1])
    words = ["taskset", "-c", core, str(program), "0", str(delay_ms)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


def _all(it: Running) -> list[int]:
    return [child for pid in it.pids for child in family(pid)]


def _load(it: Running, cell: Cell, seconds: int, *, seed: int) -> Seen:
    pids = _all(it)
    words = ["taskset", "-c", str(CORES[-1]), "wrk", "-t1", f"-c{cell.connections}", f"-d{seconds}", "--timeout", "30"]
    words += ["-s", str(HERE / "load.lua"), f"http://127.0.0.1:{it.port}", "--"]
    words += [cell.target, str(cell.queries), str(seed)]
    before = cpu_seconds(pids)
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    spent = cpu_seconds(pids) - before
    said = json.loads(done.stdout.strip().splitlines()[-1])
    count = max(1, said["requests"])
    # Milliseconds per 1,000 requests are microseconds per request.
    return Seen(
        count / said["microseconds"] * 1e6, said["p50"] / 1e3, said["p99"] / 1e3, spent / count * 1e6, said["bad"]
    )


def _middle(found: Sequence[Seen]) -> Seen:
    return Seen(
        median(it.rate for it in found),
        median(it.p50 for it in found),
        median(it.p99 for it in found),
        median(it.cpu for it in found),
        sum(it.bad for it in found),
    )


def _report(
    names: Sequence[str],
    cells: Sequence[Cell],
    seen: Mapping[tuple[str, str], Seen],
    memory: Mapping[str, int],
    missing: Sequence[str],
) -> Report:
    titles = [cell.name for cell in cells]
    columns = ["contestant", *titles]
    rate = [[name, *(f"{seen[cell, name].rate:,.0f}" for cell in titles)] for name in names]
    latency = [
        [name, *(f"{seen[cell, name].p50:,.2f} / {seen[cell, name].p99:,.2f}" for cell in titles)] for name in names
    ]
    measured = [name for name in names if memory.get(name)]
    cpu = [
        [name, *(f"{seen[cell, name].cpu:,.0f}" for cell in titles), f"{memory[name] / 1e6:,.0f}"] for name in measured
    ]
    wrong = [f"{name}, {cell}: {seen[cell, name].bad}" for name in names for cell in titles if seen[cell, name].bad]
    return Report(
        "peers",
        "Beside what one would pick instead",
        "Each contestant stands in front of the same upstream and calls the same hook, which sends back what it got "
        "(over `/zipf/q/` after some milliseconds); both are C programs. wrk loads one contestant after the other, in "
        "turns. The contestant has a core of its own, everything else shares the other. The gateway runs with all "
        "its guards: signature, deadline, breaker, bulkheads, caps, address guard, the reply checked to be JSON, "
        "provenance, metrics. Its hook takes the result itself (binary delivery), as the other hooks do. "
        f"In the Zipf columns {QUERIES:,} queries come with s = 1.1, and the gateway's hook has `cache` on, "
        "which nobody else has. CPU of the contestant in milliseconds per 1,000 requests, and its memory in MB "
        "at the end; medians.",
        [*columns, "memory"],
        cpu,
        _aims(names, cells, seen),
        [
            "TLS, networks slower than loopback, several workers",
            "a slow hook of Squid's: its ICAP server takes no time over anything, so its last column stands apart",
            "caches that a peer could be given for the upstream's answers: the gateway asks the upstream each time",
            "nginx and Envoy with hooks in C or Rust, which would be ahead of all of these",
            *(f"{it}: not installed" for it in missing),
        ],
        more=[f"answers gone wrong: {'; '.join(wrong) or 'none'}"],
        tables=[
            Table("Requests per second", columns, rate),
            Table("Latency in milliseconds, p50 / p99", columns, latency),
        ],
    )


def _aims(names: Sequence[str], measured: Sequence[Cell], seen: Mapping[tuple[str, str], Seen]) -> list[str]:
    if "gateway" not in names:
        return ["the gateway did not take part"]
    found: list[str] = []
    hooked = [cell for cell in HOOKED if cell in measured]

    def line(text: str, rows: list[str]) -> None:
        found.append(f"{text}: {'met' if not rows else 'not met: ' + ', '.join(rows)}")

    def over(other: str, most: float, cells: Sequence[Cell]) -> list[str]:
        ratios = [(cell.name, seen[cell.name, "gateway"].cpu / seen[cell.name, other].cpu) for cell in cells]
        return [f"{cell} {ratio:.2f} ×" for cell, ratio in ratios if ratio > most]

    for peer in PEERS:
        if peer in names:
            line(f"CPU per request below {peer} in every column with a hook", over(peer, 1.0, hooked))
    if "floor" in names:
        line("CPU per request at most 1.6 × the floor in every column with a hook", over("floor", 1.6, hooked))
    others = [name for name in names if name not in {"gateway", "floor", "upstream only"}]
    for cell in ZIPF:
        rows = [
            f"{name} {seen[cell.name, 'gateway'].rate / seen[cell.name, name].rate:.1f} ×"
            for name in others
            if seen[cell.name, "gateway"].rate < 3 * seen[cell.name, name].rate
        ]
        line(f"requests per second three times those of every peer, {cell.name}", rows)
    if "aiohttp" in names:
        large = PASSED[-1].name
        ratio = seen[large, "gateway"].rate / seen[large, "aiohttp"].rate
        line(
            f"large bodies pass at least as fast as through plain aiohttp ({ratio:.2f} ×)", [] if ratio >= 1 else ["-"]
        )
    return found
