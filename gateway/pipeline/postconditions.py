"""What must hold for a result after a reply, whatever the reply was: declared by a hook's owner or by the operator.

- `max_growth`: it has at most so many times the bytes that it had.
- `row_count`: of the array at `rows_at`. Where there was no array before, this says nothing.
- `keep`: each value that a pointer found before is found by it again, as often as before, in whatever order. With
  `row_count` "may_shrink" values may go with their rows; then the pointer may find nothing that was not there before.
- `result_schema`: it meets that JSON Schema.

A hook that left the result as it was is not asked for anything.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import orjson

from gateway.errors import ReplyUnusable
from gateway.model import Reason, RowCount
from gateway.wire import document, pointers
from gateway.wire.columns import Columns
from gateway.wire.pointers import Places
from gateway.wire.result_schema import compile_schema
from gateway.wire.rows import NoRows, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.model import Result
    from gateway.registry.plan import PostConditions
    from gateway.wire.pointers import Segments

    Path = tuple[str | int, ...]


class PostCheck:
    """The post-conditions of one hook or one envelope, compiled. Raises `PointerError` and `SchemaError`."""

    __slots__ = ("_by", "_keep", "_max_growth", "_row_count", "_rows_at", "_schema")

    def __init__(self, declared: PostConditions) -> None:
        self._by = "the hook's" if declared.by == "hook" else "the envelope's"
        self._max_growth = declared.max_growth
        self._row_count = declared.row_count
        self._rows_at = tuple(segment or "" for segment in pointers.parse(declared.rows_at or ""))
        self._keep = [_Kept(pointer, declared.row_count) for pointer in declared.keep or ()]
        self._schema = None if declared.result_schema is None else compile_schema(declared.result_schema)

    def check(self, before: Result, after: Result) -> None:
        """Raise `ReplyUnusable` (`contract`) naming the first place where `after` breaks a condition."""
        if after is before:
            return
        try:
            why = self._broken(before, after)
        except (ValueError, RecursionError):
            why = "cannot be looked at: the result is not JSON, or nests too deep"
        if why is not None:
            raise ReplyUnusable(Reason.CONTRACT, f"{self._by} {why}")

    def _broken(self, before: Result, after: Result) -> str | None:
        if self._max_growth is not None and len(after.body) > self._max_growth * len(before.body):
            return (
                f"max_growth of {self._max_growth:g} at '': "
                f"the result grew from {len(before.body)} to {len(after.body)} bytes"
            )
        if self._row_count is not None and (why := self._miscounted(self._row_count, before, after)) is not None:
            return f"row_count {self._row_count.value!r} at {pointers.write(self._rows_at)!r}: {why}"
        for kept in self._keep:
            why = kept.broken(before.body, after.body)
            if why is not None:
                return why
        return None if self._schema is None else self._mismatch(self._schema, after)

    def _miscounted(self, allowed: RowCount, before: Result, after: Result) -> str | None:
        try:
            had = len(rows_of(before.body, self._rows_at).rows)
        except NoRows:
            return None
        try:
            has = len(rows_of(after.body, self._rows_at).rows)
        except NoRows:
            return "there is no array any more"
        if (has > had and allowed is not RowCount.MAY_GROW) or (has < had and allowed is not RowCount.MAY_SHRINK):
            return f"there were {had} rows, and there are {has}"
        return None

    @staticmethod
    def _mismatch(schema: jsonschema_rs.Draft202012Validator, after: Result) -> str | None:
        try:
            schema.validate(orjson.loads(after.body))
        except jsonschema_rs.ValidationError as e:
            said = pointers.write(e.schema_path)
            return f"result_schema at {pointers.write(e.instance_path)!r}: it does not meet {said!r} of the schema"
        return None


class _Kept:
    """What one pointer finds must survive."""

    __slots__ = ("_columns", "_places", "_pointer", "_shrinks")

    def __init__(self, pointer: str, row_count: RowCount | None) -> None:
        self._pointer = pointer
        self._places: tuple[Segments, ...] = (pointers.parse(pointer),)
        self._columns = Columns.of(self._places)
        self._shrinks = row_count is RowCount.MAY_SHRINK

    def broken(self, before: bytes, after: bytes) -> str | None:
        """Why it does not hold. Its places are those of `before`, for a value that was added those of `after`."""
        if self._clearly_kept(before, after):
            return None
        had, has = self._found(before), self._found(after)
        kept, other = (has, had) if self._shrinks else (had, has)
        left = Counter(value for _, value in other)
        for path, value in kept:
            left[value] -= 1
            if left[value] < 0:
                what = "this value was not there before" if self._shrinks else "its value was not kept"
                return f"keep {self._pointer!r} at {pointers.write(path)!r}: {what}"
        return None

    def _clearly_kept(self, before: bytes, after: bytes) -> bool:
        """Whether the bytes alone say so: of columns, that are all of the same cells, without making values."""
        if self._columns is None:
            return False
        had, has = self._columns.take(before), self._columns.take(after)
        if had is None or has is None:
            return False
        return had.columns == has.columns

    def _found(self, body: bytes) -> list[tuple[Path, bytes]]:
        return [(path, _canonical(value)) for path, value in _found(document.parse_exact(body), Places(self._places))]


def _found(value: Any, places: Places, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """What stands at `places` of `value`, with where."""
    if places.whole:
        yield path, value
    elif isinstance(value, dict):
        for name in value if places.starred else places.names:
            if name in value:
                yield from _found(value[name], places.at(name), (*path, name))
    elif isinstance(value, list):
        numbers = range(len(value)) if places.starred else (pointers.index(name) for name in places.names)
        for n in numbers:
            if n is not None and n < len(value):
                yield from _found(value[n], places.at(str(n)), (*path, n))


def _canonical(value: Any) -> bytes:
    """The same bytes for values that are equal: members in order, 1.0 as 1."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
