"""The JSON Patch (RFC 6902) that leads from one document to another."""

from __future__ import annotations

from typing import Any

__all__ = ["difference"]


def difference(before: Any, after: Any, *, most: int) -> list[dict[str, Any]] | None:
    """The operations that make `after` of `before`; `None` if it takes more than `most` of them.

    Members that are alike are not named. Of arrays, what is alike at both ends stays; between, elements are
    changed in their places, and then added or removed.
    """
    operations: list[dict[str, Any]] = []
    todo: list[tuple[str, Any, Any]] = [("", before, after)]
    while todo:
        pointer, old, new = todo.pop()
        if isinstance(old, dict) and isinstance(new, dict):
            gone = [name for name in old if name not in new]
            operations.extend({"op": "remove", "path": f"{pointer}/{_escaped(name)}"} for name in gone)
            for name, value in new.items():
                place = f"{pointer}/{_escaped(name)}"
                if name in old:
                    todo.append((place, old[name], value))
                else:
                    operations.append({"op": "add", "path": place, "value": value})
        elif isinstance(old, list) and isinstance(new, list):
            _arrays(pointer, old, new, operations, todo)
        elif not _alike(old, new):
            operations.append({"op": "replace", "path": pointer, "value": new})
        if len(operations) > most:
            return None
    return operations


def _arrays(
    pointer: str, old: list[Any], new: list[Any], operations: list[dict[str, Any]], todo: list[tuple[str, Any, Any]]
) -> None:
    shorter = min(len(old), len(new))
    front = 0
    while front < shorter and _same(old[front], new[front]):
        front += 1
    back = 0
    while back < shorter - front and _same(old[-1 - back], new[-1 - back]):
        back += 1
    paired = shorter - front - back
    # Pairs are looked at later, and by then elements behind them may have come or gone, but none before them.
    todo.extend((f"{pointer}/{at}", old[at], new[at]) for at in range(front, front + paired))
    at = front + paired
    operations.extend({"op": "remove", "path": f"{pointer}/{at}"} for _ in range(len(old) - back - at))
    operations.extend(
        {"op": "add", "path": f"{pointer}/{place}", "value": new[place]} for place in range(at, len(new) - back)
    )


def _same(old: Any, new: Any) -> bool:
    """Whether two values are the same document."""
    todo = [(old, new)]
    while todo:
        one, other = todo.pop()
        if isinstance(one, dict) and isinstance(other, dict):
            if one.keys() != other.keys():
                return False
            todo.extend((value, other[name]) for name, value in one.items())
        elif isinstance(one, list) and isinstance(other, list):
            if len(one) != len(other):
                return False
            todo.extend(zip(one, other, strict=True))
        elif not _alike(one, other):
            return False
    return True


def _alike(old: Any, new: Any) -> bool:
    """Whether two values that are not both arrays or both objects are the same: `1`, `1.0` and `true` are not."""
    return type(old) is type(new) and bool(old == new)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
