"""Whether a JSON document names a member twice, where it matters: parsers differ in which of the two they take."""

from __future__ import annotations

import json
from typing import Any

import orjson

__all__ = ["is_named_once"]


class _Twice(Exception):
    pass


def is_named_once(body: bytes, pointer: str) -> bool:
    """Whether no object of the valid document `body` has two members of a name that is on the way of `pointer`.

    Nearly always a search tells it: the names are written once at most. Only otherwise the document is walked over.
    """
    names = [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]
    if b"\\" not in body and all(body.count(orjson.dumps(name)) <= 1 for name in names):
        return True
    wanted = frozenset(names)

    def once(pairs: list[tuple[str, Any]]) -> None:
        seen = [name for name, _ in pairs if name in wanted]
        if len(seen) != len(set(seen)):
            raise _Twice

    try:
        json.loads(body, object_pairs_hook=once, parse_int=len, parse_float=len)
    except (_Twice, RecursionError):
        return False
    return True
