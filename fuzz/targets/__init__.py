"""What is fuzzed. A target takes any bytes, and fails with an `AssertionError` (or any other error) on a finding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fuzz.targets import events, front, patch, reader, receiver, reply, signature, upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["TARGETS", "Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to fuzz: its law, realistic inputs to start from, and words that its inputs are made of."""

    check: Callable[[bytes], None]
    seeds: Callable[[], Mapping[str, bytes]]
    words: Sequence[bytes]


TARGETS: Final = {
    "reply": Target(reply.check, reply.seeds, reply.WORDS),
    "patch": Target(patch.check, patch.seeds, patch.WORDS),
    "signature": Target(signature.check, signature.seeds, signature.WORDS),
    "cloudevents": Target(events.check, events.seeds, events.WORDS),
    "receiver": Target(receiver.check, receiver.seeds, receiver.WORDS),
    "front": Target(front.check, front.seeds, front.WORDS),
    "upstream": Target(upstream.check, upstream.seeds, upstream.WORDS),
    "reader": Target(reader.check, reader.seeds, reader.WORDS),
}
