"""A result inside a document: taken out and put back, with every other byte of value as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["taken_out"]

_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw])
_WRITE: Final = msgspec.json.Encoder().encode


def taken_out(document: bytes, pointer: str) -> tuple[bytes, Callable[[bytes], bytes]] | None:
    """The value at the JSON Pointer `pointer`, and what puts another one in its place; `None` if there is none.

    Raises `ValueError` if the document cannot be read on the way there: then nobody knows what it holds.

    The document is walked over once a level, and no value in it is made: numbers and texts beside the result keep their
    bytes. White space between the members on the way, and members named twice, do not last.
    """
    inner = msgspec.Raw(document)
    way: list[tuple[Any, Any]] = []
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        try:
            if bytes(memoryview(inner)[:64]).lstrip()[:1] == b"[":
                members: Any = _ARRAY.decode(inner)
                key: Any = int(name) if name.isascii() and name.isdigit() and (name == "0" or name[0] != "0") else -1
                found = key >= 0 and key < len(members)
            else:
                members, key = _OBJECT.decode(inner), name
                found = key in members
        except msgspec.ValidationError:  # a number, a text: there is nothing below it
            return None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as e:
            raise ValueError(f"{type(e).__name__} on the way to {pointer}") from None
        if not found:
            return None
        way.append((members, key))
        inner = members[key]

    def put_back(value: bytes) -> bytes:
        for members, key in reversed(way):
            members[key] = msgspec.Raw(value)
            value = _WRITE(members)
        return value

    return bytes(inner), put_back
