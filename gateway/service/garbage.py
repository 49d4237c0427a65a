"""Garbage collection in a process that answers queries.

A query leaves next to no reference cycles behind: what it needs is freed as soon as it is over. But the collector is
called by how many objects there are more than before, and with many queries under way at once that is often; every so
often it then looks at all that was made at the start, which never goes away: pauses of tens of milliseconds.
"""

from __future__ import annotations

import gc
from typing import Final

__all__ = ["settle"]

_YOUNG: Final = 10_000  # objects more than before until the youngest are looked at; Python's default is 700
_OLDER: Final = 20  # collections of one generation until the next older one is looked at, too


def settle() -> None:
    """Take what there is now for what stays, and look for cycles less often.

    For programs, once they are ready: it concerns the whole process. Cycles that come later are still found.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _OLDER, _OLDER)
