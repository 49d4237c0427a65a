"""`gateway relay`: delivers events without serving anything."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from gateway.cli.configuration import config_option, load
from gateway.cli.options import LocalCommand, Session, examples, pass_session
from gateway.cli.output import write_facts

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    cls=LocalCommand,
    epilog=examples(
        "gateway relay",
        "gateway relay --config gateway.toml",
        "gateway relay --config gateway.toml --listen 127.0.0.1:8082",
    ),
)
@config_option
@click.option("--listen", metavar="HOST:PORT", help="Where /metrics, /healthz and /readyz are; nowhere by default.")
@pass_session
def relay(session: Session, file: Path | None, listen: str | None) -> None:
    """Deliver events to subscriptions until Ctrl-C or SIGTERM.

    It works on the store of the configuration, beside any number of gateways and other relays; for a gateway that
    leaves it to others, set relay.enabled = false. It logs to standard error. With --json, one line of JSON says
    that it has begun.
    """
    settings = load(file, {"relay.listen": listen})
    from gateway.errors import ConfigError
    from gateway.observe.log import configure_logging
    from gateway.runtime import run
    from gateway.service.relay_process import serve_relay

    if settings.store.url == "memory:":
        raise ConfigError(
            'A relay of its own has nothing to deliver from store.url = "memory:", which no other process can reach; '
            "name the store of the gateway."
        )
    if session.no_color:
        configure_logging(settings.log.format, settings.log.level, sys.stderr, env={"NO_COLOR": "1"})
    else:
        configure_logging(settings.log.format, settings.log.level, sys.stderr)

    def announce(url: str | None) -> None:
        if session.as_json:
            click.echo(json.dumps({"store": settings.store.url, "metrics_url": url}))
        else:
            none = "not shown (relay.listen)"
            write_facts({"delivering from": settings.store.url, "metrics": f"{url}/metrics" if url else none})
        sys.stdout.flush()

    run(serve_relay(settings, announce=announce))
