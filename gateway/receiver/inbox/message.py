"""One notification, and what has become of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

__all__ = ["InboxCounts", "Message", "State"]


class State(StrEnum):
    """What has become of a message."""

    NEW = "new"
    PROCESSED = "processed"
    FAILED = "failed"


class InboxCounts(NamedTuple):
    """How many messages there are in each state."""

    new: int = 0
    processed: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """A verified notification. `id` is its `webhook-id`: the same however often it is delivered.

    `headers` have lower-case names, and no signature; `body` is as it came. `attempts` counts how often a handler
    began; `due_at` is when the next one may; `error` says what went wrong last. `claim` is the number of its last
    claim by a worker, `number` its place in the order of arrival. Times are seconds since 1970.
    """

    id: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    received_at: float
    state: State = State.NEW
    attempts: int = 0
    due_at: float = 0.0
    lease_until: float | None = None
    finished_at: float | None = None
    error: str | None = None
    claim: int = 0
    number: int = 0

    def header(self, name: str) -> str | None:
        """The value of the header `name` (lower case), `None` if it is absent."""
        return next((value for key, value in self.headers if key == name), None)

    def value(self) -> Any:
        """The body's JSON value. Raises `ValueError` if it is not JSON."""
        return orjson.loads(self.body)

    @property
    def type(self) -> str | None:
        """The type of the event: the attribute of CloudEvents, or the member of Standard Webhooks; else `None`."""
        kind = self.header("ce-type")
        if kind is not None:
            return kind
        try:
            document = self.value()
        except ValueError:
            return None
        kind = document.get("type") if isinstance(document, dict) else None
        return kind if isinstance(kind, str) else None
