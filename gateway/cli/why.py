"""`gateway hooks explain`, `test` and `outcomes`: why a result is as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from gateway.cli.diffs import write_diff
from gateway.cli.failures import FAILED
from gateway.cli.hook_options import HOOK_OF, of_integration
from gateway.cli.lookup import find_hook_id, find_integration
from gateway.cli.options import ControlCommand, Session, examples, pass_session
from gateway.cli.output import printable, said, write, write_facts, write_table
from gateway.cli.query_options import asked, query_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.cli.client import ControlClient

_PAGE: Final = 500
# A test takes as long as its hook may, and a handshake before it: the gateway's ceiling for each is 10 s by default.
_TEST_TIMEOUT_SECONDS: Final = 45.0
_COLORS: Final = {"applied": "green", "unchanged": "green", "cached": "green", "failed": "red", "rejected": "red"}


@click.command(
    cls=ControlCommand,
    epilog=examples(
        "gateway hooks explain --type search --tenant acme",
        'gateway hooks explain --type search --params \'{"q": "lisbon"}\' --result @result.json -i prices',
    ),
)
@query_options
@of_integration
@pass_session
def explain(session: Session, /, integration: str | None, **given: str | None) -> None:
    """Say which hooks a query would meet, in which order, and why not the others.

    No hook is called. A condition that looks at the result needs --result.
    """
    body = asked(given)
    client = session.client()
    told = client.call("POST", "/v1/explain", query={"integration": _owner(client, integration)}, body=body)
    write(told, as_json=session.as_json, otherwise=lambda: _write_explanation(told))


@click.command(
    cls=ControlCommand,
    epilog=examples(
        "gateway hooks test prices/convert --type search --result '{\"rows\": []}'",
        "curl -s https://api.example.com/search | gateway hooks test prices/convert --type search --result -",
    ),
)
@click.argument("hook", metavar=HOOK_OF)
@query_options
@of_integration
@pass_session
@click.pass_context
def test(context: click.Context, session: Session, /, hook: str, integration: str | None, **given: str | None) -> None:
    """Call a hook for real, enabled or not, and apply nothing.

    Shows what was sent, what came back, what would have become of it and what it would have changed. The exit code is 1
    if the reply could not have been used.
    """
    body = asked(given)
    if "result" not in body:
        raise click.UsageError("Give the result that is sent to the hook with --result.")
    client = session.client()
    path = f"/v1/hooks/{_hook_id(client, hook, integration)}/test"
    told = client.call("POST", path, body=body, timeout_seconds=_TEST_TIMEOUT_SECONDS)
    write(told, as_json=session.as_json, otherwise=lambda: _write_trial(told, body["result"]))
    if told["outcome"]["status"] == "failed":
        context.exit(FAILED)


@click.command(
    cls=ControlCommand,
    epilog=examples(
        "gateway hooks outcomes prices/convert",
        "gateway hooks outcomes prices/convert --outcome failed --since 2026-01-31T00:00:00Z --diffs",
    ),
)
@click.argument("hook", metavar=HOOK_OF)
@click.option("--outcome", help="Only these: a status or a reason, or several with commas.")
@click.option("--since", metavar="TIME", help="Only those at this time or later, such as 2026-01-31T12:00:00Z.")
@click.option("--until", metavar="TIME", help="Only those before this time.")
@click.option("--diffs", is_flag=True, help="Show what replies changed, where that is remembered.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="The most to show.")
@of_integration
@pass_session
def outcomes(
    session: Session, /, hook: str, integration: str | None, diffs: bool, limit: int, **criteria: str | None
) -> None:
    """List what became of a hook's replies lately, the latest first, and why any were discarded.

    Each process of a gateway remembers its own calls; this is about the one that answers.
    """
    client = session.client()
    path = f"/v1/hooks/{_hook_id(client, hook, integration)}/outcomes"
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    while len(items) < limit:
        asked_for = {**criteria, "limit": str(min(_PAGE, limit - len(items))), "cursor": cursor}
        page = client.call("GET", path, query=asked_for)
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    write(
        {"items": items, "next_cursor": cursor},
        as_json=session.as_json,
        otherwise=lambda: _write_outcomes(items, diffs=diffs),
    )


def _write_explanation(told: Mapping[str, Any]) -> None:
    write_table(
        ("call", "hook", "mode", "timeout_ms", "failure_policy", "note"),
        [
            (
                str(number),
                _named(each),
                each["mode"],
                str(each["limits"]["timeout_ms"]),
                each["limits"]["failure_policy"],
                said(each["note"]),
            )
            for number, each in enumerate(told["would_run"], start=1)
        ],
        empty="No hook would run.",
        spare=("failure_policy",),
    )
    if told["would_not_run"]:
        click.echo()
        write_table(
            ("not called", "why", "more"),
            [(_named(each), each["reason"], each["detail"]) for each in told["would_not_run"]],
            empty="",
        )


def _write_trial(told: Mapping[str, Any], sent: Any) -> None:
    request, reply, outcome = told["request"], told["reply"], told["outcome"]
    facts = {"request": "none was sent"}
    if request is not None:
        facts = {
            "request": f"{request['method']} {request['url']}",
            "webhook-id": request["headers"].get("webhook-id", "-"),
            "sent": _body(request),
        }
    facts["reply"] = (
        "none" if reply is None else f"{reply['status']} {reply['headers'].get('content-type', '')}".strip()
    )
    if reply is not None:
        facts["received"] = _body(reply)
    if told["more"]:
        facts["more"] = f"{len(told['more'])} further exchanges; --json shows them"
    facts["time"] = f"{outcome['milliseconds']:g} ms"
    write_facts(facts)
    width = max(map(len, facts))
    _write_fact("outcome", width, outcome["status"], _why(outcome), color=_COLORS.get(outcome["status"], "yellow"))
    if told["problem"] is not None:
        _write_fact("problem", width, said(told["problem"].get("detail") or told["problem"].get("title")))
    if told["diff"] is None:
        _write_fact("diff", width, said(told["diff_note"]))
    elif told["diff"]:
        click.echo()
        write_diff(told["diff"], sent)
    else:
        _write_fact("diff", width, "nothing would change")


def _write_fact(name: str, width: int, value: str, more: str = "", *, color: str | None = None) -> None:
    told = click.style(printable(value), fg=color)
    click.echo(f"{click.style(name.ljust(width), bold=True)}  {told}{printable(more)}")


def _why(outcome: Mapping[str, Any]) -> str:
    why = ": ".join(outcome[part] for part in ("reason", "detail") if outcome[part] is not None)
    return f" ({why})" if why else ""


def _write_outcomes(items: list[dict[str, Any]], *, diffs: bool) -> None:
    write_table(
        ("at", "status", "reason", "ms", "type", "tenant", "webhook-id", "detail"),
        [
            (
                each["at"],
                _status(each),
                said((each["would_be"] or each)["reason"]),
                f"{each['milliseconds']:.1f}",
                each["query"]["type"],
                said(each["query"]["tenant"]),
                said(each["call_id"]),
                said((each["would_be"] or each)["detail"]),
            )
            for each in items
        ],
        empty="Nothing that fits is remembered.",
        spare=("webhook-id", "type", "tenant"),
    )
    if not diffs:
        return
    for each in items:
        diff = each["diff"]
        if diff is None or diff["patch"] == []:
            continue
        click.echo(f"\n{each['at']} {said(each['call_id'])}")
        if diff["patch"] is None:
            click.echo(f"  {printable(said(diff['note']))}")
        else:
            write_diff(diff["patch"], indent="  ")


def _status(each: Mapping[str, Any]) -> str:
    would_be = each["would_be"]
    return str(each["status"]) if would_be is None else f"{each['status']} ({would_be['status']})"


def _named(each: Mapping[str, Any]) -> str:
    return f"{each['integration']}/{each['hook']}"


def _body(side: Mapping[str, Any]) -> str:
    note = f"; {side['body_note']}" if side["body_note"] else ""
    text = side["body"] or ""
    shown = text if len(text) <= 300 else text[:299] + "…"
    return f"{side['body_bytes']} bytes{note}{f': {shown}' if shown else ''}"


def _owner(client: ControlClient, integration: str | None) -> str | None:
    return None if integration is None else str(find_integration(client, integration)["id"])


def _hook_id(client: ControlClient, hook: str, integration: str | None) -> str:
    return find_hook_id(client, hook, integration_id=_owner(client, integration))
