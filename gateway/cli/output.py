"""How results look: JSON for programs, aligned tables and facts for people."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_WIDEST: Final = 60  # characters


def printable(text: str, *, keep: str = "") -> str:
    """`text` with control characters shown as `�`: what a server says must not steer the terminal."""
    return "".join(c if c.isprintable() or c in keep else "�" for c in text)


def write_json(document: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def write(document: Any, *, as_json: bool, otherwise: Callable[[], None]) -> None:
    """The document as JSON, or whatever `otherwise` prints for people."""
    if as_json:
        write_json(document)
    else:
        otherwise()


def write_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str, spare: Sequence[str] = ()
) -> None:
    """A table; `empty` is said instead where there is no row.

    On a terminal, columns that say nothing are left out, and those in `spare` where the width does not
    suffice. Elsewhere nothing is left out: columns are aligned by spaces, with two or more between them. A cell that is
    very long stands out of its column rather than widening it for all.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    if not rows:
        click.echo(empty)
    elif sys.stdout.isatty():
        _write_rich(columns, rows, spare)
    else:
        widths = [min(_WIDEST, max(len(line[at]) for line in [columns, *rows])) for at in range(len(columns))]
        for line in [columns, *rows]:
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _write_rich(columns: Sequence[str], rows: Sequence[Sequence[str]], spare: Sequence[str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    context = click.get_current_context(silent=True)
    console = Console(color_system=None if context is not None and context.color is False else "auto")
    table = Table(box=SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    kept = _fitting(columns, rows, spare, console.width)
    for at in kept:
        table.add_column(columns[at], overflow="fold", no_wrap=at == 0)
    for row in rows:
        table.add_row(*(Text(row[at], style=_STYLES.get(row[at], "")) for at in kept))
    console.print(table)


def _fitting(columns: Sequence[str], rows: Sequence[Sequence[str]], spare: Sequence[str], width: int) -> list[int]:
    """Which columns to show in this width."""
    kept = [at for at in range(len(columns)) if at == 0 or any(row[at] not in _SAYS_NOTHING for row in rows)]
    for name in spare:
        natural = sum(max(len(line[at]) for line in [columns, *rows]) + 2 for at in kept)
        if natural <= width:
            break
        kept = [at for at in kept if columns[at] != name]
    return kept


_SAYS_NOTHING = {"", "-", "any"}
_STYLES = {"enabled": "green", "disabled": "yellow", "suspended": "red"}


def write_facts(facts: Mapping[str, str]) -> None:
    """Names and values below each other."""
    width = max(map(len, facts))
    for name, value in facts.items():
        click.echo(f"{click.style(name.ljust(width), bold=True)}  {printable(value)}")


def said(value: Any, *, none: str = "-") -> str:
    """A JSON value as a person would write it: lists with commas, `none` for null."""
    if value is None:
        return none
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) if value else "none"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
