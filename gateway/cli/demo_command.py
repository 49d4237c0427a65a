"""`gateway demo`: see it work."""

from __future__ import annotations

import os
import sys

import click

from gateway.cli.options import LocalCommand, Session, examples, pass_session


@click.command(
    cls=LocalCommand,
    epilog=examples(
        "gateway demo",
        "gateway demo --once",
        "gateway demo --port 9000 --control-port 9001",
    ),
)
@click.option("--once", is_flag=True, help="End after the story, with exit code 1 if it did not go as promised.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of the query API; any free one by default.")
@click.option(
    "--control-port", type=click.IntRange(0, 65535), default=0, help="Of the control API; any free one by default."
)
@pass_session
def demo(session: Session, once: bool, port: int, control_port: int) -> None:
    """See it work, on real data.

    A query API over the airports of the world, the gateway, and an integration server in its own process:
    queries before and after their hooks, one that answers garbage, and one that hangs and is disabled by
    API. Then everything stays up, with lines to copy, until Ctrl-C.

    With --json the story goes to standard error, and one line of JSON with the URLs, the operator's key and
    what did not go as promised goes to standard output.
    """
    from rich.console import Console

    from gateway.cli.demo.run import DemoOptions, run_demo
    from gateway.runtime import run

    stream = sys.stderr if session.as_json else sys.stdout
    console = Console(
        file=stream,
        width=None if stream.isatty() else max(80, _columns()),
        color_system=None if session.no_color else "auto",
        highlight=False,
    )
    options = DemoOptions(once=once, port=port, control_port=control_port)
    kept = run(run_demo(console, options, click.echo if session.as_json else None))
    if not kept:
        raise click.exceptions.Exit(1)


def _columns() -> int:
    """The width where there is no terminal to ask: COLUMNS, or enough for the tables."""
    named = os.environ.get("COLUMNS", "")
    return int(named) if named.isascii() and named.isdigit() and len(named) < 5 else 100
