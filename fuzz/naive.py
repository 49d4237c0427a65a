"""The naive way: JSON, JSON Patch and merge patch as their RFCs say it, slow and plain, to compare with."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass
from typing import Any

_INDEX = re.compile(r"0|[1-9][0-9]*", re.ASCII)


class Unfit(ValueError):
    """The patch does not fit."""


@dataclass(frozen=True)
class Number:
    """A number as it is written."""

    literal: str

    @property
    def is_short(self) -> bool:
        """Whether a float or an integer of 64 bits holds it."""
        return len(self.literal) < 16 and "e" not in self.literal.lower()


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def read(document: bytes) -> Any:
    """The value of a JSON document, its numbers as they are written. Raises `ValueError` if it is none."""
    return json.loads(document.decode("utf-8"), parse_int=Number, parse_float=Number, parse_constant=_refuse)


def depth(value: Any) -> int:
    """How many arrays and objects are around its innermost part."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if parts is None else 1 + max(map(depth, parts), default=0)


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON."""
    if isinstance(one, Number) and isinstance(other, Number):
        short = one.is_short and other.is_short
        return one == other or (short and float(one.literal) == float(other.literal))
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def patched(document: Any, operations: Any) -> Any:
    """RFC 6902. Raises `Unfit`."""
    if not isinstance(operations, list):
        raise Unfit
    for operation in operations:
        document = _operate(copy.deepcopy(document), operation)
    return document


def _operate(document: Any, operation: Any) -> Any:
    if not isinstance(operation, dict):
        raise Unfit
    op, path = operation.get("op"), _parts(operation.get("path"))
    if op in {"add", "replace", "test"}:
        if "value" not in operation:
            raise Unfit
        value = operation["value"]
        if op == "add":
            return _add(document, path, value)
        if op == "test":
            if not same(_get(document, path), value):
                raise Unfit
            return document
        _get(document, path)
        return _add(_remove(document, path), path, value) if path else value
    if op == "remove":
        return _remove(document, path)
    if op in {"move", "copy"}:
        source = _parts(operation.get("from"))
        value = copy.deepcopy(_get(document, source))
        if op == "move":
            if path[: len(source)] == source and path != source:
                raise Unfit
            document = _remove(document, source) if source else None
        return _add(document, path, value)
    raise Unfit


def _parts(pointer: Any) -> list[str]:
    if not isinstance(pointer, str) or (pointer and pointer[0] != "/") or re.search("~(?![01])", pointer):
        raise Unfit
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _step(value: Any, part: str) -> Any:
    if isinstance(value, dict) and part in value:
        return value[part]
    if isinstance(value, list) and _INDEX.fullmatch(part) and int(part) < len(value):
        return value[int(part)]
    raise Unfit


def _get(document: Any, path: list[str]) -> Any:
    for part in path:
        document = _step(document, part)
    return document


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _get(document, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list) and last == "-":
        parent.append(value)
    elif isinstance(parent, list) and _INDEX.fullmatch(last) and int(last) <= len(parent):
        parent.insert(int(last), value)
    else:
        raise Unfit
    return document


def _remove(document: Any, path: list[str]) -> Any:
    _get(document, path)
    if not path:
        return None
    parent, last = _get(document, path[:-1]), path[-1]
    parent.pop(last if isinstance(parent, dict) else int(last))
    return document
