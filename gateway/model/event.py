"""Something that happened, as it is told to whoever subscribed."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that was published. It never changes.

    `id` is the `webhook-id` of every attempt to tell it. `data` is a JSON document as bytes. `key` groups events
    whose order matters. `source` is a CloudEvents source, `time` seconds since 1970, UTC. `publisher` says who
    published it: within one publisher, an `idempotency_key` stands for one event. `integration_id` is the
    integration that it is about, `tenant` the tenant; each is `None` where there is none. `traceparent` is the W3C
    trace context of its publication. `sequence` is given by the store and grows.
    """

    id: str
    type: str
    data: bytes = field(repr=False)
    time: float
    source: str = "/gateway"
    key: str | None = None
    subject: str | None = None
    publisher: str = "gateway"
    integration_id: str | None = None
    tenant: str | None = None
    idempotency_key: str | None = None
    traceparent: str | None = None
    sequence: int = 0
