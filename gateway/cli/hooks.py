"""`gateway hooks`: tier two, what an integration declares, and whether it is called."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any

import click

from gateway.cli.breakers import breaker
from gateway.cli.failures import Misuse
from gateway.cli.hook_options import HOOK_OF, bulk_options, draft, hook_fields, of_integration
from gateway.cli.lookup import find_hook_id, find_integration, integration_names
from gateway.cli.options import ControlCommand, ControlGroup, Session, confirm, examples, pass_session, seconds
from gateway.cli.output import said, write, write_facts, write_table
from gateway.cli.plan_options import CLEARABLE, clear_option
from gateway.cli.purge import purge
from gateway.cli.why import explain, outcomes, test

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.cli.client import ControlClient

# With `drain`, the gateway answers when the calls in flight are done: its ceiling for one call is 10 s.
_DRAIN_TIMEOUT_SECONDS = 30.0


@click.group(
    cls=ControlGroup,
    epilog=examples(
        "gateway hooks list",
        "gateway hooks disable prices/convert --drain",
        "gateway hooks enable --type search --lease 1h",
    ),
)
def hooks() -> None:
    """Declare, enable and disable hooks.

    For the operator and for integrations. A hook is named by its id, as integration/hook, or by its name
    alone where only one hook has it.
    """


for command in (breaker, purge, explain, test, outcomes):
    hooks.add_command(command)


@hooks.command("list", cls=ControlCommand, epilog=examples("gateway hooks list", "gateway hooks list -i prices"))
@of_integration
@pass_session
def list_(session: Session, /, integration: str | None) -> None:
    """List hooks in the order of their calls."""
    client = session.client()
    items = list(client.pages("/v1/hooks", query={"integration": _integration_id(client, integration)}))
    write(
        {"items": items, "next_cursor": None},
        as_json=session.as_json,
        otherwise=lambda: _write_hooks(client, items),
    )


@hooks.command(cls=ControlCommand, epilog=examples("gateway hooks show prices/convert"))
@click.argument("hook", metavar=HOOK_OF)
@of_integration
@pass_session
def show(session: Session, /, hook: str, integration: str | None) -> None:
    """Show one hook."""
    client = session.client()
    _write_hook(session, client.call("GET", f"/v1/hooks/{_hook_id(client, hook, integration)}"))


@hooks.command(
    cls=ControlCommand,
    epilog=examples(
        "gateway hooks create convert /convert -i prices --type search --timeout-ms 300",
    ),
)
@click.argument("name")
@click.argument("path")
@hook_fields
@of_integration
@pass_session
def create(session: Session, /, name: str, path: str, integration: str | None, **given: Any) -> None:
    """Create a hook; it begins disabled.

    It is called at PATH below its integration's base URL.
    """
    client = session.client()
    query = {"integration": _integration_id(client, integration)}
    body = {"name": name, "path": path, **draft(given)}
    _write_hook(session, client.call("POST", "/v1/hooks", query=query, body=body))


@hooks.command(
    cls=ControlCommand,
    epilog=examples(
        "gateway hooks replace hooks.json -i prices",
        "",
        "where hooks.json is a list such as",
        '  [{"name": "convert", "path": "/convert", "types": ["search"], "timeout_ms": 300}]',
    ),
)
@click.argument("file", type=click.File("r", encoding="utf-8"))
@of_integration
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@pass_session
def replace(session: Session, /, file: IO[str], integration: str | None, yes: bool) -> None:
    """Replace an integration's whole set of hooks.

    FILE holds the new list ("-" is standard input); it is taken in one step or not at all. A hook whose
    name stays keeps its id; one that is not in the list is removed.
    """
    try:
        listed = json.load(file)
    except (ValueError, RecursionError):
        raise Misuse(f"{file.name!r} is not JSON; it must hold a list of hooks.") from None
    if not isinstance(listed, list):
        raise Misuse(f"{file.name!r} must hold a JSON list of hooks.")
    client = session.client()
    query = {"integration": _integration_id(client, integration)}
    confirm(f"Replace all hooks by the {len(listed)} in {file.name!r}?", yes=yes)
    answer = client.call("PUT", "/v1/hooks", query=query, body=listed)
    write(answer, as_json=session.as_json, otherwise=lambda: _write_hooks(client, answer["items"]))


@hooks.command(
    cls=ControlCommand,
    epilog=examples(
        "gateway hooks change prices/convert --timeout-ms 500 --order 10",
        "gateway hooks change prices/convert --any-tenant",
        "gateway hooks change prices/convert --mode canary --percent 5",
        "gateway hooks change prices/convert --condition 'query.params.currency != \"EUR\"'",
    ),
)
@click.argument("hook", metavar=HOOK_OF)
@click.option("--name", help="A new name.")
@click.option("--path", help="A new path.")
@hook_fields
@click.option("--any-type", is_flag=True, help="Serve every type that the envelope allows.")
@click.option("--any-capability", is_flag=True, help="… every capability.")
@click.option("--any-tenant", is_flag=True, help="… every tenant.")
@click.option("--default-timeout", is_flag=True, help="The gateway's default time limit.")
@click.option("--default-concurrency", is_flag=True, help="The gateway's default number of calls at once.")
@clear_option(CLEARABLE)
@click.option("--if-version", type=int, help="Only if this is still its version, as `show` tells it.")
@of_integration
@pass_session
def change(session: Session, /, hook: str, integration: str | None, if_version: int | None, **given: Any) -> None:
    """Change what is given of a hook."""
    body = draft(given)
    if not body:
        raise click.UsageError("Nothing to change is given; see --help for what can be changed.")
    client = session.client()
    path = f"/v1/hooks/{_hook_id(client, hook, integration)}"
    _write_hook(session, client.call("PATCH", path, body=body, if_version=if_version))


@hooks.command(cls=ControlCommand, epilog=examples("gateway hooks remove prices/convert --yes"))
@click.argument("hook", metavar=HOOK_OF)
@of_integration
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@pass_session
def remove(session: Session, /, hook: str, integration: str | None, yes: bool) -> None:
    """Remove a hook."""
    client = session.client()
    hook_id = _hook_id(client, hook, integration)
    confirm(f"Remove the hook {hook!r}?", yes=yes)
    client.call("DELETE", f"/v1/hooks/{hook_id}")
    write({"removed": hook_id}, as_json=session.as_json, otherwise=lambda: click.echo(f"Removed {hook} ({hook_id})."))


@hooks.command(
    cls=ControlCommand,
    epilog=examples(
        "gateway hooks enable prices/convert",
        "gateway hooks enable prices/convert --lease 15m",
        "gateway hooks enable --type search --type form",
    ),
)
@bulk_options
@click.option("--lease", callback=seconds, help="Disable it by itself after this long, unless renewed: 90s, 15m, 2h.")
@of_integration
@pass_session
def enable(session: Session, /, lease: float | None, **choice: Any) -> None:
    """Enable hooks.

    They are called for every query that starts from now on.
    """
    body = {} if lease is None else {"lease_seconds": lease}
    _switch(session, "enable", body, **choice)


@hooks.command(
    cls=ControlCommand,
    epilog=examples(
        "gateway hooks disable prices/convert",
        'gateway hooks disable prices/convert --drain --reason "moving to a new server"',
        "gateway hooks disable --capability currency",
    ),
)
@bulk_options
@click.option("--drain", is_flag=True, help="Come back only when no call to them is in flight any more.")
@click.option("--reason", help="Why, for whoever wonders.")
@of_integration
@pass_session
def disable(session: Session, /, drain: bool, reason: str | None, **choice: Any) -> None:
    """Disable hooks.

    They are not called for any query that starts from now on.
    """
    body: dict[str, Any] = {"drain": True} if drain else {}
    if reason is not None:
        body["reason"] = reason
    _switch(session, "disable", body, timeout_seconds=_DRAIN_TIMEOUT_SECONDS, **choice)


@hooks.command(
    cls=ControlCommand,
    epilog=examples(
        "gateway hooks promote prices/convert --percent 5", "gateway hooks promote prices/convert --mode active"
    ),
)
@click.argument("hook", metavar=HOOK_OF)
@click.option("--mode", type=click.Choice(["canary", "active"]), help="Where to; without it, the next step.")
@click.option("--percent", type=float, help="For how many of 100 queries a canary is active.")
@of_integration
@pass_session
def promote(session: Session, /, hook: str, mode: str | None, percent: float | None, integration: str | None) -> None:
    """Take a hook a step further: from shadow to canary, to a larger share, to active.

    Without options, the next step that its envelope allows. A canary that stepped back to shadow tries again.
    """
    client = session.client()
    body = {name: value for name, value in (("mode", mode), ("percent", percent)) if value is not None}
    path = f"/v1/hooks/{_hook_id(client, hook, integration)}/promote"
    _write_hook(session, client.call("POST", path, body=body))


def _switch(
    session: Session,
    verb: str,
    body: dict[str, Any],
    *,
    hook: Sequence[str],
    types: Sequence[str],
    capabilities: Sequence[str],
    integration: str | None,
    timeout_seconds: float = 15.0,
) -> None:
    if not (hook or types or capabilities):
        raise click.UsageError("Name at least one hook, or choose them with --type or --capability.")
    client = session.client()
    ids = [_hook_id(client, one, integration) for one in hook]
    if len(ids) == 1 and not (types or capabilities):
        path = f"/v1/hooks/{ids[0]}/{verb}"
        changed = client.call("POST", path, body=body, timeout_seconds=timeout_seconds)
        _write_hook(session, changed)
        return
    for name, values in (("ids", ids), ("types", types), ("capabilities", capabilities)):
        if values:
            body[name] = list(values)
    query = {"integration": _integration_id(client, integration)}
    path = f"/v1/hooks:{verb}"
    answer = client.call("POST", path, query=query, body=body, timeout_seconds=timeout_seconds)
    write(answer, as_json=session.as_json, otherwise=lambda: _write_hooks(client, answer["items"]))


def _integration_id(client: ControlClient, integration: str | None) -> str | None:
    return None if integration is None else str(find_integration(client, integration)["id"])


def _hook_id(client: ControlClient, hook: str, integration: str | None) -> str:
    return find_hook_id(client, hook, integration_id=_integration_id(client, integration))


def _write_hook(session: Session, hook: Mapping[str, Any]) -> None:
    anything = {"types", "capabilities", "tenants"}
    facts = {name: said(value, none="any" if name in anything else "-") for name, value in hook.items()}
    write(hook, as_json=session.as_json, otherwise=lambda: write_facts(facts))


def _write_hooks(client: ControlClient, items: Sequence[Mapping[str, Any]]) -> None:
    names = integration_names(client, items)
    columns = ("hook", "id", "state", "types", "capabilities", "order", "timeout_ms", "reason")
    rows = [
        (
            f"{names.get(hook['integration_id'], hook['integration_id'])}/{hook['name']}",
            hook["id"],
            hook["state"],
            said(hook["types"], none="any"),
            said(hook["capabilities"], none="any"),
            str(hook["order"]),
            said(hook["timeout_ms"], none="default"),
            said(hook["reason"]),
        )
        for hook in items
    ]
    write_table(columns, rows, empty="There is no hook.", spare=("id", "order", "timeout_ms"))
