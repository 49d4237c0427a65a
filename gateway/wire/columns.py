"""The fast way to some columns of a table, and back: no value of the other columns is ever made.

For reads such as `/rows/*/price` (rows are objects) or `/rows/*/3` (rows are arrays of one length), with plain pointers
to other things beside them (`/columns`). msgspec decodes such a document into a type made for the pointers: it checks
all of it, keeps the bytes of what they name, and nothing of the rest. What goes back is put between the bytes of
the document that stay as they are.

Everything here gives exactly what `gateway.wire.projection` would, but for white space, or `None`: then that has to do
it. Each step says why it may be sure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain, repeat
from operator import attrgetter, is_
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.wire import pointers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.wire.pointers import Places, Segments

    Path = tuple[str, ...]
    Cells = Sequence[Any]  # the bytes of one cell per row, or UNSET where a row has none

_RAW: Final = msgspec.Raw
_UNSET: Final = msgspec.UNSET
_ENCODE: Final = msgspec.json.Encoder().encode
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_.:@ -]+\Z")
_ESCAPED_ASCII: Final = re.compile(rb"\\u00[2-7]")
_COLON: Final = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*")
_ROWS_ARE_ARRAYS: Final = re.compile(rb"[ \t\r\n]*\[[ \t\r\n]*\[")
_STRING: Final = re.compile(b'"[^"]*"')
_ANYTHING: Final = b"[^,]*+"
_FIELD: Final = rb'(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^",\]]++)'
_SCALAR: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^][,"{} \t\r\n]++'
_MOST_COLUMNS: Final = 1_000
_NOT_STRUCTURE: Final = bytes(c for c in range(256) if c not in b'[]{},"')


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken of a document.

    `projection` are the bytes of it, `found` whether any place was there. `columns` are the cells of each column,
    `others` what stands at the other pointers, `around` whether each object on the way to anything is there. Where the
    rows are arrays, `table` are the bytes of the table, and `pieces` the same, cut before and behind each cell.
    """

    projection: bytes
    found: bool
    columns: tuple[Cells, ...]
    others: tuple[Any, ...]
    around: tuple[bool, ...]
    table: bytes | None = None
    pieces: list[bytes] | None = None


class Columns:
    """Some columns of a table, named by `at` the table is and the `names` of its columns; `others` are pointers."""

    __slots__ = (
        "_arrays",
        "_at",
        "_get_around",
        "_get_others",
        "_get_table",
        "_indexes",
        "_names",
        "_objects",
        "_strict",
    )

    def __init__(self, at: Path, names: Path, paths: Sequence[Path]) -> None:
        self._at = at
        self._names = names
        others = [path for path in paths if path != at]
        self._get_table = _Getter(at, paths)
        self._get_others = [_Getter(path, paths) for path in others]
        around = dict.fromkeys(path[:n] for path in paths for n in range(1, len(path)))
        self._get_around = [_Getter(path, paths) for path in around]
        row = [((name,), _RAW) for name in names]
        for_objects: Any = list[_type(row, strict=False)]  # type: ignore[misc]  # made while running
        strict: Any = list[_type(row, strict=True)]  # type: ignore[misc]  # made while running
        indexes = [index for name in names if (index := pointers.index(name)) is not None and index < _MOST_COLUMNS]
        self._indexes = indexes if len(indexes) == len(names) else []
        self._objects = _decoder(at, paths, for_objects, strict=False)
        self._arrays = _decoder(at, paths, _RAW, strict=False)
        self._strict = _decoder(at, paths, strict, strict=True)

    @classmethod
    def of(cls, reads: Sequence[Segments]) -> Columns | None:
        """The columns that `reads` are, with other things beside them; `None` if they are something else."""
        tables = {segments[:-2] for segments in reads if None in segments}
        if len(tables) != 1:
            return None
        (at,) = tables
        names: dict[str, None] = {}
        paths: dict[Path, None] = {}
        for segments in reads:
            if None in segments:
                if len(segments) < 2 or segments[-2] is not None or segments[-1] is None or None in at:
                    return None
                names[segments[-1]] = None
            elif segments == at:
                return None
            paths[at if None in segments else segments] = None  # type: ignore[index]  # no star in either
        if any(one != other and one == other[: len(one)] for one in paths for other in paths):
            return None
        try:
            return cls(at, tuple(names), tuple(paths))  # type: ignore[arg-type]  # no star in it
        except ValueError:
            return None  # msgspec has no fields with quotes or backslashes in their names

    # ------------------------------------------------------------ taking

    def take(self, body: bytes) -> Taken | None:
        """The projection of the document `body`; `None` if it has another shape."""
        try:
            if self._indexes:
                parts = self._arrays.decode(body)
                table = self._get_table(parts)
                if table is not _UNSET and _ROWS_ARE_ARRAYS.match(table):
                    return self._take_arrays(parts, bytes(table), self._indexes)
            parts = self._objects.decode(body)
        except (msgspec.DecodeError, RecursionError):
            return None
        rows = self._get_table(parts)
        if rows is _UNSET:
            return None
        columns = tuple(list(map(attrgetter(f"f{n}"), rows)) for n in range(len(self._names)))
        others, around = self._beside(parts)
        found = any(_some(column) for column in columns) or _some(others)
        return Taken(_ENCODE(parts), found, columns, others, around)

    def _beside(self, parts: Any) -> tuple[tuple[Any, ...], tuple[bool, ...]]:
        others = tuple(get(parts) for get in self._get_others)
        return others, tuple(get(parts) is not _UNSET for get in self._get_around)

    def _take_arrays(self, parts: Any, table: bytes, indexes: Sequence[int]) -> Taken | None:
        """The same where the rows are arrays: cut, once it is clear what separates the cells."""
        order = sorted(indexes)
        field, count = _field(table, least=order[-1] + 1)
        pieces = _cutter(order, field).split(table) if count else []
        if not count or len(pieces) != count * (1 + 2 * len(order)) + 1:
            return None
        found: dict[int, Cells] = {at: pieces[2 + 2 * n :: 1 + 2 * len(order)] for n, at in enumerate(order)}
        projected = msgspec.Raw(_as_objects(order, [found[at] for at in order]))
        body = _ENCODE(projected) if not self._at else _ENCODE(self._get_table.put(parts, projected))
        return Taken(body, True, tuple(found[at] for at in indexes), *self._beside(parts), table, pieces)

    # ------------------------------------------------------------ putting back

    def merge(self, body: bytes, taken: Taken, after: bytes, writes: Places) -> bytes | None:
        """The document `body` with the changed cells of the projection `after`.

        `None` if something else changed than cells that may be written, or if it is not clear where they are.
        """
        try:
            parts = self._strict.decode(after)
        except (msgspec.DecodeError, RecursionError):
            return None
        rows = self._get_table(parts)
        if rows is _UNSET or len(rows) != len(taken.columns[0]):
            return None
        if self._beside(parts) != (taken.others, taken.around):
            return None
        for name in self._at:
            writes = writes.at(name)
        changed: list[tuple[int, Cells, Cells]] = []
        for n, (name, old) in enumerate(zip(self._names, taken.columns, strict=True)):
            new: Cells = list(map(attrgetter(f"f{n}"), rows))
            if taken.table is not None:
                if _gaps(new):
                    return None
                new = _texts(new)
            if old != new:
                if _gaps(old) != _gaps(new) or not writes.anything.at(name).whole:
                    return None
                changed.append((n, old, new))
        if taken.table is not None and taken.pieces is not None:
            indexed = [(self._indexes[n], new) for n, _, new in changed]
            return self._into_arrays(body, taken.table, taken.pieces, indexed)
        merged: bytes | None = body
        for n, old, new in changed:
            if merged is not None:
                merged = _into_objects(merged, self._names[n], _there(old), _there(new))
        return merged

    def _into_arrays(
        self, body: bytes, table: bytes, pieces: list[bytes], changed: Sequence[tuple[int, Cells]]
    ) -> bytes | None:
        """The document with the new cells of columns that are indexes."""
        start = self._start(body, table)
        if start is None:
            return None
        order, pieces = sorted(self._indexes), list(pieces)
        for at, new in changed:
            pieces[2 + 2 * order.index(at) :: 1 + 2 * len(order)] = new
        return b"".join((body[:start], *pieces, body[start + len(table) :]))

    def _start(self, body: bytes, table: bytes) -> int | None:
        """Where in `body` the bytes of the table are.

        They are somewhere. What stands behind `"name":` is a whole value, and two values do not overlap. So where the
        same bytes are found there, they are the right ones, if the rest has no room for them once more.
        """
        if not self._at:
            start = len(body) - len(body.lstrip(b" \t\r\n"))
        else:
            key = _ENCODE(self._at[-1])
            found = body.find(key)
            colon = _COLON.match(body, found + len(key)) if found >= 0 else None
            if colon is None:
                return None
            start = colon.end()
        return start if 2 * len(table) > len(body) and body.startswith(table, start) else None


def _as_objects(order: Sequence[int], columns: Sequence[Cells]) -> bytes:
    """An array of objects with the cells of these columns, whose names are their indexes."""
    if len(order) == 1:
        return b'[{"%d":%b}]' % (order[0], (b'},{"%d":' % order[0]).join(columns[0]))
    parts = [repeat(b'%b"%d":' % (b"," if n else b"},{", at)) for n, at in enumerate(order)]
    rows = zip(*chain.from_iterable(zip(parts, columns, strict=True)))  # noqa: B905  # every other one is endless
    return b"[%b}]" % b"".join(chain.from_iterable(rows))[2:]


def _into_objects(body: bytes, name: str, old: Cells, new: Cells) -> bytes | None:
    """The document with each of the `old` cells, which are all members `name` of the rows, in order, made a new one.

    In JSON, `"name":` is a member's name wherever it stands, or the end of a name or string that has an escaped quote
    before it. Each of the cells has such a name before it, if none is written with escapes. So if there are as many as
    there are cells, they are the same ones.
    """
    if not _PLAIN_NAME.match(name) or _escapes_ascii(body):
        return None
    cells = _texts(old)
    if b"\\" not in body and (put := _put_plainly(body, b'"%b":' % name.encode(), cells, new)) is not None:
        return put
    member = rb'("%b"[ \t\r\n]*+:[ \t\r\n]*+)' % re.escape(name).encode()
    pieces: list[Any] = re.split(member + b"(" + _SCALAR + b")", body)
    if pieces[2::3] != cells:  # some may be no scalars
        parts: list[Any] = re.split(member, body)
        behind = parts[2::2]
        if len(behind) != len(cells) or not all(map(bytes.startswith, behind, cells)):
            return None
        pieces = [parts[0], *repeat(b"", 3 * len(cells))]
        pieces[1::3] = parts[1::2]
        pieces[3::3] = map(bytes.removeprefix, behind, cells)
    pieces[2::3] = new
    return b"".join(pieces)


def _put_plainly(body: bytes, member: bytes, old: Cells, new: Cells) -> bytes | None:
    """The same where nothing is escaped, so that `member` is a member wherever it stands; `None` if it has white space.

    If it stands there as often as there are cells, none is written otherwise.
    """
    put, kept, width = bytearray(), 0, len(member)  # grows in place, where a list of pieces takes memory once more
    find, starts, view = body.find, body.startswith, memoryview(body)
    for cell, other in zip(old, _texts(new), strict=True):
        at = find(member, kept) + width
        if at < width or not starts(cell, at):
            return None
        put += view[kept:at]
        put += other
        kept = at + len(cell)
    put += view[kept:]
    return bytes(put) if find(member, kept) < 0 else None


def _field(table: bytes, *, least: int) -> tuple[bytes, int]:
    """What matches a cell of the valid JSON `table`, an array of arrays of equal length, and how many rows there are.

    That the rows are equally long, at least `least` and 2, and that no cell is an array or an object, shows in what is
    left of the table without everything but structure: first as it is, then without strings. 0 rows if it is not so.
    """
    if b"\\" in table:
        table = table.replace(b"\\\\", b"").replace(b'\\"', b"")
    bones = table.translate(None, _NOT_STRUCTURE)
    rows = _repeats(bones, least)
    if not rows:
        bones = bones.replace(b'""', b"")
        rows = _repeats(bones, least)
    if rows:
        return _ANYTHING, rows  # no string has a comma or a bracket in it
    bare = _STRING.sub(b"", bones)
    if bare.count(b"[") != bones.count(b"["):
        return _FIELD, 0  # a bracket in a string looks like the next row
    return _FIELD, _repeats(bare, least)


def _repeats(bones: bytes, least: int) -> int:
    """How many rows there are in what is left of a table, if it is the same for each: commas, and pairs of quotes."""
    row = bones[1 : bones.find(b"]") + 1]
    commas, rows = row.count(b","), bones.count(b"[") - 1
    if commas + 1 < max(least, 2) or row.replace(b'""', b"") != b"[" + b"," * commas + b"]":
        return 0
    return rows if bones == b"[" + b",".join(repeat(row, rows)) + b"]" else 0


def _cutter(order: Sequence[int], field: bytes) -> re.Pattern[bytes]:
    """What cuts a table of such fields before and behind the cells at the indexes in `order`.

    Written out, not with a count: the loop over a single character is many times as fast as that over a group.
    """
    cell, comma = (_FIELD, rb",[ \t\r\n]*+") if field == _FIELD else (rb"[^,\]]++", b",")
    parts = []
    last = -1
    for at in order:
        opening = rb"\[[ \t\r\n]*+(?!\[)" if last < 0 else comma
        parts.append(b"(%b)(%b)" % (opening + (field + comma) * (at - last - 1), cell))
        last = at
    return re.compile(b"".join(parts))


def _escapes_ascii(body: bytes) -> bool:
    """Whether a plain character may be written as an escape, so that a name can stand there in another way."""
    return b"\\" in body and b"\\u00" in body and _ESCAPED_ASCII.search(body) is not None


def _some(cells: Cells) -> bool:
    return any(cell is not _UNSET for cell in cells)


def _texts(cells: Cells) -> Cells:
    """The bytes of each cell. Where none of them has a comma in it, it takes a quarter of the time."""
    texts = _ENCODE(cells)[1:-1].split(b",")
    return texts if len(texts) == len(cells) else list(map(bytes, cells))


def _there(cells: Cells) -> Cells:
    return [cell for cell in cells if cell is not _UNSET]


def _gaps(cells: Cells) -> list[int]:
    """The rows that have no cell."""
    gaps = list(map(is_, cells, repeat(_UNSET)))
    return [n for n, gap in enumerate(gaps) if gap] if True in gaps else []


class _Getter:
    """Gets what stands at `path` out of a decoded document, whose type is that for `paths`."""

    __slots__ = ("_fields",)

    def __init__(self, path: Path, paths: Sequence[Path]) -> None:
        fields = []
        for n in range(len(path)):
            siblings = dict.fromkeys(other[n] for other in paths if other[:n] == path[:n])
            fields.append(f"f{list(siblings).index(path[n])}")
        self._fields = fields

    def __call__(self, parts: Any) -> Any:
        for name in self._fields:
            if parts is _UNSET:
                return _UNSET
            parts = getattr(parts, name)
        return parts

    def put(self, parts: Any, value: Any) -> Any:
        """The same `parts` with `value` at the path, all of which is there."""
        inner = parts
        for name in self._fields[:-1]:
            inner = getattr(inner, name)
        setattr(inner, self._fields[-1], value)
        return parts


def _decoder(at: Path, paths: Sequence[Path], table: Any, *, strict: bool) -> msgspec.json.Decoder[Any]:
    if not at:
        return msgspec.json.Decoder(table)
    return msgspec.json.Decoder(_type([(path, table if path == at else _RAW) for path in paths], strict=strict))


def _type(leaves: Sequence[tuple[Path, Any]], *, strict: bool) -> Any:
    """The type of an object that has `leaves` in it: each a path and the type of what stands there."""
    below: dict[str, list[tuple[Path, Any]]] = {}
    for path, kind in leaves:
        below.setdefault(path[0], []).append((path[1:], kind))
    fields = []
    for n, inner in enumerate(below.values()):
        kind = inner[0][1] if not inner[0][0] else _type(inner, strict=strict)
        fields.append((f"f{n}", kind | msgspec.UnsetType, _UNSET))
    rename = {f"f{n}": name for n, name in enumerate(below)}
    return msgspec.defstruct("Part", fields, rename=rename, forbid_unknown_fields=strict, gc=False)
