"""Changing a document by a patch: JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7396).

Both work on a freshly parsed document that nobody else holds: a patch that fails half-way leaves a
half-changed value that is thrown away, for the bytes of the last good result are the truth.

A JSON Patch of a few bytes can ask for much: thirty `copy` operations make a document a billion times as large,
and each insertion at the head of a long array moves all of it. So what a patch may ask for is bounded, in
the manner of the Kubernetes API server (10,000 operations, a limit on what they copy).
"""

from __future__ import annotations

import copyreg
from typing import Any, Final

import jsonpatch
import jsonpointer
import orjson

from gateway.wire.diff import same

# The library copies what it adds, and a number that is kept as it is written knows not how. It never changes, so its
# copy may be itself: that is what a name in the place of a recipe means.
copyreg.pickle(orjson.Fragment, lambda _fragment: "Fragment")

MAX_OPERATIONS: Final = 10_000
MAX_COPIED_BYTES: Final = 256 * 1024
MAX_MOVED_ELEMENTS: Final = 20_000_000  # of arrays, by insertions and removals


class PatchError(ValueError):
    """The patch cannot be applied to this document."""


def apply_json_patch(document: Any, operations: Any) -> Any:
    """Apply RFC 6902 `operations` to `document`, in place; return the new document.

    Raises `PatchError` if they are no JSON Patch, a path is missing, a test fails, or they ask for too much.
    """
    if not isinstance(operations, list) or not all(isinstance(o, dict) for o in operations):
        msg = "a JSON Patch is an array of operation objects"
        raise PatchError(msg)
    if len(operations) > MAX_OPERATIONS:
        msg = f"the JSON Patch has {len(operations)} operations; {MAX_OPERATIONS} is the most"
        raise PatchError(msg)
    try:
        bounds = _Bounds()
        for number, operation in enumerate(operations):
            bounds.count(document, operation)
            document = _operate(document, operation, number)
        return document
    except PatchError:
        raise
    except (TypeError, KeyError, IndexError, ValueError, AttributeError, RecursionError) as e:
        msg = f"the JSON Patch does not fit the document ({type(e).__name__})"
        raise PatchError(msg) from None


def _operate(document: Any, operation: dict[str, Any], number: int) -> Any:
    """The document after one operation. The library's messages quote the document, so they are not passed on."""
    try:
        return jsonpatch.JsonPatch([operation]).apply(document, in_place=True)
    except jsonpatch.JsonPatchTestFailed:
        if _holds(document, operation):
            return document
        msg = f"operation {number} of the JSON Patch is a test, and it failed"
    except jsonpatch.InvalidJsonPatch:
        msg = f"operation {number} of the JSON Patch is none of RFC 6902"
    except (jsonpatch.JsonPatchConflict, jsonpointer.JsonPointerException):
        msg = f"operation {number} of the JSON Patch has a path that is not in the document"
    except jsonpatch.JsonPatchException:
        msg = f"operation {number} of the JSON Patch cannot be applied"
    raise PatchError(msg)


def _holds(document: Any, operation: dict[str, Any]) -> bool:
    """Whether what an operation tests holds after all: the library knows no number that is kept as it is written."""
    try:
        return same(jsonpointer.resolve_pointer(document, operation["path"]), operation["value"])
    except (jsonpointer.JsonPointerException, KeyError):
        return False


def apply_merge_patch(document: Any, patch: Any) -> Any:
    """Apply an RFC 7396 merge patch to `document`, in place where it can; return the new document.

    An object merges into an object (`null` removes a member); anything else replaces the whole
    document. Works without recursion, so depth costs no stack.
    """
    if not isinstance(patch, dict):
        return patch
    if not isinstance(document, dict):
        document = {}
    pending = [(document, patch)]
    while pending:
        target, changes = pending.pop()
        for name, change in changes.items():
            if change is None:
                target.pop(name, None)
            elif isinstance(change, dict):
                member = target.get(name)
                if not isinstance(member, dict):
                    member = target[name] = {}
                pending.append((member, change))
            else:
                target[name] = change
    return document


class _Bounds:
    """Counts what the operations of one patch ask for. Pointers that lead nowhere are the patch's own matter."""

    __slots__ = ("_copied", "_moved")

    def __init__(self) -> None:
        self._copied = 0
        self._moved = 0

    def count(self, document: Any, operation: dict[str, Any]) -> None:
        """Raise `PatchError` if `operation` on `document` goes past a bound."""
        kind = operation.get("op")
        if kind in ("add", "remove", "move", "copy"):
            self._moved += _moved_by(document, operation.get("path"))
            if kind == "move":
                self._moved += _moved_by(document, operation.get("from"))
            elif kind == "copy":
                self._count_copy(document, operation.get("from"))
            if self._moved > MAX_MOVED_ELEMENTS:
                msg = "the JSON Patch inserts and removes too much in arrays that are too long"
                raise PatchError(msg)

    def _count_copy(self, document: Any, pointer: Any) -> None:
        source = _found(document, pointer.split("/")[1:]) if isinstance(pointer, str) else None
        if isinstance(source, (dict, list, str)):
            self._copied += len(orjson.dumps(source))
        if self._copied > MAX_COPIED_BYTES:
            msg = f"the JSON Patch copies more than {MAX_COPIED_BYTES} bytes"
            raise PatchError(msg)


def _moved_by(document: Any, pointer: Any) -> int:
    """How many elements an array has in which the member at `pointer` stands."""
    parent = _found(document, pointer.split("/")[1:-1]) if isinstance(pointer, str) else None
    return len(parent) if isinstance(parent, list) else 0


def _found(document: Any, parts: list[str]) -> Any:
    """The value at a JSON Pointer (RFC 6901) that is split into its parts; `None` if there is none."""
    for part in parts:
        if isinstance(document, dict):
            document = document.get(part.replace("~1", "/").replace("~0", "~") if "~" in part else part)
        elif isinstance(document, list) and part.isdecimal() and len(part) < 10 and int(part) < len(document):
            document = document[int(part)]
        else:
            return None
    return document
