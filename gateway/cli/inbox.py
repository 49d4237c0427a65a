"""`gateway inbox`: the messages of an inbox, from its file."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import click

from gateway.cli.failures import Failure, Misuse
from gateway.cli.options import ControlGroup, LocalCommand, Session, examples, pass_session
from gateway.cli.output import said, write, write_facts, write_json, write_table

T = TypeVar("T")

_DB = click.option(
    "--db",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("inbox.db"),
    show_default=True,
    help="The inbox's file.",
)


@click.group(cls=ControlGroup, epilog=examples("gateway inbox list --db inbox.db", "gateway inbox replay --failed"))
def inbox() -> None:
    """See and replay the notifications that an inbox has taken in.

    It reads the inbox's file, so it runs where that is, and no gateway is asked.
    """


@inbox.command(
    "list",
    cls=LocalCommand,
    epilog=examples("gateway inbox list --db inbox.db", "gateway inbox list --state failed --json"),
)
@_DB
@click.option("--state", type=click.Choice(["new", "processed", "failed"]), help="Only messages in this state.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="The most to show.")
@pass_session
def list_messages(session: Session, /, db: Path, state: str | None, limit: int) -> None:
    """List the last messages, newest first."""
    from gateway.receiver.inbox.command import inbox_in, summary
    from gateway.receiver.inbox.message import State

    with closing(inbox_in(db)) as store:
        items = [summary(each) for each in store.listed(None if state is None else State(state), limit=limit)]
        counts = store.counts()._asdict()
    write(
        {"items": items, "counts": counts},
        as_json=session.as_json,
        otherwise=lambda: write_table(
            ("id", "type", "state", "attempts", "received", "due", "error"),
            [_row(each) for each in items],
            empty="There is no such message.",
            spare=("due",),
        ),
    )


def _row(item: dict[str, Any]) -> tuple[str, ...]:
    names = ("id", "type", "state", "attempts", "received_at", "due_at", "error")
    return tuple(said(item[name]) for name in names)


@inbox.command(cls=LocalCommand, epilog=examples("gateway inbox show evt_3f8k2m9q4r7t1v5x --db inbox.db"))
@click.argument("message_id", metavar="ID")
@_DB
@pass_session
def show(session: Session, /, message_id: str, db: Path) -> None:
    """Show one message with its headers and its body."""
    from gateway.receiver.inbox.command import inbox_in, shown

    with closing(inbox_in(db)) as store:
        message = store.find(message_id)
    if message is None:
        raise Failure(f"There is no message {message_id!r} in {db}; `gateway inbox list` shows those there are.")
    document = shown(message)
    if session.as_json:
        write_json(document)
        return
    write_facts({name: said(value) for name, value in document.items() if name not in ("headers", "body")})
    write_facts(dict(document["headers"]) or {"headers": "none"})
    write_json(document["body"].get("value", document["body"]))


@inbox.command(
    cls=LocalCommand,
    epilog=examples("gateway inbox replay evt_3f8k2m9q4r7t1v5x", "gateway inbox replay --failed --db inbox.db"),
)
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--failed", is_flag=True, help="All messages that have failed.")
@_DB
@pass_session
def replay(session: Session, /, ids: tuple[str, ...], failed: bool, db: Path) -> None:
    """Make messages new again, so that the inbox's worker handles them once more."""
    from gateway.receiver.inbox.command import inbox_in, replayed

    if not ids and not failed:
        raise Misuse("Name the messages to replay by their ids, or say --failed.")
    with closing(inbox_in(db)) as store:
        done = replayed(store, ids, every_failed=failed, now=time.time())
    write(
        {"replayed": done},
        as_json=session.as_json,
        otherwise=lambda: click.echo(f"{len(done)} to be handled again: {', '.join(done) or 'none has failed'}."),
    )
