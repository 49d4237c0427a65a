"""The part of a document that some places make up, and putting a changed part back.

A projection has the structure of the document, so that a pointer to something in it leads to the same thing in the
document:

- an object has those members in which something may be read, named ones in the order in which they are named;
- an array whose elements are read by `*` has all its positions. Of an element that is partly read there is that part
  (maybe `{}`), and `null` for a number, a string, a boolean or null that is not read;
- an array whose elements are read by their indexes alone is an object with these indexes for names:
  `/rows/*/3` makes `{"3": …}` of a row.

Whoever sees parts only can neither remove nor exchange what contains parts that were not seen: an array of which
parts were sent keeps its length, an object its place.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.wire import document, pointers
from gateway.wire.pointers import Places

if TYPE_CHECKING:
    from gateway.wire.pointers import Segments

    Path = tuple[str | int, ...]

NOTHING: Final[Any] = object()  # what is not there


class Projector:
    """Takes the part out of a document that `places` make up. `found` tells whether any place was there."""

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found = False

    def part(self, value: Any, places: Places) -> Any:
        """The part of `value`, sharing what is whole with it; `NOTHING` if there is none."""
        if places.whole:
            self.found = True
            return value
        if isinstance(value, dict):
            names = value if places.starred else places.names
            parts = (
                (name, self.part(value[name], below)) for name in names if name in value and (below := places.at(name))
            )
            return {name: part for name, part in parts if part is not NOTHING}
        if isinstance(value, list):
            if places.starred:
                return [self._element(element, places.at(str(n))) for n, element in enumerate(value)]
            chosen = ((name, pointers.index(name)) for name in places.names)
            parts = (
                (name, self.part(value[n], places.at(name))) for name, n in chosen if n is not None and n < len(value)
            )
            return {name: part for name, part in parts if part is not NOTHING}
        return NOTHING

    def _element(self, element: Any, places: Places) -> Any:
        part = self.part(element, places)
        return None if part is NOTHING else part


class Outside(ValueError):
    """A change is not one that may be made. `pointer` leads to its place in the document; `why` is a sentence."""

    def __init__(self, pointer: str, why: str) -> None:
        super().__init__(f"{pointer!r} {why}")
        self.pointer = pointer
        self.why = why


class Merger:
    """Puts a part of a document back into it, after it was changed.

    Only what `writes` allow is changed. What else was changed raises `Outside`, or with `drops` is left out:
    then `first` is the first that was, and `dropped` how many. `changed` tells whether anything was put in.
    """

    __slots__ = ("changed", "dropped", "drops", "first")

    def __init__(self, *, drops: bool) -> None:
        self.drops = drops
        self.changed = False
        self.dropped = 0
        self.first: Outside | None = None

    def merge(self, full: Any, sent: Any, after: Any, reads: Places, writes: Places, path: Path = ()) -> Any:
        """What becomes of `full`, of which `sent` was the part that is now `after`.

        `full` and its containers may be changed in place; `sent` may share values with it.
        """
        if writes.whole and (reads.whole or sent is NOTHING):
            if sent is NOTHING or not _identical(sent, after):
                self.changed = True
                return after
            return full
        if isinstance(full, dict):
            if isinstance(after, dict):
                return self._object(full, {} if sent is NOTHING else sent, after, reads, writes, path)
            return self._refuse(full, path, "was an object and may not become something else")
        if isinstance(full, list):
            if isinstance(after, list) and (sent is NOTHING or isinstance(sent, list)):
                return self._array(full, sent, after, reads, writes, path)
            if isinstance(after, dict) and (sent is NOTHING or isinstance(sent, dict)):
                return self._positions(full, {} if sent is NOTHING else sent, after, reads, writes, path)
            return self._refuse(full, path, "stands for an array and may not become something else")
        if sent is not NOTHING and _same(sent, after):
            return full
        if writes.whole:
            self.changed = True
            return after
        return self._refuse(full, path, "may not be changed")

    def _refuse(self, full: Any, path: Path, why: str) -> Any:
        outside = Outside(pointers.write(path), why)
        if not self.drops:
            raise outside
        self.first = self.first or outside
        self.dropped += 1
        return full

    def _object(
        self,
        full: dict[str, Any],
        sent: dict[str, Any],
        after: dict[str, Any],
        reads: Places,
        writes: Places,
        path: Path,
    ) -> dict[str, Any]:
        put: dict[str, Any] = {}
        for name, new in after.items():
            old = sent.get(name, NOTHING)
            if old is new or (old and type(old) is type(new) and type(new) in _SCALARS and old == new):
                continue
            if name in full:
                mine = full[name]
                merged = self.merge(mine, old, new, reads.at(name), writes.at(name), (*path, name))
                if merged is not mine:
                    put[name] = merged
            else:
                added = self._added(new, writes.at(name), (*path, name))
                if added is not NOTHING:
                    put[name] = added
        gone = []
        for name in sent:
            if name not in after:
                if writes.at(name).whole and reads.at(name).whole:
                    gone.append(name)
                else:
                    self._refuse(full, (*path, name), "may not be removed")
        self.changed = self.changed or bool(put) or bool(gone)
        for name in gone:
            del full[name]
        full.update(put)
        return full

    def _added(self, new: Any, writes: Places, path: Path) -> Any:
        """What may be added of `new`: all of it, or, where only places in it may be written, those."""
        if writes.whole:
            return new
        if writes and isinstance(new, dict) and new:
            parts = ((name, self._added(part, writes.at(name), (*path, name))) for name, part in new.items())
            return {name: part for name, part in parts if part is not NOTHING} or NOTHING
        return self._refuse(NOTHING, path, "may not be added")

    def _array(
        self, full: list[Any], sent: Any, after: list[Any], reads: Places, writes: Places, path: Path
    ) -> list[Any]:
        length = len(full)
        if len(after) != length:
            between = range(min(length, len(after)), max(length, len(after)))
            seen = sent is not NOTHING and all(reads.at(str(n)).whole for n in range(length))
            if not (seen and all(writes.at(str(n)).whole for n in between)):
                self._refuse(full, path, f"had {length} elements and may not have {len(after)}")
                return full
        for n, (mine, new) in enumerate(zip(full, after, strict=False)):
            name = str(n)
            old = NOTHING if sent is NOTHING else sent[n]
            full[n] = self.merge(mine, old, new, reads.at(name), writes.at(name), (*path, n))
        if len(after) != length:
            self.changed = True
            full[length:] = after[length:]
            del full[len(after) :]
        return full

    def _positions(
        self, full: list[Any], sent: dict[str, Any], after: dict[str, Any], reads: Places, writes: Places, path: Path
    ) -> list[Any]:
        for name, new in after.items():
            n = pointers.index(name)
            if n is None or n >= len(full):
                self._refuse(full, (*path, name), "is no position of the array")
            else:
                old = sent.get(name, NOTHING)
                full[n] = self.merge(full[n], old, new, reads.at(name), writes.at(name), (*path, n))
        for name in sent:
            if name not in after:
                self._refuse(full, (*path, name), "may not be removed")
        return full


_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


def _identical(one: Any, other: Any) -> bool:
    """Whether two values are written the same, to the letter."""
    if type(one) is not type(other):
        return False
    return one is other or orjson.dumps(one) == orjson.dumps(other)


def _same(one: Any, other: Any) -> bool:
    """Whether two scalars are the same: of numbers, whether a double could tell them apart.

    A hook that reads a document and writes it again often loses digits. Where it may not write, the digits stay as
    they were anyway.
    """
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    first, second = _number(one), _number(other)
    if first is None or second is None:
        return type(one) is type(other) and bool(one == other)
    return first == second


def _number(value: Any) -> float | str | None:
    """The double that a number is read as, or its text if there is none; `None` of what is no number."""
    if isinstance(value, orjson.Fragment):
        text = _text(value)
        read = float(text)
        return read if isfinite(read) else text
    return float(value) if isinstance(value, (int, float)) else None


def _text(number: orjson.Fragment) -> str:
    return orjson.dumps(number).decode()


def project(body: bytes, reads: tuple[Segments, ...]) -> bytes | None:
    """The projection of a JSON document; `None` if nothing of `reads` is there. Raises `ValueError` if it is none."""
    projector = Projector()
    part = projector.part(document.parse_exact(body), Places(reads))
    return document.write(part) if projector.found else None


def merge(
    body: bytes, after: bytes, reads: tuple[Segments, ...], writes: tuple[Segments, ...], *, drops: bool
) -> tuple[bytes | None, Merger]:
    """The document `body` with what `after` says instead of its projection; `None` if nothing is to be changed.

    The merger tells what was left out. Raises `Outside`, and `ValueError` if a document is no JSON.
    """
    merger = Merger(drops=drops)
    full = document.parse_exact(body)
    sent = Projector().part(full, Places(reads))
    merged = merger.merge(full, sent, document.parse_exact(after), Places(reads), Places(writes))
    return (document.write(merged) if merger.changed else None), merger
