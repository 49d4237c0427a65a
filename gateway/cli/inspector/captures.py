"""What was sent: the last requests, in memory, and the means to hear of new ones."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway.wire.cloudevents import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.cli.inspector.steps import Step

__all__ = ["Capture", "Captures"]

MOST_KEPT: Final = 200
MOST_SHOWN_BYTES: Final = 1024 * 1024
_MOST_WAITING: Final = 1_000


@dataclass(frozen=True, slots=True)
class Capture:
    """One request: `at` is when its head had arrived (seconds since 1970), `body_ms` how long its body took."""

    number: int
    at: float
    body_ms: float
    remote: str
    method: str
    target: str
    version: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    steps: tuple[Step, ...]

    def summary(self) -> dict[str, Any]:
        """A line of the list."""
        return {
            "number": self.number,
            "at": rfc3339(self.at),
            "method": self.method,
            "target": self.target,
            "bytes": len(self.body),
            "type": self._event_type(),
            "signature": self.steps[-1].state if self.steps else "skipped",
        }

    def document(self) -> dict[str, Any]:
        """All of it."""
        text, pretty = self._texts()
        return self.summary() | {
            "remote": self.remote,
            "version": self.version,
            "headers": self.headers,
            "body": text,
            "pretty": pretty,
            "cut": len(self.body) > MOST_SHOWN_BYTES,
            "body_ms": round(self.body_ms, 2),
            "steps": [{"title": step.title, "state": step.state, "detail": step.detail} for step in self.steps],
        }

    def _event_type(self) -> str:
        header = next((value for name, value in self.headers if name.lower() == "ce-type"), None)
        if header is not None:
            return header
        try:
            event = json.loads(self.body)
        except (ValueError, RecursionError):
            return ""
        kind = event.get("type") if isinstance(event, dict) else None
        return kind if isinstance(kind, str) else ""

    def _texts(self) -> tuple[str, str | None]:
        """The body as text, and written prettily if it is JSON."""
        shown = self.body[:MOST_SHOWN_BYTES]
        text = shown.decode("utf-8", "backslashreplace")
        try:
            return text, json.dumps(json.loads(self.body), indent=2, ensure_ascii=False)[:MOST_SHOWN_BYTES]
        except (ValueError, RecursionError):
            return text, None


class Captures:
    """The last requests, the latest first. For one event loop."""

    def __init__(self) -> None:
        self._kept: deque[Capture] = deque(maxlen=MOST_KEPT)
        self._listeners: set[asyncio.Queue[Capture]] = set()
        self._count = 0

    def next_number(self) -> int:
        """The number of the request that has just come."""
        self._count += 1
        return self._count

    def add(self, capture: Capture) -> None:
        """Remember it, and tell those who listen. One who does not keep up misses some."""
        self._kept.appendleft(capture)
        for listener in self._listeners:
            if not listener.full():
                listener.put_nowait(capture)

    def all(self) -> list[Capture]:
        """Those that are remembered."""
        return list(self._kept)

    def get(self, number: int) -> Capture | None:
        """The one with this number, if it is still remembered."""
        return next((each for each in self._kept if each.number == number), None)

    @contextmanager
    def listening(self) -> Iterator[asyncio.Queue[Capture]]:
        """Those that come from now on."""
        queue: asyncio.Queue[Capture] = asyncio.Queue(_MOST_WAITING)
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)
