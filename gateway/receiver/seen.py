"""Which messages came before, and what they were answered: bounded, within the replay window."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway.receiver.messages import HttpReply

__all__ = ["MemorySeen", "Seen", "SeenMessages"]


@dataclass(frozen=True, slots=True)
class Seen:
    """A message that came before: the SHA-256 of its body, and the reply if there is one that holds."""

    digest: bytes
    reply: HttpReply | None = None


class SeenMessages(Protocol):
    """Remembers message ids. Several servers behind one address share what they saw through one of their own.

    Its methods are quick, and may be called from several threads at once.
    """

    def begin(self, message_id: str, digest: bytes, now: float) -> Seen | None:
        """What is known of the message, `None` if it is new; then it is known from here on. `now`: seconds."""
        ...

    def keep(self, message_id: str, reply: HttpReply) -> None:
        """The reply to answer with when the message comes again."""
        ...


class MemorySeen:
    """Remembers in memory: at most `max_messages`, for `seconds`, and at most `max_bytes` of reply bodies.

    Where that does not suffice, the oldest go first: replies before ids.
    """

    def __init__(
        self, *, seconds: float = 600.0, max_messages: int = 100_000, max_bytes: int = 32 * 1024 * 1024
    ) -> None:
        self._seconds = seconds
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, tuple[float, Seen]] = OrderedDict()
        self._replies: OrderedDict[str, int] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._seen)

    @property
    def kept_bytes(self) -> int:
        """How many bytes of reply bodies are remembered."""
        return self._bytes

    def begin(self, message_id: str, digest: bytes, now: float) -> Seen | None:
        """See `SeenMessages.begin`."""
        with self._lock:
            while self._seen and self._oldest()[1] <= now - self._seconds:
                self._forget(self._oldest()[0])
            known = self._seen.get(message_id)
            if known is not None:
                return known[1]
            if len(self._seen) >= self._max_messages:
                self._forget(self._oldest()[0])
            self._seen[message_id] = (now, Seen(digest))
            return None

    def keep(self, message_id: str, reply: HttpReply) -> None:
        """See `SeenMessages.keep`. A reply that alone is larger than `max_bytes` is not kept."""
        size = len(reply.body)
        with self._lock:
            known = self._seen.get(message_id)
            if known is None or known[1].reply is not None or size > self._max_bytes:
                return
            while self._bytes + size > self._max_bytes:
                self._forget_reply(next(iter(self._replies)))
            at, seen = known
            self._seen[message_id] = (at, Seen(seen.digest, reply))
            self._replies[message_id] = size
            self._bytes += size

    def _oldest(self) -> tuple[str, float]:
        message_id, (at, _) = next(iter(self._seen.items()))
        return message_id, at

    def _forget(self, message_id: str) -> None:
        self._forget_reply(message_id)
        del self._seen[message_id]

    def _forget_reply(self, message_id: str) -> None:
        size = self._replies.pop(message_id, None)
        if size is not None:
            self._bytes -= size
            at, seen = self._seen[message_id]
            self._seen[message_id] = (at, Seen(seen.digest))
