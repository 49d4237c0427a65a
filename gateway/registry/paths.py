"""Sets of JSON Pointers with `*`: whether one lies within another, and what two have in common.

A pointer stands for the value it finds and all that is in it; `*` for any element of an array and any
member of an object; "" for the whole document. Pointers are compared as they are written, which is unambiguous:
RFC 6901 has one escape for `~` and one for `/`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def within(pointer: str, allowed: Iterable[str]) -> bool:
    """Whether all that `pointer` may find is within what one of `allowed` stands for."""
    tokens = pointer.split("/")
    return any(_covers(each.split("/"), tokens) for each in allowed)


def _covers(wide: list[str], narrow: list[str]) -> bool:
    return len(wide) <= len(narrow) and all(w in ("*", n) for w, n in zip(wide, narrow, strict=False))


def narrowed(wanted: tuple[str, ...] | None, allowed: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """What is within both; `None` is everything. Without those that another one of them contains."""
    if wanted is None or allowed is None:
        return allowed if wanted is None else wanted
    common = {both for each in wanted for other in allowed if (both := _common(each, other)) is not None}
    return tuple(sorted(each for each in common if not within(each, common - {each})))


def _common(one: str, other: str) -> str | None:
    short, long = sorted((one.split("/"), other.split("/")), key=len)
    tokens = []
    for a, b in zip(short, long, strict=False):
        if a != b and "*" not in (a, b):
            return None
        tokens.append(b if a == "*" else a)
    return "/".join((*tokens, *long[len(short) :]))
