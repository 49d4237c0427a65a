"""Identifiers: short, unguessable where it matters, and cheap where they are made per call."""

from __future__ import annotations

import os
import secrets
from itertools import count

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case


def random_id(prefix: str) -> str:
    """A new id like `hk_4m9…` with 80 random bits. For things that last."""
    n = int.from_bytes(secrets.token_bytes(10), "big")
    return prefix + "_" + "".join(_ALPHABET[(n >> shift) & 31] for shift in range(75, -5, -5))


class IdSource:
    """Makes ids for things that come and go by the thousand per second.

    A random prefix of 64 bits, new in each process, followed by a counter: unique without asking the
    operating system for randomness each time. Not secret: each id tells the next one.
    """

    __slots__ = ("_count", "_prefix", "_word")

    def __init__(self, word: str) -> None:
        self._word = word
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)  # two processes must not count on from the same number

    def _renew(self) -> None:
        self._prefix = f"{self._word}_{secrets.token_hex(8)}"
        self._count = count(1)

    def __call__(self) -> str:
        """The next id."""
        return f"{self._prefix}{next(self._count):x}"


# The method rather than the object: to call that takes half as long again.
query_id = IdSource("q").__call__
message_id = IdSource("msg").__call__
event_id = IdSource("evt").__call__
