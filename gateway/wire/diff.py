"""What differs between two JSON documents, as a JSON Patch (RFC 6902).

For people who look at what a hook changed: it is exact and takes time in proportion to the documents, but it is not
the shortest patch there could be. Elements of arrays are compared where they stand, apart from a common beginning and
end. Members come in the order of the documents.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.wire import document

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_OPERATIONS: Final = 1_000
Operation = dict[str, Any]
_ABSENT: Final = object()


class TooDifferent(ValueError):
    """The patch would have more operations than are asked for."""


def json_patch(before: bytes, after: bytes, *, most: int = MAX_OPERATIONS) -> list[Operation]:
    """The operations that make `before` into `after`; both are JSON documents.

    Raises `TooDifferent` beyond `most` operations, and `ValueError` for what is not JSON. Numbers are the same if they
    are equal, or written alike.
    """
    if before == after:
        return []
    return difference(document.parse_exact(before), document.parse_exact(after), most=most)


def difference(before: Any, after: Any, *, most: int = MAX_OPERATIONS) -> list[Operation]:
    """The operations that make the JSON value `before` into `after`. Raises `TooDifferent` beyond `most` of them."""
    found: list[Operation] = []
    for operation in _operations(before, after):
        if len(found) == most:
            msg = f"it would have more than {most} operations"
            raise TooDifferent(msg)
        found.append(operation)
    return found


def _operations(before: Any, after: Any) -> Iterator[Operation]:
    pending: list[tuple[str, Any, Any]] = [("", before, after)]
    while pending:
        path, old, new = pending.pop()
        if _plainly_thesame(old, new):
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            yield from ({"op": "remove", "path": _member(path, name)} for name in old if name not in new)
            yield from (
                {"op": "add", "path": _member(path, name), "value": value}
                for name, value in new.items()
                if name not in old
            )
            pending += [(_member(path, name), value, new[name]) for name, value in reversed(old.items()) if name in new]
        elif isinstance(old, list) and isinstance(new, list):
            yield from _of_arrays(path, old, new, pending)
        elif not same(old, new):
            yield {"op": "replace", "path": path, "value": new}


def _of_arrays(path: str, old: list[Any], new: list[Any], pending: list[tuple[str, Any, Any]]) -> Iterator[Operation]:
    """The elements that come and go; those that stand in the same place are put on `pending`.

    What is on `pending` is told later, so its places are those after the elements have come and gone.
    """
    shared = min(len(old), len(new))
    if len(old) == len(new):
        pending += [(f"{path}/{at}", old[at], new[at]) for at in range(shared - 1, -1, -1)]
        return
    head = 0
    while head < shared and same(old[head], new[head]):
        head += 1
    tail = 0
    while tail < shared - head and same(old[-1 - tail], new[-1 - tail]):
        tail += 1
    middle = shared - head - tail
    last = head + middle
    yield from ({"op": "remove", "path": f"{path}/{at}"} for at in range(len(old) - tail - 1, last - 1, -1))
    yield from ({"op": "add", "path": f"{path}/{at}", "value": new[at]} for at in range(last, len(new) - tail))
    pending += [(f"{path}/{at}", old[at], new[at]) for at in range(last - 1, head - 1, -1)]


def _member(path: str, name: str) -> str:
    return f"{path}/{name.replace('~', '~0').replace('/', '~1')}"


def _plainly_thesame(old: Any, new: Any) -> bool:
    """Whether two values are equal and written alike: found at once for large ones, which need not be looked into."""
    try:
        return bool(old == new) and orjson.dumps(old) == orjson.dumps(new)
    except (TypeError, RecursionError):
        return False


def same(old: Any, new: Any) -> bool:
    """Whether two JSON values are the same. `True == 1` in Python, and a `Fragment` is equal to itself alone."""
    pending = [(old, new)]
    while pending:
        one, other = pending.pop()
        if isinstance(one, orjson.Fragment) or isinstance(other, orjson.Fragment):
            if _exact(one) != _exact(other):
                return False
        elif isinstance(one, bool) is not isinstance(other, bool):
            return False
        elif isinstance(one, dict):
            if not isinstance(other, dict) or one.keys() != other.keys():
                return False
            pending += [(value, other[name]) for name, value in one.items()]
        elif isinstance(one, list):
            if not isinstance(other, list) or len(one) != len(other):
                return False
            pending += zip(one, other, strict=True)
        elif one != other:
            return False
    return True


def _exact(value: Any) -> Any:
    """The value of a number, also of one that Python's own kinds cannot hold; what is none is equal to no number."""
    number = isinstance(value, (orjson.Fragment, int, float)) and not isinstance(value, bool)
    return Decimal(orjson.dumps(value).decode()) if number else _ABSENT
