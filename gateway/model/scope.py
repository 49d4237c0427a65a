"""What a hook may do with a result: the words for it."""

from __future__ import annotations

from enum import StrEnum


class OnViolation(StrEnum):
    """What becomes of a change outside the paths that a hook may write."""

    FAIL = "fail"  # the whole reply is a failure
    DROP = "drop"  # that change is left out, the others are applied


class RowCount(StrEnum):
    """How the number of rows may differ after a hook."""

    SAME = "same"
    MAY_SHRINK = "may_shrink"
    MAY_GROW = "may_grow"


class Granularity(StrEnum):
    """What one call carries."""

    RESULT = "result"  # the whole result
    ROWS = "rows"  # a batch of its rows
