"""Patterns of paths: literal segments, `{name}` for any one segment, `*` at the end for any rest.

Patterns and paths are compared segment by segment, after percent-decoding. Empty segments do not count, so `/query`,
`/query/` and `//query` are the same path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["PathPattern"]

_NAME: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,62})\}")
_ENCODED: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A pattern; `None` among its `segments` stands for any one segment, `rest` for any number of further ones.

    `names` are the numbers of the named segments, from 0. With `ignore_case`, literal segments are compared without
    regard to upper and lower case.
    """

    segments: tuple[str | None, ...]
    rest: bool = False
    names: Mapping[str, int] = field(default_factory=dict)
    ignore_case: bool = False

    @classmethod
    def parse(cls, text: str, *, ignore_case: bool = False) -> PathPattern:
        """The pattern that `text` writes, such as `/search/{index}/*`. Raises `ValueError`."""
        if not text.startswith("/"):
            raise ValueError('must begin with "/"')
        if any(c in text for c in "?# ") or not text.isprintable():
            raise ValueError("must be a path without query, fragment and spaces")
        written = [segment for segment in text.split("/") if segment]
        rest = bool(written) and written[-1] == "*"
        segments: list[str | None] = []
        names: dict[str, int] = {}
        for number, segment in enumerate(written[:-1] if rest else written):
            if found := _NAME.fullmatch(segment):
                if found[1] in names:
                    raise ValueError(f"names the segment {{{found[1]}}} twice")
                names[found[1]] = number
                segments.append(None)
            else:
                literal = _literal(segment)
                segments.append(literal.casefold() if ignore_case else literal)
        return cls(tuple(segments), rest, names, ignore_case)

    def fits(self, segments: Sequence[str]) -> bool:
        """Whether a path with these decoded segments has this pattern."""
        count = len(self.segments)
        if len(segments) < count or (len(segments) > count and not self.rest):
            return False
        if self.ignore_case:
            return all(
                own is None or own == found.casefold() for own, found in zip(self.segments, segments, strict=False)
            )
        return all(own is None or own == found for own, found in zip(self.segments, segments, strict=False))

    def covers(self, other: PathPattern) -> bool:
        """Whether every path that has the pattern `other` has this one, too."""
        count = len(self.segments)
        if len(other.segments) < count or (not self.rest and (other.rest or len(other.segments) > count)):
            return False
        if other.ignore_case and not self.ignore_case and any(own is not None for own in self.segments):
            return False
        theirs = [
            segment.casefold() if segment is not None and self.ignore_case else segment for segment in other.segments
        ]
        return all(own is None or own == their for own, their in zip(self.segments, theirs, strict=False))


def _literal(segment: str) -> str:
    if "*" in segment:
        raise ValueError('may hold "*" only as its last segment, as in "/query/*"')
    if "{" in segment or "}" in segment:
        raise ValueError('may hold braces only around the name of a whole segment, as in "/search/{index}"')
    if _ENCODED.search(segment):
        raise ValueError('holds a "%" that two hexadecimal digits do not follow')
    literal = unquote(segment)
    if literal in {".", ".."} or any(c in literal for c in "/\\;\0"):
        raise ValueError('must not hold the segments "." and ".." nor, encoded or not, a slash, a backslash or ";"')
    return literal
