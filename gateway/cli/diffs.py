"""A JSON Patch for people: each change with what was there and what is there, in red and green."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.cli.output import printable
from gateway.wire.patch import PatchError, apply_json_patch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_ABSENT: Final = object()
_LONGEST: Final = 200


def write_diff(patch: Sequence[Mapping[str, Any]], before: Any = _ABSENT, *, indent: str = "") -> None:
    """The changes that `patch` makes, on standard output. With the document `before`, what was there is shown too."""
    for path, removed, added in _changes(patch, before):
        click.echo(indent + click.style(printable(path or "(the whole document)"), bold=True))
        for sign, value, color in (("-", removed, "red"), ("+", added, "green")):
            if value is not _ABSENT:
                click.echo(indent + click.style(f"  {sign} {_shown(value)}", fg=color))


def _changes(patch: Sequence[Mapping[str, Any]], before: Any) -> Iterator[tuple[str, Any, Any]]:
    """Where each operation changes something, what it takes away, and what it puts there."""
    now = copy.deepcopy(before) if before is not _ABSENT else _ABSENT
    for operation in patch:
        kind, path = operation["op"], operation["path"]
        old = _at(now, path) if kind in {"remove", "replace"} else _ABSENT
        if kind == "remove" and old is _ABSENT:
            old = "(removed)"
        yield path, old, operation.get("value", _ABSENT)
        if now is not _ABSENT:
            try:
                now = apply_json_patch(now, [copy.deepcopy(dict(operation))])
            except PatchError:  # it is not about this document
                now = _ABSENT


def _at(document: Any, path: str) -> Any:
    for part in path.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict) and name in document:
            document = document[name]
        elif isinstance(document, list) and name.isdecimal() and int(name) < len(document):
            document = document[int(name)]
        else:
            return _ABSENT
    return document


def _shown(value: Any) -> str:
    text = printable(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
