"""JSON Pointers with `*`: how a scope names the places of a result.

A pointer is one of RFC 6901, in which a whole segment `*` stands for any element of an array and any member of an
object. A member whose name is a single asterisk is written `~2`. A pointer stands for the value that it finds and for
all that is in it; "" for the whole document. So that each place has one way to be written, `~2` may stand nowhere else.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_POINTERS: Final = 64
MAX_SEGMENTS: Final = 32
MAX_LENGTH: Final = 1_000

Segments = tuple[str | None, ...]  # None is `*`

_INDEX: Final = re.compile(r"(?:0|[1-9][0-9]{0,8})\Z", re.ASCII)
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class PointerError(ValueError):
    """The text is no pointer. `position` counts characters from 0; the message is a sentence that names it."""

    def __init__(self, why: str, position: int) -> None:
        super().__init__(f"{why} at character {position}")
        self.position = position


def parse(text: str) -> Segments:
    """The segments of a pointer. Raises `PointerError`."""
    if not text:
        return ()
    if text[0] != "/":
        raise PointerError(f"must be empty or begin with '/'; it has {text[0]!r}", 0)
    if len(text) > MAX_LENGTH:
        raise PointerError(f"must be at most {MAX_LENGTH} characters long; it goes on", MAX_LENGTH)
    if wrong := _UNPRINTABLE.search(text):
        raise PointerError(f"must not have control characters or lone surrogates; it has {wrong[0]!r}", wrong.start())
    segments: list[str | None] = []
    at = 1
    for written in text[1:].split("/"):
        if len(segments) == MAX_SEGMENTS:
            raise PointerError(f"must have at most {MAX_SEGMENTS} segments; there is one more", at)
        segments.append(_segment(written, at))
        at += len(written) + 1
    return tuple(segments)


def _segment(written: str, at: int) -> str | None:
    if written == "*":
        return None
    if written == "~2":
        return "*"
    tilde = written.find("~")
    while tilde >= 0:
        escaped = written[tilde + 1 : tilde + 2]
        if escaped == "2":
            raise PointerError("'~2' (a literal '*') must be a whole segment; it is a part of one", at + tilde)
        if escaped not in ("0", "1"):
            raise PointerError("'~' must be followed by 0 (for '~'), 1 (for '/') or 2 (for '*'); it is not", at + tilde)
        tilde = written.find("~", tilde + 2)
    return written.replace("~1", "/").replace("~0", "~")


def write(path: Iterable[str | int]) -> str:
    """The pointer to the one place that names and indexes lead to (plain RFC 6901, so that others can use it)."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)


def errors(texts: Iterable[str]) -> Iterator[tuple[int, str]]:
    """What is wrong with each of some pointers: its number, counted from 0, and a sentence."""
    for number, text in enumerate(texts):
        if number == MAX_POINTERS:
            yield number, f"there may be at most {MAX_POINTERS} pointers"
            return
        try:
            parse(text)
        except PointerError as e:
            yield number, str(e)


def index(segment: str) -> int | None:
    """The index of an array's element that `segment` names; `None` if it names none."""
    return int(segment) if _INDEX.match(segment) else None


class Places:
    """What some pointers stand for, seen from one place of a document.

    `whole`: this place with all that is in it. `names` are the members (or indexes) named here, in the order of the
    pointers; `anything` is what holds for every other member and element. Made for the walk
    through one document, as `root`, and forgotten with it: what a pointer leads to is found as it is needed.
    """

    __slots__ = ("_anything", "_found", "_rests", "names", "whole")

    def __init__(self, rests: Iterable[Segments]) -> None:
        self._rests = tuple(rests)
        self.whole: Final = () in self._rests
        self.names: Final = () if self.whole else tuple(dict.fromkeys(r[0] for r in self._rests if r[0] is not None))
        self._found: dict[str, Places] = {}
        self._anything: Places | None = None

    @property
    def anything(self) -> Places:
        """What holds below any member or element that is not named."""
        if self._anything is None:
            self._anything = self if self.whole else Places(rest[1:] for rest in self._rests if rest[0] is None)
        return self._anything

    def at(self, name: str) -> Places:
        """What holds below the member (or the index) `name`."""
        if self.whole or name not in self.names:
            return self.anything
        found = self._found.get(name)
        if found is None:
            found = self._found[name] = Places(rest[1:] for rest in self._rests if rest[0] in (None, name))
        return found

    def __bool__(self) -> bool:
        """Whether there is any place here or below."""
        return bool(self._rests)

    @property
    def starred(self) -> bool:
        """Whether a pointer has `*` here, or stands for all of it."""
        return self.whole or any(rest[0] is None for rest in self._rests)


EVERYTHING: Final[tuple[Segments, ...]] = ((),)


def parse_all(texts: Iterable[str] | None) -> tuple[Segments, ...]:
    """The segments of some pointers; `None` is the whole document. Raises `PointerError`."""
    return EVERYTHING if texts is None else tuple(parse(text) for text in texts)
