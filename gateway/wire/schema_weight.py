"""How much work a JSON Schema may ask for: each value of a document is held against each subschema at most once.

A schema of a few lines can ask for more than a machine can do: forty definitions, each of which refers to the next one
twice, make a trillion checks. So references are followed here, and what they stand for is counted as often as it is
referred to. A schema that refers to itself has no such number and is refused, also where it would end.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote

from gateway.wire.pointers import write

MAX_WEIGHT: Final = 1_000

_VALUES: Final = frozenset({"const", "enum", "default", "examples", "required", "type"})
_MAPS: Final = frozenset({"properties", "patternProperties", "dependentSchemas", "dependencies"})  # of schemas, by name
_SHELVES: Final = frozenset({"$defs", "definitions"})  # count where they are referred to
_DYNAMIC: Final = ("$dynamicRef", "$recursiveRef")

Path = tuple[str | int, ...]


class TooHeavy(ValueError):
    """The schema asks for too much, or for what cannot be told. `pointer` leads to the place in it."""

    def __init__(self, why: str, path: Path) -> None:
        super().__init__(why)
        self.pointer = write(path)


def check_weight(schema: dict[str, Any]) -> None:
    """Raise `TooHeavy` if the valid `schema` has more than `MAX_WEIGHT` subschemas, counted with what they refer to."""
    try:
        weight = _Weights(schema).of(schema, ())
    except RecursionError:
        raise TooHeavy("nests too deep", ()) from None
    if weight > MAX_WEIGHT:
        raise TooHeavy(
            f"has {weight} subschemas, counted as often as they are referred to; {MAX_WEIGHT} are allowed", ()
        )


class _Weights:
    """Counts each definition once and keeps the number."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._known: dict[int, int | None] = {}  # by identity; None while it is being counted

    def of(self, value: Any, path: Path) -> int:
        """The weight of a schema, or of the schemas in a list or a map of them."""
        if isinstance(value, list):
            return sum(self.of(each, (*path, n)) for n, each in enumerate(value))
        if not isinstance(value, dict):
            return 0
        known = self._known.get(id(value), 0)
        if known is None:
            raise TooHeavy("refers to itself; how much there is to check could not be told", path)
        if known:
            return known
        self._known[id(value)] = None
        weight = 1 + sum(self._keyword(name, each, (*path, name)) for name, each in value.items())
        self._known[id(value)] = weight
        return weight

    def _keyword(self, name: str, value: Any, path: Path) -> int:
        if name in _DYNAMIC:
            raise TooHeavy(f"{name} is not allowed; use $ref", path)
        if name == "$id" and len(path) > 1 and isinstance(value, str):
            raise TooHeavy("only the whole schema may have an $id", path)
        if name == "$ref" and isinstance(value, str):
            return self.of(self._target(value, path), path)
        if name in _MAPS and isinstance(value, dict):
            return sum(self.of(each, (*path, key)) for key, each in value.items())
        return 0 if name in _VALUES or name in _SHELVES else self.of(value, path)

    def _target(self, reference: str, path: Path) -> Any:
        if not reference.startswith("#"):
            raise TooHeavy("a $ref must begin with '#': only what is in the schema can be reached", path)
        if reference[1:] and not reference.startswith("#/"):
            raise TooHeavy("a $ref must be a JSON Pointer such as '#/$defs/name', not an anchor", path)
        target: Any = self._root
        try:
            for part in unquote(reference[1:]).split("/")[1:]:
                name = part.replace("~1", "/").replace("~0", "~")
                target = target[int(name)] if isinstance(target, list) else target[name]
        except (KeyError, IndexError, ValueError, TypeError):
            raise TooHeavy("leads to nothing in the schema", path) from None
        return target
