"""The inbox's own metrics, in Prometheus' text format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

if TYPE_CHECKING:
    from gateway.receiver.inbox.message import InboxCounts

__all__ = ["InboxMetrics"]


class InboxMetrics:
    """What came, what became of it, and how much is there."""

    content_type: Final = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._received = Counter("inbox_received", "Requests, by what was made of them.", ["what"], registry=registry)
        self._handled = Counter(
            "inbox_handled", "Attempts to handle a message, by how they went.", ["went"], registry=registry
        )
        self._messages = Gauge("inbox_messages", "Messages that are kept, by state.", ["state"], registry=registry)

    def received(self, what: str) -> None:
        """A request came: `new`, `known`, `refused`, `not_kept` or `too_large`."""
        self._received.labels(what).inc()

    def handled(self, went: str) -> None:
        """An attempt ended: `processed`, `again`, `failed` or `lost_lease`."""
        self._handled.labels(went).inc()

    def waiting(self, counts: InboxCounts) -> None:
        """So many messages are there."""
        for state, count in counts._asdict().items():
            self._messages.labels(state).set(count)

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)
