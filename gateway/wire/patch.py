"""Changing a document by a patch: JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7396).

Both work on a freshly parsed document that nobody else holds: a patch that fails half-way leaves a
half-changed value that is thrown away, for the bytes of the last good result are the truth.
"""

from __future__ import annotations

from typing import Any

import jsonpatch
import jsonpointer


class PatchError(ValueError):
    """The patch cannot be applied to this document."""


def apply_json_patch(document: Any, operations: Any) -> Any:
    """Apply RFC 6902 `operations` to `document`, in place; return the new document.

    Raises `PatchError` if they are no JSON Patch, a path is missing or a test fails.
    """
    if not isinstance(operations, list) or not all(isinstance(o, dict) for o in operations):
        msg = "a JSON Patch is an array of operation objects"
        raise PatchError(msg)
    try:
        return jsonpatch.JsonPatch(operations).apply(document, in_place=True)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as e:
        raise PatchError(_first_line(e)) from None
    except (TypeError, KeyError, IndexError, ValueError, AttributeError, RecursionError) as e:
        msg = f"the JSON Patch does not fit the document ({type(e).__name__})"
        raise PatchError(msg) from None


def apply_merge_patch(document: Any, patch: Any) -> Any:
    """Apply an RFC 7396 merge patch to `document`, in place where it can; return the new document.

    An object merges into an object (`null` removes a member); anything else replaces the whole
    document. Works without recursion, so depth costs no stack.
    """
    if not isinstance(patch, dict):
        return patch
    if not isinstance(document, dict):
        document = {}
    todo = [(document, patch)]
    while todo:
        target, changes = todo.pop()
        for name, change in changes.items():
            if change is None:
                target.pop(name, None)
            elif isinstance(change, dict):
                member = target.get(name)
                if not isinstance(member, dict):
                    member = target[name] = {}
                todo.append((member, change))
            else:
                target[name] = change
    return document


def _first_line(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return text[:200]
