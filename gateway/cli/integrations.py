"""`gateway integrations`: tier one, what the operator registers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gateway.cli.lookup import find_integration
from gateway.cli.options import ControlCommand, ControlGroup, Session, confirm, examples, pass_session, seconds
from gateway.cli.output import said, write, write_facts, write_table
from gateway.cli.plan_options import CLEARABLE_OF_ENVELOPE, clear_option, envelope_plan_options, with_plan
from gateway.cli.security_options import security_facts, security_of, security_options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_ENVELOPE = ("types", "capabilities", "tenants")


@click.group(
    cls=ControlGroup,
    epilog=examples(
        "gateway integrations register prices https://prices.example.com --type search",
        "gateway integrations list",
    ),
)
def integrations() -> None:
    """Register integration servers.

    For the operator, who also says what each of them may do.
    """


def _envelope_options(function: Callable[..., None]) -> Callable[..., None]:
    function = envelope_plan_options(function)
    for option in reversed(
        [
            click.option("--type", "types", multiple=True, help="A query type its hooks may serve; repeat for more."),
            click.option("--capability", "capabilities", multiple=True, help="A capability; repeat for more."),
            click.option("--tenant", "tenants", multiple=True, help="A tenant; repeat for more."),
            click.option("--max-timeout-ms", type=int, help="The highest time limit of its hooks."),
            click.option(
                "--failure-policy",
                type=click.Choice(["ignore", "fail"]),
                help="The most severe policy its hooks may choose.",
            ),
            click.option("--may-reject/--may-not-reject", default=None, help="Whether a 422 rejects the query."),
            click.option("--signed-replies/--unsigned-replies", default=None, help="Whether replies must be signed."),
        ]
    ):
        function = option(function)
    return function


def _envelope(given: dict[str, Any]) -> dict[str, Any]:
    envelope = with_plan({}, given)
    for name, value in given.items():
        if value is None or value == ():
            continue
        envelope[name] = list(value) if isinstance(value, tuple) else value
    return envelope


@integrations.command(
    "list", cls=ControlCommand, epilog=examples("gateway integrations list", "gateway integrations list --json")
)
@pass_session
def list_(session: Session, /) -> None:
    """List all integrations."""
    items = list(session.client().pages("/v1/integrations"))
    columns = ("name", "id", "base_url", "priority", "state")
    rows = [
        (i["name"], i["id"], i["base_url"], str(i["priority"]), "enabled" if i["enabled"] else "disabled")
        for i in items
    ]
    write(
        {"items": items, "next_cursor": None},
        as_json=session.as_json,
        otherwise=lambda: write_table(
            columns,
            rows,
            empty="No integration is registered yet: gateway integrations register NAME URL",
            spare=("priority",),
        ),
    )


@integrations.command(cls=ControlCommand, epilog=examples("gateway integrations show prices"))
@click.argument("integration")
@pass_session
def show(session: Session, /, integration: str) -> None:
    """Show one integration."""
    write_integration(session, find_integration(session.client(), integration))


@integrations.command(
    cls=ControlCommand,
    epilog=examples(
        "gateway integrations register prices https://prices.example.com",
        "gateway integrations register geo https://geo.example.com/hooks \\",
        "    --type search --type form --tenant acme --max-timeout-ms 500",
    ),
)
@click.argument("name")
@click.argument("base_url")
@click.option("--priority", type=int, help="Higher runs first; 0 by default.")
@click.option("--health-path", help="An absolute path that answers health checks.")
@_envelope_options
@security_options
@pass_session
def register(
    session: Session, /, name: str, base_url: str, priority: int | None, health_path: str | None, **given: Any
) -> None:
    """Register an integration server.

    Its API key and its signing secret are shown this once. Without --type, --capability or --tenant its
    hooks may serve all of them.
    """
    body: dict[str, Any] = {"name": name, "base_url": base_url, **security_of(given)}
    if priority is not None:
        body["priority"] = priority
    if health_path is not None:
        body["health_path"] = health_path
    if ceiling := _envelope(given):
        body["envelope"] = ceiling
    made = session.client().call("POST", "/v1/integrations", body=body)

    def otherwise() -> None:
        write_facts(facts_of(made))
        click.echo("\nGive these to the integration server; they are not shown again:")
        write_facts({"api_key": made["api_key"], "secret": made["secret"]})

    write(made, as_json=session.as_json, otherwise=otherwise)


@integrations.command(
    cls=ControlCommand,
    epilog=examples(
        "gateway integrations change prices --base-url https://new.example.com",
        "gateway integrations change prices --type search --any-tenant",
        "gateway integrations change prices --read /rows/*/price --mode shadow --mode canary",
        "gateway integrations change prices --priority 10 --if-version 3",
    ),
)
@click.argument("integration")
@click.option("--name", help="A new name.")
@click.option("--base-url", help="A new base URL; its hooks prove their ownership again.")
@click.option("--priority", type=int, help="Higher runs first.")
@click.option("--health-path", help='An absolute path; "" for none.')
@_envelope_options
@security_options
@click.option("--any-type", is_flag=True, help="Its hooks may serve every type.")
@click.option("--any-capability", is_flag=True, help="… every capability.")
@click.option("--any-tenant", is_flag=True, help="… every tenant.")
@clear_option(CLEARABLE_OF_ENVELOPE)
@click.option("--no-max-timeout", is_flag=True, help="No time limit below the gateway's own.")
@click.option("--no-reply-public-keys", is_flag=True, help="No Ed25519 key for its replies.")
@click.option("--no-tls", is_flag=True, help="Connections are secured as those to all others.")
@click.option("--if-version", type=int, help="Only if this is still its version, as `show` tells it.")
@pass_session
def change(
    session: Session,
    /,
    integration: str,
    any_type: bool,
    any_capability: bool,
    any_tenant: bool,
    no_max_timeout: bool,
    no_reply_public_keys: bool,
    no_tls: bool,
    if_version: int | None,
    **given: Any,
) -> None:
    """Change what is given of an integration.

    A narrower envelope holds for its hooks at once.
    """
    body = {name: value for name in ("name", "base_url", "priority") if (value := given.pop(name)) is not None}
    body |= security_of(given)
    for name, taken_away, nothing in (("reply_public_keys", no_reply_public_keys, []), ("tls", no_tls, None)):
        if taken_away:
            if name in body:
                raise click.UsageError(f"Give either a value for {name} or the option that clears it, not both.")
            body[name] = nothing
    health_path = given.pop("health_path")
    if health_path is not None:
        body["health_path"] = health_path or None
    envelope = _envelope(given)
    for name, any_one in zip(_ENVELOPE, (any_type, any_capability, any_tenant), strict=True):
        if any_one:
            if name in envelope:
                raise click.UsageError(f"Give either values for the {name} or that any will do, not both.")
            envelope[name] = None
    if no_max_timeout:
        envelope["max_timeout_ms"] = None
    if envelope:
        body["envelope"] = envelope
    if not body:
        raise click.UsageError("Nothing to change is given; see --help for what can be changed.")
    _patch(session, integration, body, if_version)


@integrations.command(cls=ControlCommand, epilog=examples("gateway integrations enable prices"))
@click.argument("integration")
@pass_session
def enable(session: Session, /, integration: str) -> None:
    """Switch an integration on.

    Its enabled hooks are called again.
    """
    _patch(session, integration, {"enabled": True}, None)


@integrations.command(cls=ControlCommand, epilog=examples("gateway integrations disable prices"))
@click.argument("integration")
@pass_session
def disable(session: Session, /, integration: str) -> None:
    """Switch an integration off.

    None of its hooks is called until it is enabled again.
    """
    _patch(session, integration, {"enabled": False}, None)


def _patch(session: Session, integration: str, body: Mapping[str, Any], if_version: int | None) -> None:
    client = session.client()
    found = find_integration(client, integration)
    path = f"/v1/integrations/{found['id']}"
    write_integration(session, client.call("PATCH", path, body=body, if_version=if_version))


@integrations.command(cls=ControlCommand, epilog=examples("gateway integrations remove prices --yes"))
@click.argument("integration")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@pass_session
def remove(session: Session, /, integration: str, yes: bool) -> None:
    """Remove an integration with all its hooks."""
    client = session.client()
    found = find_integration(client, integration)
    confirm(f"Remove the integration {found['name']!r} with all its hooks?", yes=yes)
    client.call("DELETE", f"/v1/integrations/{found['id']}")
    write(
        {"removed": found["id"]},
        as_json=session.as_json,
        otherwise=lambda: click.echo(f"Removed {found['name']} ({found['id']})."),
    )


@integrations.command(
    cls=ControlCommand,
    epilog=examples(
        "gateway integrations rotate prices api_key",
        "gateway integrations rotate prices secret --grace 1h",
        "gateway integrations rotate prices signing_key",
    ),
)
@click.argument("integration")
@click.argument("what", type=click.Choice(["api_key", "secret", "signing_key"]))
@click.option(
    "--grace", default="1d", callback=seconds, show_default=True, help="How long the old one holds too: 90s, 15m, 2h."
)
@pass_session
def rotate(session: Session, /, integration: str, what: str, grace: float) -> None:
    """Make a new API key, signing secret or signing key.

    Old and new hold during the grace. A signing key is an Ed25519 key pair: the gateway signs with the private
    key, the integration server verifies with the public one.
    """
    client = session.client()
    found = find_integration(client, integration)
    path = f"/v1/integrations/{found['id']}/credentials"
    made = client.call("POST", path, body={"what": what, "grace_seconds": grace})

    def otherwise() -> None:
        write_facts({name: str(value) for name, value in made.items() if value is not None})
        if what == "signing_key":
            click.echo("\nGive the public key to the integration server; it is no secret.")
        else:
            click.echo(f"\nGive the {what} to the integration server; it is not shown again.")

    write(made, as_json=session.as_json, otherwise=otherwise)


def facts_of(integration: Mapping[str, Any]) -> dict[str, str]:
    """An integration as names and values, without its credentials."""
    facts: dict[str, str] = {}
    for name, value in integration.items():
        if name == "envelope":
            facts |= {f"envelope.{part}": said(v, none=_none(part)) for part, v in value.items()}
        elif (told := security_facts(name, value)) is not None:
            facts |= told
        elif name not in {"api_key", "secret"}:
            facts[name] = said(value)
    return facts


def _none(part: str) -> str:
    return "any" if part in _ENVELOPE else "-"


def write_integration(session: Session, integration: Mapping[str, Any]) -> None:
    """One integration, as JSON or as facts."""
    write(integration, as_json=session.as_json, otherwise=lambda: write_facts(facts_of(integration)))
