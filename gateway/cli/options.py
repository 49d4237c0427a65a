"""The options that every command takes, before or after its name, and the command classes that bring them."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.cli.failures import Misuse

if TYPE_CHECKING:
    from gateway.cli.client import ControlClient

DEFAULT_URL: Final = "http://127.0.0.1:8081"


@dataclass(slots=True)
class Session:
    """What the common options say. One per run of the program; a later option overrides an earlier one."""

    as_json: bool = False
    no_color: bool = False
    url: str | None = None
    key: str | None = None
    key_file: Path | None = None

    def client(self) -> ControlClient:
        """The client for the control API, from the options or else the environment.

        Raises `Misuse` where there is no key or the URL cannot be used.
        """
        from gateway.cli.client import ControlClient

        return ControlClient(self.url or os.environ.get("GATEWAY_URL") or DEFAULT_URL, self._key())

    def _key(self) -> str:
        key = self.key
        file = self.key_file
        if key is None and file is None:
            key = os.environ.get("GATEWAY_KEY")
            named = os.environ.get("GATEWAY_KEY_FILE")
            file = Path(named) if named and not key else None
        if not key and file is not None:
            try:
                key = file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                why = error.strerror if isinstance(error, OSError) else "it is not text"
                raise Misuse(f"The key file {str(file)!r} cannot be read ({why}); check --key-file.") from None
        if not key:
            raise Misuse("No key is given: set GATEWAY_KEY, or use --key-file FILE or --key KEY.")
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise Misuse("The key holds a character that no key has; check --key, --key-file or GATEWAY_KEY.")
        return key


pass_session = click.make_pass_decorator(Session, ensure=True)


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value is None or value is False:
        return
    session = context.ensure_object(Session)
    setattr(session, str(parameter.name), value)
    if parameter.name == "no_color":
        context.find_root().color = context.color = False


def presentation_options() -> list[click.Option]:
    """`--json` and `--no-color`."""
    return [
        click.Option(
            ["--json", "as_json"],
            is_flag=True,
            expose_value=False,
            callback=_keep,
            help="Write JSON; errors become problem documents on standard error.",
        ),
        click.Option(
            ["--no-color"],
            is_flag=True,
            expose_value=False,
            callback=_keep,
            help="No colours (also NO_COLOR, and when not on a terminal).",
        ),
    ]


def control_options() -> list[click.Option]:
    """`--url`, `--key` and `--key-file`."""
    return [
        click.Option(
            ["--url"],
            expose_value=False,
            callback=_keep,
            help=f"The gateway's control API (GATEWAY_URL; {DEFAULT_URL} by default).",
        ),
        click.Option(
            ["--key"],
            expose_value=False,
            callback=_keep,
            help="The key to use (GATEWAY_KEY). Other users may see it in the list of processes.",
        ),
        click.Option(
            ["--key-file"],
            type=click.Path(path_type=Path, dir_okay=False),
            expose_value=False,
            callback=_keep,
            help="A file that holds the key (GATEWAY_KEY_FILE).",
        ),
    ]


class LocalCommand(click.Command):
    """A command that does not talk to a running gateway."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(presentation_options())


class ControlCommand(click.Command):
    """A command that makes calls to the control API."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend([*control_options(), *presentation_options()])


_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    """For an option's `callback`: a duration such as `90`, `90s`, `15m`, `2h` or `1d`, in seconds."""
    return None if value is None else duration(value)


def duration(value: str) -> float:
    """A duration such as `90`, `90s`, `15m`, `2h` or `1d` in seconds. Raises `click.BadParameter`."""
    number = value[:-1] if value[-1:] in _UNITS else value
    if not (number.isascii() and number.replace(".", "", 1).isdigit()) or len(number) > 12:
        raise click.BadParameter(f"{value!r} is not a duration; write it like 90, 90s, 15m, 2h or 1d.")
    return float(number) * _UNITS.get(value[-1:], 1)


class ControlGroup(click.Group):
    """A group of such commands; it takes the common options as well, for those who write them first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend([*control_options(), *presentation_options()])


def examples(*lines: str) -> str:
    """The end of a command's help: lines to copy."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is destroyed. Without a terminal, only `--yes` will do. Raises `click.Abort` on a no."""
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise Misuse(f"{question} There is no terminal to answer on: repeat the command with --yes.")
    click.confirm(question, abort=True, err=True)
