"""`gateway hooks purge`: forgetting what was kept of a hook's replies."""

from __future__ import annotations

import click

from gateway.cli.hook_options import HOOK_OF, of_integration
from gateway.cli.lookup import find_hook_id, find_integration
from gateway.cli.options import ControlCommand, Session, examples, pass_session
from gateway.cli.output import said, write, write_facts


@click.command(cls=ControlCommand, epilog=examples("gateway hooks purge prices/convert"))
@click.argument("hook", metavar=HOOK_OF)
@of_integration
@pass_session
def purge(session: Session, /, hook: str, integration: str | None) -> None:
    """Forget the replies of a hook.

    No reply that it gave before is used again for queries that start after this, in any process of the gateway.
    """
    client = session.client()
    owner = None if integration is None else str(find_integration(client, integration)["id"])
    purged = client.call("POST", f"/v1/hooks/{find_hook_id(client, hook, integration_id=owner)}/purge")
    facts = {name: said(value) for name, value in purged.items()}
    write(purged, as_json=session.as_json, otherwise=lambda: write_facts(facts))
