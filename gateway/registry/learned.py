"""What was learnt of a hook from its replies: whether they may be used again."""

from __future__ import annotations


class Learned:
    """Begins anew when the hook is changed, goes to another address, or is enabled after having been disabled.

    `reusable`: whether any of its replies could be used again; `None` before the first reply, `False` also for a hook
    whose replies must not be. `last`: whether the last one could. `trusted`: before the first reply, equal calls
    wait for each other; not so for a hook that says itself what becomes of many calls at once. For one event loop.
    """

    __slots__ = ("last", "reusable", "trusted")

    def __init__(self, *, reusable: bool | None = None, trusted: bool = True) -> None:
        self.reusable = reusable
        self.trusted = trusted
        self.last = False

    def replied(self, *, reusable: bool) -> None:
        """There was one more reply."""
        self.last = reusable
        if reusable or self.reusable is None:
            self.reusable = reusable
