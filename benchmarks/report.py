"""Results as Markdown: what was measured, on what, and what was not."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

RESULTS: Final = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Table:
    """A further table of a report, below a heading of its own."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Report:
    """One benchmark's result.

    `columns` name the columns of `rows`; `tables` are further ones. `how` says how it was measured,
    `aims` whether each aim was met, `not_measured` what the figures say nothing about.
    """

    name: str
    title: str
    how: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    aims: Sequence[str]
    not_measured: Sequence[str]
    more: Sequence[str] = ()
    tables: Sequence[Table] = ()

    def markdown(self, machine: Sequence[str]) -> str:
        """The report as a Markdown page."""
        lines = [f"# {self.title}", "", self.how, ""]
        lines += _table(self.columns, self.rows)
        for table in self.tables:
            lines += ["", f"## {table.title}", "", *_table(table.columns, table.rows)]
        sections = {
            "Aims": self.aims,
            "For comparison": self.more,
            "Machine": machine,
            "Not measured": self.not_measured,
        }
        for heading, items in sections.items():
            if items:
                lines += ["", f"## {heading}", "", *(f"- {item}" for item in items)]
        return "\n".join(lines) + "\n"

    def write(self, machine: Sequence[str], folder: Path = RESULTS) -> Path:
        """Write the page to `folder`; its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.md"
        path.write_text(self.markdown(machine))
        return path


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(columns) + " |", "|---" + "|---:" * (len(columns) - 1) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def aim(found: str, value: float, most: float) -> str:
    """A line that says what was found, what was aimed at, and whether that was met."""
    return f"{found}; the aim is at most {most:,.2f}: {'met' if value <= most else 'not met'}"


def machine_facts(loop: str) -> list[str]:
    """What the figures depend on: processor, system, Python, event loop, versions, date."""
    return [
        f"{_processor()}, {os.cpu_count()} processors, {platform.system()} {platform.machine()}",
        f"{platform.python_implementation()} {platform.python_version()}, {loop}",
        ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "httptools", "orjson", "uvloop")),
        f"{datetime.now(UTC):%Y-%m-%d}",
    ]


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"
