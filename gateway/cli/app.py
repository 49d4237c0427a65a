"""The program: all commands under one name, and the one place where errors become exit codes."""

from __future__ import annotations

import errno
import io
import os
import sys
import tempfile
import traceback
from typing import TYPE_CHECKING

import click

from gateway import __version__
from gateway.cli.audit import audit
from gateway.cli.completion import completion
from gateway.cli.configuration import config
from gateway.cli.demo_command import demo
from gateway.cli.events import events
from gateway.cli.failures import FAILED, Failure, Misuse, report
from gateway.cli.hooks import hooks
from gateway.cli.inbox import inbox
from gateway.cli.inspect_command import inspect
from gateway.cli.integrations import integrations
from gateway.cli.listen import listen
from gateway.cli.options import ControlGroup, Session, examples
from gateway.cli.ready import ready
from gateway.cli.relay import relay
from gateway.cli.replay import replay
from gateway.cli.serve import serve
from gateway.cli.subscriptions import subscriptions
from gateway.cli.trigger import trigger
from gateway.cli.verify import verify
from gateway.errors import ConfigError, GatewayError, StoreSealed

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.group(
    cls=ControlGroup,
    name="gateway",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "gateway demo                         see it work, on real data",
        "gateway serve --upstream http://127.0.0.1:9000",
        "gateway integrations register prices https://prices.example.com",
        "gateway hooks list",
    )
    + "\n\nExit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 could not reach the gateway.",
)
@click.version_option(__version__, prog_name="gateway", message="%(prog)s %(version)s")
def program() -> None:
    """Calls the webhooks of integration servers between a query and its answer.

    The common options may stand before or after a command's name.
    """


for command in (
    demo,
    serve,
    ready,
    relay,
    integrations,
    hooks,
    subscriptions,
    events,
    verify,
    inspect,
    listen,
    replay,
    trigger,
    audit,
    inbox,
    config,
    completion,
):
    program.add_command(command)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code. What goes wrong is told in a sentence, never as a trace."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a character that the terminal cannot show is no reason to stop
    # An empty NO_COLOR does not count (no-color.org).
    session = Session(no_color=bool(os.environ.get("NO_COLOR")))
    color = False if session.no_color else None
    try:
        code = program.main(given, prog_name="gateway", standalone_mode=False, obj=session, color=color)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.Abort:
        click.echo("Stopped.", err=True)
        return FAILED
    except BrokenPipeError:
        # Whoever read the output has gone, such as `head`. Python would complain once more when it closes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # noqa: BLE001  the last line of defence: no trace to a user
        # A usage error can come before the option --json was seen.
        as_json = session.as_json or "--json" in given
        return report(_failure(error), as_json=as_json, color=False if session.no_color else None)


def _failure(error: Exception) -> click.ClickException:
    if isinstance(error, click.ClickException):
        return error
    if isinstance(error, (ConfigError, StoreSealed)):
        return Misuse(error.detail)
    if isinstance(error, GatewayError):
        return Failure(error.detail)
    if isinstance(error, OSError) and error.errno in {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES}:
        why = os.strerror(error.errno or 0)
        return Failure(f"A port or file could not be used ({why}); choose another, or free it.")
    with tempfile.NamedTemporaryFile(
        "w", prefix="gateway-error-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.writelines(traceback.format_exception(error))
    return Failure(
        f"Something is broken in the gateway itself ({type(error).__name__}); "
        f"please report it with the contents of {file.name}."
    )
