"""Patches: the result is the new document, as the naive way makes it, or `ReplyUnusable`, and the old one stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fuzz import naive
from fuzz.pieces import END, Pieces, text
from gateway.errors import ReplyUnusable
from gateway.model import Result
from gateway.wire import reply

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEPTH: Final = 40
WORDS: Final = (END, b'"op":"', b'"path":"/', b'"from":"/', b'"value":', b"/-", b"~1", b"~0", b"null", b"1e400")


def check(data: bytes) -> None:
    """Apply one patch to one document."""
    pieces = Pieces(data)
    merge = pieces.flag()
    document = pieces.document()
    patch = pieces.patch() if not merge and pieces.below(4) else pieces.document()
    try:
        old = naive.read(document)
    except ValueError:
        old = None
    if naive.depth(old) > _DEPTH:
        return  # such a result was never taken from a hook
    result = Result(document)
    kind = reply.MERGE_PATCH if merge else reply.JSON_PATCH
    try:
        answer = reply.decode(200, kind, patch, result_type=reply.JSON, may_reject=False, max_depth=_DEPTH)
        after = reply.apply(answer, result, max_depth=_DEPTH)
    except ReplyUnusable as refusal:
        assert refusal.detail.isprintable()
        assert result.body is document
        return
    assert result.body is document
    if after is result:
        return
    changes, new = naive.read(patch), naive.read(after.body)
    expected = naive.merged(old, changes) if merge else naive.patched(old, changes)
    assert naive.same(new, expected), f"{new!r} instead of {expected!r}"
    assert naive.depth(new) <= _DEPTH


def seeds() -> Mapping[str, bytes]:
    """Patches as servers send them."""
    document = b'{"rows":[[1,"a",0.10],[2,"b",123456789012345678901]],"meta":{"a/b":1,"m~n":{"x":null}}}'
    patches = {
        "add": b'[{"op":"add","path":"/rows/-","value":[3,"c",1e2]},{"op":"add","path":"/total","value":3}]',
        "remove": b'[{"op":"remove","path":"/rows/0"},{"op":"remove","path":"/meta/a~1b"}]',
        "replace": b'[{"op":"replace","path":"/rows/0/1","value":"z"},{"op":"replace","path":"","value":[]}]',
        "move": b'[{"op":"move","from":"/rows/0","path":"/rows/1"},{"op":"move","from":"/meta","path":"/about"}]',
        "copy": b'[{"op":"copy","from":"/meta","path":"/meta/m~0n/self"}]',
        "test": b'[{"op":"test","path":"/rows/0/0","value":1},{"op":"add","path":"/ok","value":true}]',
        "no-path": b'[{"op":"add","path":"/no/such","value":1}]',
    }
    found = {name: b"\x00\x03" + text(document) + b"\x00\x03" + text(patch) for name, patch in patches.items()}
    merges = {"merge": b'{"rows":null,"meta":{"a/b":null,"c":{"d":null,"e":1.0}}}', "merge-scalar": b"1.50"}
    for name, patch in merges.items():
        found[name] = b"\x01\x03" + text(document) + b"\x03" + text(patch)
    # The builder's own language, in a few steps of a fixed stride.
    for stride in (7, 11, 23, 41):
        found[f"built-{stride}"] = bytes((i * i + i * stride) % 256 for i in range(120))
    return found
