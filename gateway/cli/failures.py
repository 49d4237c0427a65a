"""How a command fails: an exit code, one sentence with the way out, and a problem document for `--json`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.cli.output import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

FAILED: Final = 1
MISUSED: Final = 2
UNREACHABLE: Final = 3


class Failure(click.ClickException):
    """The command could not do what was asked. `problem` is an RFC 9457 document."""

    exit_code = FAILED
    title = "Failed"

    def __init__(self, detail: str, *, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.problem: dict[str, Any] = {"type": "about:blank", "title": self.title, "detail": detail}
        if problem is not None:
            self.problem = dict(problem)


class Misuse(Failure):
    """The command line or the configuration is wrong."""

    exit_code = MISUSED
    title = "Wrong usage or configuration"


class Unreachable(Failure):
    """The gateway's control API could not be reached."""

    exit_code = UNREACHABLE
    title = "Gateway not reached"


def report(error: click.ClickException, *, as_json: bool, color: bool | None) -> int:
    """Tell the user on standard error what went wrong, and return the exit code."""
    if as_json:
        problem = error.problem if isinstance(error, Failure) else _problem_of(error)
        click.echo(json.dumps(problem, indent=2, ensure_ascii=False), err=True)
    elif isinstance(error, Failure):
        label = click.style("Error:", fg="red", bold=True)
        text = printable(error.message, keep="\n")
        click.echo(f"{label} {text}", err=True, color=color)
    else:
        error.show()
    return error.exit_code


def _problem_of(error: click.ClickException) -> dict[str, Any]:
    return {"type": "about:blank", "title": Misuse.title, "detail": error.format_message()}
