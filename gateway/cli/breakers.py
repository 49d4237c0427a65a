"""`gateway hooks breaker`: how the breaker of a hook stands, and closing it by hand."""

from __future__ import annotations

import click

from gateway.cli.hook_options import HOOK_OF, of_integration
from gateway.cli.lookup import find_hook_id, find_integration
from gateway.cli.options import ControlCommand, Session, examples, pass_session
from gateway.cli.output import said, write, write_facts


@click.command(
    cls=ControlCommand,
    epilog=examples("gateway hooks breaker prices/convert", "gateway hooks breaker prices/convert --reset"),
)
@click.argument("hook", metavar=HOOK_OF)
@click.option("--reset", is_flag=True, help="Close it first, and forget what it has seen.")
@of_integration
@pass_session
def breaker(session: Session, /, hook: str, integration: str | None, reset: bool) -> None:
    """Show the breaker of a hook.

    A hook whose calls fail or are slow too often is left alone for a while. Each process of a gateway has
    breakers of its own; this is about the one that answers.
    """
    client = session.client()
    owner = None if integration is None else str(find_integration(client, integration)["id"])
    path = f"/v1/hooks/{find_hook_id(client, hook, integration_id=owner)}/breaker"
    status = client.call("POST", f"{path}/reset") if reset else client.call("GET", path)
    facts = {name: said(value) for name, value in status.items()}
    write(status, as_json=session.as_json, otherwise=lambda: write_facts(facts))
