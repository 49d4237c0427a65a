"""How results look: JSON for programs, aligned tables and facts for people."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


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


def write_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """A table; `empty` is said instead where there is no row.

    On a terminal it fits the width. Elsewhere nothing is cut: columns are aligned by spaces, with two or
    more between them.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    if not rows:
        click.echo(empty)
    elif sys.stdout.isatty():
        _write_rich(columns, rows)
    else:
        widths = [max(len(line[at]) for line in [columns, *rows]) for at in range(len(columns))]
        for line in [columns, *rows]:
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _write_rich(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    context = click.get_current_context(silent=True)
    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    Console(no_color=True if context is not None and context.color is False else None).print(table)


_STYLES = {"enabled": "green", "disabled": "yellow"}


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
    return str(value)
