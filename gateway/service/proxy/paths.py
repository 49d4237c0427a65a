"""Paths as they may be read: one way for nearly all, several for those that servers read differently.

A path decides which hooks a query has, and the upstream reads it again by rules of its own: some decode `%2F` before
they split, some cut off what follows a `;`, some resolve `..`, some take a backslash for a slash, some decode twice. If
the gateway read such a path in one way only, whoever knows the upstream's way could get past the hooks. So the gateway
reads it in every way that is in use, and goes on only where all of them mean the same.
"""

from __future__ import annotations

import re
from itertools import product
from typing import Final
from urllib.parse import unquote

from gateway.errors import GatewayError

__all__ = ["Misread", "Segments", "readings"]

Segments = tuple[str, ...]

# Nothing encoded, no empty segment, no parameter of a segment; dot segments are looked for apart.
_PLAIN: Final = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,=:@-]+)*/?")
_ENCODED: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_PARAMETERS: Final = re.compile(r";[^/\\]*")


class Misread(GatewayError):
    """The path or the query can be read in more than one way. (HTTP 400)"""


def readings(path: str) -> list[Segments]:
    """The ways to read `path`, as decoded segments without empty ones; the first is that of RFC 3986.

    Raises `Misread` for a path that has no place in any of them, or that climbs above its root in one.
    """
    if _PLAIN.fullmatch(path) and "/." not in path:
        return [tuple(path.strip("/").split("/")) if path != "/" else ()]
    if not path.startswith("/") or "#" in path:
        raise Misread("The target of the request is no path: it must begin with a slash and have no fragment.")
    decoded = unquote(path)
    if "\0" in decoded:
        raise Misread("The path holds the byte 0, at which some servers stop reading.")
    slashes = decoded.count("/") != path.count("/") or "\\" in decoded
    twice = _ENCODED.search(decoded) is not None
    ways: dict[Segments, None] = {}
    for again, split_late, cut, resolve in product(
        (False, True) if twice else (False,),
        (False, True) if slashes or twice else (False,),
        (False, True) if ";" in decoded or twice else (False,),
        (False, True),
    ):
        ways[_read(path, again=again, split_late=split_late, cut=cut, resolve=resolve)] = None
    return list(ways)


def _read(path: str, *, again: bool, split_late: bool, cut: bool, resolve: bool) -> Segments:
    if split_late:
        text = unquote(path)
        text = unquote(text) if again else text
        text = text.replace("\\", "/")
        found = (_PARAMETERS.sub("", text) if cut else text).split("/")
    else:
        found = [unquote(segment) for segment in path.split("/")]
        found = [unquote(segment) for segment in found] if again else found
        found = [segment.partition(";")[0] for segment in found] if cut else found
    if not resolve:
        return tuple([segment for segment in found if segment])
    kept: list[str] = []
    for segment in found:
        if segment == "..":
            if not kept:
                raise Misread("The path climbs above its root.")
            kept.pop()
        elif segment not in {"", "."}:
            kept.append(segment)
    return tuple(kept)
