"""The reply decoder: whatever a hook answers, it has one of the known meanings or `ReplyUnusable` says why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fuzz import naive
from fuzz.pieces import END, Pieces, text
from gateway.errors import ReplyUnusable
from gateway.model import Reason, Result
from gateway.wire import reply

if TYPE_CHECKING:
    from collections.abc import Mapping

_STATUS: Final = (200, 204, 422, 410, 200, 500, 302, 0, 429, 101)
_TYPES: Final = (
    reply.JSON, reply.JSON_PATCH, reply.MERGE_PATCH, reply.PROBLEM, "application/json; charset=utf-8",
    'Application/JSON;charset="UTF8"', "application/json;charset=latin-1", "text/html", "application/vnd.rows+json",
)  # fmt: skip
_RESULT_TYPES: Final = (reply.JSON, "application/vnd.rows+json")
_DEPTHS: Final = (100, 1, 3, 0)
_REASONS: Final = {
    Reason.STATUS, Reason.CONTENT_TYPE, Reason.BAD_JSON, Reason.BAD_PATCH, Reason.GONE, Reason.REJECTED_NOT_ALLOWED,
}  # fmt: skip
WORDS: Final = (END, b"charset=", b"application/json", b"\\ud800", b"[[[[", b"NaN", b"1e999", b"\xef\xbb\xbf")


def check(data: bytes) -> None:
    """Decode and apply one reply."""
    pieces = Pieces(data)
    status, may_reject, max_depth = pieces.pick(_STATUS), pieces.flag(), pieces.pick(_DEPTHS)
    result = Result(b'{"rows":[[1,"a"],[2,null]]}', pieces.pick(_RESULT_TYPES))
    content_type = (None, pieces.header(), *_TYPES)[pieces.below(len(_TYPES) + 2)]
    body = pieces.patch() if pieces.below(4) == 2 else pieces.document()
    before = bytes(result.body), result.content_type
    try:
        answer = reply.decode(
            status, content_type, body, result_type=result.content_type, may_reject=may_reject, max_depth=max_depth
        )
        after = reply.apply(answer, result, max_depth=max_depth)
    except ReplyUnusable as refusal:
        assert refusal.reason in _REASONS
        assert refusal.detail.isprintable()
        assert len(refusal.detail) < 1000
    else:
        _meaning(answer, after, status, may_reject, body, result, max_depth)
    assert (result.body, result.content_type) == before


def _meaning(
    answer: reply.Reply, after: Result, status: int, may_reject: bool, body: bytes, result: Result, max_depth: int
) -> None:
    assert (status == 204) == isinstance(answer, reply.Unchanged)
    assert (status == 422) == isinstance(answer, reply.Reject)
    if isinstance(answer, reply.Unchanged):
        assert after is result
        return
    assert naive.depth(naive.read(body)) <= max_depth
    if isinstance(answer, reply.Reject):
        assert may_reject
        assert after is result
        return
    assert after.content_type == result.content_type
    if isinstance(answer, reply.Replace):
        assert after.body == body
    elif after is not result:
        assert naive.depth(naive.read(after.body)) <= max_depth


def seeds() -> Mapping[str, bytes]:
    """Replies as servers give them."""
    raw, head = b"\x03", b"\x00\x00\x00\x00"
    bodies = {
        "replace": (2, b'{"rows":[[1,"a",2.50]],"total":1}'),
        "replace-charset": (6, b'[{"id":18446744073709551616}]'),
        "json-patch": (
            3,
            b'[{"op":"add","path":"/rows/-","value":[3,"c"]},{"op":"test","path":"/rows/0/0","value":1}]',
        ),
        "merge-patch": (4, b'{"rows":null,"note":"\xc3\xa9"}'),
        "not-json": (2, b"{'rows': NaN}"),
        "deep": (2, b"[" * 120 + b"]" * 120),
        "latin": (8, b'{"caf\xe9":1}'),
        "html": (9, b"<h1>It works!</h1>"),
    }
    found = {
        name: head + text("") + bytes([kind]) + b"\x00" + raw + text(body) for name, (kind, body) in bodies.items()
    }
    found["unchanged"] = b"\x01"
    found["gone"] = b"\x03"
    found["reject"] = b"\x02\x01\x00\x00" + text("") + b"\x05\x00" + raw + text('{"title":"No.","status":422}')
    found["own-type"] = head + text('application/json ; Charset="utf-8"; x=y') + b"\x01\x00" + raw + text("{}")
    return found
