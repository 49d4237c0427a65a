"""How the demo draws tables: few rows, what is new and what is gone marked as in a diff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.box import ASCII2, SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from rich.console import Console

SHOWN_ROWS: Final = 4
_GAP: Final = 2  # a padding and the box's own space
_LEAST: Final = 8
_STYLES: Final = {"applied": "green", "unchanged": "dim", "failed": "red", "skipped": "yellow", "rejected": "red"}


def result_table(
    console: Console, result: Mapping[str, Any], *, sign: str, marked: Collection[str], style: str
) -> Table:
    """The first rows of a result. Columns in `marked` get the sign (`+` or `-`) and the style.

    Where the console is too narrow, long texts are cut, never numbers.
    """
    columns: Sequence[str] = result["columns"]
    rows: Sequence[Sequence[Any]] = result["rows"][:SHOWN_ROWS]
    titles = [sign + column if column in marked else column for column in columns]
    cells = [[_cell(value) for value in row] for row in rows]
    numeric = [bool(rows) and all(isinstance(row[at], int | float) for row in rows) for at in range(len(columns))]
    table = _table(console)
    for at, width in enumerate(_widths(titles, cells, console.width)):
        is_marked = columns[at] in marked
        table.add_column(
            Text(titles[at], style=f"bold {style}" if is_marked else "bold"),
            justify="right" if numeric[at] else "left",
            style=style if is_marked else "",
            width=width,
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in cells:
        table.add_row(*map(Text, row))
    return table


def _widths(titles: Sequence[str], cells: Sequence[Sequence[str]], available: int) -> list[int]:
    """The columns' widths: the widest gives way first, but no column gets narrower than its title."""
    least = [max(len(title), _LEAST) for title in titles]
    widths = [max([len(title), *(len(row[at]) for row in cells)]) for at, title in enumerate(titles)]
    while sum(widths) + _GAP * (len(widths) - 1) > available:
        width, at = max(((width, at) for at, width in enumerate(widths) if width > least[at]), default=(0, -1))
        if at < 0:
            break
        widths[at] = width - 1
    return widths


def outcome_table(console: Console, outcomes: Sequence[Mapping[str, str]], deeds: Mapping[str, str]) -> Table:
    """What became of each hook, in order, and what it is there for."""
    table = _table(console)
    for column in ("hook", "outcome", "reason", "ms", "what it is to do"):
        table.add_column(Text(column, style="bold"), justify="right" if column == "ms" else "left", overflow="fold")
    for outcome in outcomes:
        status = outcome["status"]
        table.add_row(
            outcome["hook"],
            Text(status, style=_STYLES.get(status, "")),
            outcome.get("reason", ""),
            outcome.get("ms", ""),
            deeds.get(outcome["hook"], ""),
        )
    return table


def read_outcomes(header: str) -> list[dict[str, str]]:
    """The items of a `gateway-hooks` header: `hook`, `status`, and the parameters."""
    outcomes = []
    for item in filter(None, (part.strip() for part in header.split(","))):
        hook, *rest = item.split(";")
        outcome = {"hook": hook}
        for parameter in rest:
            name, equals, value = parameter.partition("=")
            if equals:
                outcome[name] = value
            else:
                outcome["status"] = name
        outcomes.append(outcome)
    return outcomes


def _table(console: Console) -> Table:
    unicode = (console.encoding or "").lower().startswith("utf")
    return Table(box=SIMPLE_HEAD if unicode else ASCII2, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}" if value == round(value, 1) else f"{value:.2f}"
    return str(value)
