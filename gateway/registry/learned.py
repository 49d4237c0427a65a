"""What was learnt of one generation of a hook from its replies: whether they may be used again."""

from __future__ import annotations


class Learned:
    """Begins anew with each generation of a hook, like everything that belongs to a `BoundHook`.

    `reusable`: whether any of its replies could be used again; `None` before the first reply, `False` also for a hook
    whose replies must not be. `last`: whether the last one could. For one event loop.
    """

    __slots__ = ("last", "reusable")

    def __init__(self, reusable: bool | None = None) -> None:  # noqa: FBT001  the one thing that it says
        self.reusable = reusable
        self.last = False

    def replied(self, *, reusable: bool) -> None:
        """There was one more reply."""
        self.last = reusable
        if reusable or self.reusable is None:
            self.reusable = reusable
