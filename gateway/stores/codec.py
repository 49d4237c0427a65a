"""Records as JSON documents, and back.

The form follows the dataclasses: a field that a later version adds is read with its default from a
document written before. A document that does not fit is refused, never guessed at.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from gateway.errors import StoreCorrupt, StoreTooNew

_T = TypeVar("_T")
_Read = Callable[[Any], Any]


def to_document(record: Any, *, without: frozenset[str]) -> str:
    """The dataclass `record` as a JSON object, except the fields named in `without`."""
    fields = (f.name for f in dataclasses.fields(record) if f.name not in without)
    return json.dumps({name: _plain(getattr(record, name)) for name in fields}, sort_keys=True)


def from_document(kind: type[_T], text: str, columns: Mapping[str, Any]) -> _T:
    """A `kind` from its document and the fields that are columns of their own.

    Raises `StoreCorrupt` if the document is not one, and `StoreTooNew` if it has a field unknown here:
    a later version wrote it, and to drop the field might drop a restriction.
    """
    try:
        document = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        raise StoreCorrupt(f"A record of kind {kind.__name__} in the database is not JSON: it is damaged.") from None
    if not isinstance(document, dict):
        raise StoreCorrupt(f"A record of kind {kind.__name__} in the database is not an object: it is damaged.")
    try:
        return cast(_T, _reader(cast(Any, kind))({**document, **columns}))
    except (TypeError, ValueError) as error:
        raise StoreCorrupt(f"A record of kind {kind.__name__} in the database is damaged: {error}.") from None


def _plain(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return value


@cache
def _reader(kind: Any) -> _Read:
    """A function that turns a plain value into a `kind`, or raises `TypeError` or `ValueError`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {Union, types.UnionType}:
        inner = _reader(next(a for a in arguments if a is not types.NoneType))
        return lambda value: None if value is None else inner(value)
    if origin in {frozenset, tuple}:
        item = _reader(arguments[0])
        collection: Callable[[Any], Any] = origin
        return lambda value: collection([item(one) for one in _checked(value, list, tuple)])
    if dataclasses.is_dataclass(kind):
        return _dataclass_reader(cast(type, kind))
    if issubclass(kind, StrEnum):
        return lambda value: kind(_checked(value, str))
    if kind is float:
        return lambda value: _checked(value, float, int)
    return lambda value: _checked(value, kind)


def _dataclass_reader(kind: type) -> _Read:
    hints = get_type_hints(kind)
    readers = {f.name: _reader(hints[f.name]) for f in dataclasses.fields(cast(Any, kind))}

    def read(value: Any) -> Any:
        if isinstance(value, kind):
            return value
        arguments = {}
        for name, part in _checked(value, dict).items():
            if name not in readers:
                raise StoreTooNew(
                    f"A record in the database has the field {name!r}, which this version does not know: "
                    "use the version that wrote it, or a later one.",
                )
            try:
                arguments[name] = readers[name](part)
            except (TypeError, ValueError):
                raise ValueError(f"its field {name!r} holds something else than expected") from None
        return kind(**arguments)

    return read


def _checked(value: Any, *kinds: type) -> Any:
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise TypeError("another kind of value was expected")
    return value
