"""What holds for the connections to one upstream; `gateway.config.upstreams` says what each value is for."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds, sizes in bytes. `idle` 0: no limit.

    `connect`: name, TCP and TLS together. `answer`: from the end of the request to the head of the answer. `idle`:
    between two pieces of an answer. `write`: for which an upstream may take nothing of a request. `wait`: for a
    connection, while `connections` are in use. `head`: the largest head of an answer.

    `down_after` failures in a row make an upstream down for `down`, then twice as long each time, `longest_down` at
    most. `health_path` is asked every `health_interval` and must answer within `health_timeout`.
    """

    connect: float = 5.0
    answer: float = 60.0
    idle: float = 60.0
    write: float = 30.0
    wait: float = 1.0
    connections: int = 512
    keep_alive: float = 30.0
    head: int = 65_536
    retries: int = 1
    down_after: int = 3
    down: float = 1.0
    longest_down: float = 30.0
    health_path: str | None = None
    health_interval: float = 10.0
    health_timeout: float = 2.0
