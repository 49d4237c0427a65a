"""What can be done with an inbox by hand: `list`, `show`, `replay`, `prune`; the same for both command lines."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gateway.errors import InboxError
from gateway.receiver.inbox.message import State
from gateway.receiver.inbox.sqlite import SqliteInboxStore

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gateway.receiver.inbox.message import Message

__all__ = ["inbox_in", "replayed", "shown", "summary"]


def inbox_in(path: Path) -> SqliteInboxStore:
    """The inbox in an existing file. Raises `InboxError`."""
    if not path.is_file():
        raise InboxError(f"There is no inbox {path}; the option --db names its file.")
    return SqliteInboxStore(path)


def summary(message: Message) -> dict[str, Any]:
    """A message as a JSON document, without its body."""
    return {
        "number": message.number,
        "id": message.id,
        "type": message.type,
        "state": message.state.value,
        "attempts": message.attempts,
        "received_at": _time(message.received_at),
        "due_at": _time(message.due_at) if message.state is State.NEW else None,
        "finished_at": _time(message.finished_at),
        "error": message.error,
    }


def shown(message: Message) -> dict[str, Any]:
    """A message as a JSON document, with its headers and its body: as `value` if it is JSON, else as `base64`."""
    try:
        body: dict[str, Any] = {"value": message.value()}
    except ValueError:
        body = {"base64": base64.b64encode(message.body).decode()}
    return {**summary(message), "headers": [list(pair) for pair in message.headers], "body": body}


def replayed(store: SqliteInboxStore, ids: Iterable[str], *, every_failed: bool, now: float) -> list[str]:
    """Make these messages new again, or all that have failed; their ids. Raises `InboxError` for one that is not there.

    Where one is not there, those before it are replayed.
    """
    wanted = list(ids)
    if every_failed:
        before = None
        while page := store.listed(State.FAILED, limit=500, before=before):
            wanted += [message.id for message in page]
            before = page[-1].number
    done = []
    for message_id in dict.fromkeys(wanted):
        if not store.replay(message_id, now):
            raise InboxError(f"There is no message {message_id!r} in the inbox; `list` shows those there are.")
        done.append(message_id)
    return done


def _time(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
