"""The options that describe a query and its result."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.failures import Misuse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def query_options(function: Callable[..., None]) -> Callable[..., None]:
    """`--type`, `--capability`, `--tenant`, `--params`, `--context`, `--result`."""
    for option in reversed(
        [
            click.option("--type", required=True, help="The query's type."),
            click.option("--capability", help="Its capability."),
            click.option("--tenant", help="Its tenant."),
            click.option("--params", metavar="JSON", help="Its params: JSON, or @FILE."),
            click.option("--context", metavar="JSON", help="Its context: JSON, or @FILE."),
            click.option(
                "--result",
                metavar="JSON",
                help="The result of the data-query phase: JSON, @FILE, or - (standard input).",
            ),
        ]
    ):
        function = option(function)
    return function


def asked(given: Mapping[str, str | None]) -> dict[str, Any]:
    """The body `{"query": …, "result": …}`; without `--result` it has no result. Raises `Misuse`."""
    query: dict[str, Any] = {name: given[name] for name in ("type", "capability", "tenant") if given[name] is not None}
    for name in ("params", "context"):
        if (text := given[name]) is not None:
            query[name] = _json(name, text)
    body: dict[str, Any] = {"query": query}
    if (text := given["result"]) is not None:
        body["result"] = _json("result", text)
    return body


def _json(name: str, text: str) -> Any:
    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise Misuse(f"The file of --{name} cannot be read ({why}).") from None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Misuse(f"--{name} is not JSON; a string needs its quotes, and a file an @ before its name.") from None
