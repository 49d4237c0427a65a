"""`gateway serve`: the standalone gateway and its control API."""

from __future__ import annotations

import json
import os
import shlex
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from gateway.cli.configuration import config_option, load
from gateway.cli.invocation import program_name
from gateway.cli.options import DEFAULT_URL, LocalCommand, Session, examples, pass_session
from gateway.cli.output import write_facts

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import LogSettings
    from gateway.service.serving import Listening


@click.command(
    cls=LocalCommand,
    epilog=examples(
        "gateway serve",
        "gateway serve --upstream http://127.0.0.1:9000",
        "gateway serve --config gateway.toml --control 127.0.0.1:9081",
        "GATEWAY_STORE__URL=memory: gateway serve",
    ),
)
@config_option
@click.option("--upstream", metavar="URL", help="The query API to stand in front of.")
@click.option(
    "--listen", metavar="ADDRESS", help="Where queries come in, as HOST:PORT or unix:/PATH; 127.0.0.1:8080 by default."
)
@click.option("--control", metavar="ADDRESS", help="Where the control API listens; 127.0.0.1:8081 by default.")
@click.option("--workers", metavar="N", type=int, help="How many processes answer queries; 1 by default.")
@pass_session
def serve(
    session: Session,
    file: Path | None,
    upstream: str | None,
    listen: str | None,
    control: str | None,
    workers: int | None,
) -> None:
    """Run the gateway until Ctrl-C or SIGTERM.

    Without any configuration it keeps its registry in gateway.db in the working directory, listens on this
    machine only, and makes an operator key at the first start. It logs to standard error. With --json, one
    line of JSON says where it listens.

    SIGHUP makes it read the configuration again. SIGTERM makes it finish what is in flight, a second one end at once.
    """
    flags = {"upstream": upstream, "listen": listen, "control.listen": control, "workers": workers}
    settings = load(file, flags)
    # After the settings: whoever got one wrong need not wait for the rest.
    from gateway.observe.log import configure_logging
    from gateway.runtime import run
    from gateway.service import garbage
    from gateway.service.serving import Program
    from gateway.service.serving import serve as run_gateway

    def configure(wanted: LogSettings) -> None:
        env = {"NO_COLOR": "1"} if session.no_color else os.environ
        configure_logging(wanted.format, wanted.level, sys.stderr, env=env)

    def announce(listening: Listening) -> None:
        (_announce_json if session.as_json else _announce)(listening)
        garbage.settle()

    configure(settings.log)
    program = Program(os.environ, lambda: load(file, flags), configure)
    run(run_gateway(settings, announce=announce, program=program))


def _announce_json(listening: Listening) -> None:
    click.echo(json.dumps(asdict(listening), default=str))
    sys.stdout.flush()


def _announce(listening: Listening) -> None:
    none = "not served: no upstream is configured (--upstream URL)"
    write_facts({"control API": listening.control_url, "gateway": listening.gateway_url or none})
    key, kept = listening.new_operator_key, listening.operator_key_file
    if key is not None:
        where = f", and kept in {kept}" if kept is not None else ""
        click.echo(f"\nAn operator key was made. It is shown this once{where}:\n\n  {key}")
    elif kept is not None:
        click.echo(f"\nThe operator key is the one in {kept}.")
    url = "" if listening.control_url == DEFAULT_URL else f" --url {listening.control_url}"
    given = f" --key-file {shlex.quote(str(kept))}" if kept is not None else " --key KEY"
    click.echo("\nNext, in another terminal:\n")
    program = program_name()
    click.echo(f"  {program} integrations register my-hooks https://hooks.example.com{url}{given}")
    click.echo(f"  {program} hooks list{url}{given}")
    held = f"-H 'authorization: Bearer {key or 'KEY'}'"
    click.echo(f"  {_curl(listening.control_url, '/v1/integrations', held)}")
    if listening.gateway_url is not None:
        click.echo(f"  {_curl(listening.gateway_url, '/', '-i')}")
    click.echo("")
    sys.stdout.flush()


def _curl(url: str, path: str, options: str) -> str:
    """The line that asks for `path`."""
    scheme, mark, socket_path = url.partition("+unix://")
    if not mark:
        return f"curl {options} {url}{path}"
    return f"curl {options} --unix-socket {shlex.quote(socket_path)} {scheme}://localhost{path}"
