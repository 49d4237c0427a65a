"""`gateway ready`: what a health check runs."""

from __future__ import annotations

import os
from typing import Final

import click

from gateway.cli.options import DEFAULT_URL, ControlCommand, Session, examples, pass_session
from gateway.cli.output import write

_LISTEN: Final = "GATEWAY_CONTROL__LISTEN"  # as `gateway serve` reads it: a container may be told so


@click.command(
    cls=ControlCommand,
    epilog=examples(
        "gateway ready",
        "gateway ready --live",
        "gateway ready --url http+unix:///run/query-hook-gateway/control.sock",
    ),
)
@click.option("--live", is_flag=True, help="Ask only whether the process answers, not whether it should be sent work.")
@pass_session
def ready(session: Session, *, live: bool) -> None:
    """Ask the gateway whether it should be sent work.

    Exit code 0 if so, 1 if not, with the reason, and 3 if it does not answer. Needs no key. Without --url and
    GATEWAY_URL, it asks where GATEWAY_CONTROL__LISTEN lets the gateway listen.
    """
    from gateway.cli.client import ControlClient

    client = ControlClient(session.url or os.environ.get("GATEWAY_URL") or _listening() or DEFAULT_URL, "")
    told = client.call("GET", "/healthz" if live else "/readyz", timeout_seconds=5.0)

    def otherwise() -> None:
        click.echo("It answers." if live else "It is ready.")
        for upstream in told.get("upstreams", ()):
            click.echo(
                f"  {upstream['url']}: {upstream['state']}" + (f" ({upstream['why']})" if upstream["why"] else "")
            )

    write(told, as_json=session.as_json, otherwise=otherwise)


def _listening() -> str | None:
    """The control API of a gateway that is served with this environment; `None` where the environment does not say."""
    text = os.environ.get(_LISTEN)
    if not text:
        return None
    from gateway.config.values import parse_listen_address

    try:
        return parse_listen_address(text).local_url
    except ValueError as e:
        raise click.UsageError(f"{_LISTEN} {e}.") from None
