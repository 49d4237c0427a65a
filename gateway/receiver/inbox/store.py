"""Where an inbox keeps its messages: the protocol, and the reference in memory.

Every store passes `gateway.testing.inbox_exam.InboxExam`.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from gateway.receiver.inbox.message import InboxCounts, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.receiver.inbox.message import Message

__all__ = ["InboxStore", "MemoryInboxStore"]


class InboxStore(Protocol):
    """Keeps messages. Methods may be called from several threads, and of several processes where it is shared.

    What a method changed has lasted when it returns. All of them raise `InboxError` if the store cannot be used, and
    nothing is changed then. `now` and other times are seconds since 1970.
    """

    def add(self, message: Message) -> bool:
        """Keep a new message; `False` if there is one with this id already, whatever its state."""
        ...

    def claim(self, now: float, lease_seconds: float, limit: int) -> Sequence[Message]:
        """At most `limit` new messages whose time has come and that nobody holds, in order of arrival.

        They are held for `lease_seconds`; a claim counts as an attempt.
        """
        ...

    def processed(self, message: Message, now: float) -> bool:
        """The message is processed. `False` if it was claimed by someone else since."""
        ...

    def failed(self, message: Message, now: float, error: str) -> bool:
        """The message has failed for good. `False` if it was claimed by someone else since."""
        ...

    def again(self, message: Message, at: float, error: str | None) -> bool:
        """The message is to be tried again at that time. `False` if it was claimed by someone else since."""
        ...

    def replay(self, message_id: str, now: float) -> bool:
        """The message is new again, and due now, with all its attempts. `False` if there is none with this id."""
        ...

    def find(self, message_id: str) -> Message | None:
        """The message with this id."""
        ...

    def listed(self, state: State | None = None, *, limit: int = 100, before: int | None = None) -> Sequence[Message]:
        """The last messages, newest first: those in `state`, and with a lower number than `before`, where given."""
        ...

    def counts(self) -> InboxCounts:
        """How many messages there are."""
        ...

    def prune(self, before: float) -> int:
        """Forget what was processed before that time; how many that were."""
        ...

    def close(self) -> None:
        """Let go of whatever is held open."""
        ...


class MemoryInboxStore:
    """An `InboxStore` that forgets everything with the process: the reference implementation."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._messages: dict[str, Message] = {}
        self._count = 0

    def add(self, message: Message) -> bool:
        """See `InboxStore.add`."""
        with self._lock:
            if message.id in self._messages:
                return False
            self._count += 1
            self._messages[message.id] = replace(message, number=self._count)
            return True

    def claim(self, now: float, lease_seconds: float, limit: int) -> Sequence[Message]:
        """See `InboxStore.claim`."""
        with self._lock:
            free = [
                each
                for each in self._messages.values()
                if each.state is State.NEW
                and each.due_at <= now
                and (each.lease_until is None or each.lease_until <= now)
            ]
            claimed = [
                replace(each, attempts=each.attempts + 1, claim=each.claim + 1, lease_until=now + lease_seconds)
                for each in sorted(free, key=lambda each: each.number)[:limit]
            ]
            self._messages.update((each.id, each) for each in claimed)
            return claimed

    def processed(self, message: Message, now: float) -> bool:
        """See `InboxStore.processed`."""
        return self._end(message, state=State.PROCESSED, finished_at=now, error=None)

    def failed(self, message: Message, now: float, error: str) -> bool:
        """See `InboxStore.failed`."""
        return self._end(message, state=State.FAILED, finished_at=now, error=error)

    def again(self, message: Message, at: float, error: str | None) -> bool:
        """See `InboxStore.again`."""
        return self._end(message, due_at=at, error=error)

    def _end(self, message: Message, **changes: object) -> bool:
        with self._lock:
            present = self._messages.get(message.id)
            if present is None or present.claim != message.claim or present.state is not State.NEW:
                return False
            self._messages[message.id] = replace(present, lease_until=None, **changes)  # type: ignore[arg-type]  # named above
            return True

    def replay(self, message_id: str, now: float) -> bool:
        """See `InboxStore.replay`."""
        with self._lock:
            present = self._messages.get(message_id)
            if present is None:
                return False
            if present.state is State.NEW:
                self._messages[message_id] = replace(present, due_at=now, attempts=0)
            else:
                self._messages[message_id] = replace(
                    present, state=State.NEW, due_at=now, attempts=0, finished_at=None, lease_until=None
                )
            return True

    def find(self, message_id: str) -> Message | None:
        """See `InboxStore.find`."""
        return self._messages.get(message_id)

    def listed(self, state: State | None = None, *, limit: int = 100, before: int | None = None) -> Sequence[Message]:
        """See `InboxStore.listed`."""
        with self._lock:
            fitting = [
                each
                for each in self._messages.values()
                if state in (None, each.state) and (before is None or each.number < before)
            ]
        return sorted(fitting, key=lambda each: -each.number)[:limit]

    def counts(self) -> InboxCounts:
        """See `InboxStore.counts`."""
        with self._lock:
            states = [each.state for each in self._messages.values()]
        return InboxCounts(*(states.count(state) for state in State))

    def prune(self, before: float) -> int:
        """See `InboxStore.prune`."""
        with self._lock:
            old = [
                each.id
                for each in self._messages.values()
                if each.state is State.PROCESSED and (each.finished_at or 0.0) < before
            ]
            for message_id in old:
                del self._messages[message_id]
            return len(old)

    def close(self) -> None:
        """Nothing is held open."""
