"""`gateway replay`: a recorded call, once more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from gateway.cli.failures import FAILED, Failure, Misuse
from gateway.cli.lookup import find_integration
from gateway.cli.options import ControlCommand, Session, examples, pass_session
from gateway.cli.output import printable, write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.cli.client import ControlClient

_COLOURS = {"failed": "red", "rejected": "yellow"}


@click.command(
    cls=ControlCommand,
    epilog=examples(
        "gateway replay msg_0f3a9c1d2e4b5a6c71",
        "gateway replay msg_0f3a9c1d2e4b5a6c71 --edit",
        "gateway replay msg_0f3a9c1d2e4b5a6c71 --to https://staging.example.com/price-fx",
    ),
)
@click.argument("call_id")
@click.option("--to", metavar="URL", help="Send it to this URL instead of the hook's own.")
@click.option("--edit", is_flag=True, help="Edit the recorded body first, with $VISUAL or $EDITOR.")
@click.option("--body", type=click.Path(path_type=Path), help="A file with the body to send instead.")
@click.option("--integration", "-i", help="On behalf of this integration, by name or id.")
@pass_session
def replay(
    session: Session, /, call_id: str, to: str | None, *, edit: bool, body: Path | None, integration: str | None
) -> None:
    """Send a recorded call again, and compare the replies.

    CALL_ID is the call's webhook-id, as its outcome tells it. The gateway sends it, freshly signed, under a new id and
    only where its address guard lets calls go. Nothing of the reply is applied. What was sent must have been kept
    (journal.bodies), unless a body is given. Exit code 1 if the reply would be discarded.
    """
    if edit and body is not None:
        raise Misuse("--edit and --body cannot be given together.")
    client = session.client()
    query = {"integration": None if integration is None else str(find_integration(client, integration)["id"])}
    path = f"/v1/calls/{quote(call_id, safe='')}"
    asked: dict[str, Any] = {} if to is None else {"to": to}
    if edit:
        asked["body"] = _edited(client, path, query)
    elif body is not None:
        asked["body"] = _text_of(body)
    answer = client.call("POST", f"{path}/replay", query=query, body=asked)
    write(answer, as_json=session.as_json, otherwise=lambda: _write(answer))
    if answer["outcome"]["status"] == "failed":
        click.get_current_context().exit(FAILED)


def _edited(client: ControlClient, path: str, query: Mapping[str, str | None]) -> str:
    request = client.call("GET", path, query=query)["request"]
    if request is None:
        raise Failure("What this call sent was not kept (journal.bodies); give the body to send with --body FILE.")
    if request["body"] is None or request["body_note"] is not None:
        raise Failure(f"The body was not kept whole: {request['body_note']}. Give the one to send with --body FILE.")
    edited = click.edit(_pretty(request["body"]), extension=".json")
    if edited is None:
        raise Failure("The editor was left without saving, so nothing was sent.")
    return edited


def _text_of(file: Path) -> str:
    try:
        return file.read_bytes().decode()
    except OSError as error:
        raise Misuse(f"The file {file} could not be read: {(error.strerror or 'unknown').lower()}.") from None
    except UnicodeDecodeError:
        raise Misuse(f"The file {file} is not UTF-8 text.") from None


def _pretty(text: str) -> str:
    """JSON on several lines, every number as it is written; anything else as it is."""
    import orjson

    from gateway.wire.document import parse_exact

    try:
        return orjson.dumps(parse_exact(text.encode()), option=orjson.OPT_INDENT_2).decode() + "\n"
    except (ValueError, TypeError, RecursionError):
        return text


def _write(answer: Mapping[str, Any]) -> None:
    request, reply, recorded, outcome = (answer[name] for name in ("request", "reply", "recorded", "outcome"))
    if request is not None:
        click.echo(f"POST {printable(request['url'])}  {request['body_bytes']} bytes")
    status = outcome["status"] + (f": {outcome['reason']}" if outcome["reason"] else "")
    code = "no reply" if reply is None else f"status {reply['status']}"
    click.echo(f"{code}, {click.style(status, fg=_COLOURS.get(outcome['status'], 'green'))}", nl=False)
    click.echo(f", {outcome['milliseconds']:.1f} ms" + ("" if recorded is None else f" (then: {recorded['status']})"))
    if outcome["detail"]:
        click.echo(printable(outcome["detail"]))
    if reply is not None and reply["body"]:
        click.echo(f"\n{printable(_pretty(reply['body']), keep=chr(10)).rstrip()}")
    if answer["diff"] is None:
        click.echo(f"\nThe replies were {printable(answer['diff_note'] or 'not compared')}.")
    elif not answer["diff"]:
        click.echo("\nThe reply is the recorded one.")
    else:
        click.echo("\nWhat differs from the recorded reply:")
        for operation in answer["diff"]:
            value = f"  {_one_line(operation['value'])}" if "value" in operation else ""
            click.echo(f"  {operation['op']:8} {printable(operation['path'])}{printable(value)}")


def _one_line(value: Any) -> str:
    import json

    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}…"
