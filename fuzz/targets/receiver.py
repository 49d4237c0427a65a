"""A receiver: any request is answered, what nobody signed is refused, and an answer to a call fits its result."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

from fuzz.pieces import END, Pieces, text
from gateway.errors import ReplyUnusable, WebhookRefused
from gateway.model import Result
from gateway.receiver import HookReceiver
from gateway.wire import document, reply, signature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.receiver import Call

_NOW: Final = 1_700_000_000
_SECRET: Final = "whsec_" + base64.b64encode(bytes(range(32))).decode()
_KEY: Final = signature.key_of(_SECRET)
_TYPES: Final = ("application/cloudevents+json", "application/json", "", "application/cloudevents+json; charset=utf-8")
_CE: Final = ("ce-specversion", "ce-type", "ce-subject", "ce-hookid", "ce-capability", "gateway-timeout-ms")
WORDS: Final = (END, b"1.0", b"query.result.x", b'"specversion":"1.0"', b'"data":', b'"query":', b'"result":', b"%ff")


def _edit(call: Call) -> Any:
    with call.edit() as value:
        if isinstance(value, dict):
            value["~/"] = [value.pop("a", None)]
        elif isinstance(value, list):
            value.insert(len(value) // 2, {"b": 1.5})


def check(data: bytes) -> None:
    """Send a request, signed or not."""
    pieces = Pieces(data)
    signed, content_type = pieces.flag(), pieces.pick(_TYPES)
    headers: dict[str, str] = {"content-type": content_type}
    for name in _CE:
        if pieces.flag():
            headers[name] = pieces.header()
    headers["webhook-id"] = "msg_1"
    headers["webhook-timestamp"] = str(_NOW)
    structured = pieces.flag()
    result = pieces.document()
    body = result
    if structured:
        kind = pieces.document()
        body = b'{"specversion":"1.0","id":"msg_1","data":{"query":{"type":%b},"result":%b}}' % (kind, result)
    if signed:
        headers["webhook-signature"] = signature.sign([_KEY], "msg_1", _NOW, body)
    else:
        headers["webhook-signature"] = pieces.header()
    receiver = HookReceiver([_SECRET], now=lambda: _NOW, clock=lambda: 0.0)
    receiver.default(_edit)
    answer = receiver(headers, body)
    if not signed:
        assert answer.status == 401, "nobody signed this"
        return
    assert answer.status in {200, 204, 400, 415, 500, 503}, answer.status
    try:
        signature.verify(
            [_KEY], message_id=answer.header(signature.ID), timestamp=answer.header(signature.TIMESTAMP),
            signature=answer.header(signature.SIGNATURE), body=answer.body, now=_NOW, expected_id="msg_1",
        )  # fmt: skip
    except WebhookRefused as refusal:
        raise AssertionError("the reply is not signed as it should be") from refusal
    if answer.status == 200 and content_type and "id" in answer.body.decode() and b"status" in answer.body:
        return  # a health check, perhaps
    if answer.status in {200, 204}:
        sent = result if content_type.startswith(_TYPES[0]) else body  # in binary delivery it is the whole body
        _applies(answer.status, answer.header("content-type"), answer.body, sent)


def _applies(status: int, content_type: str | None, body: bytes, result: bytes) -> None:
    try:
        understood = reply.decode(
            status, content_type, body, result_type="application/json", may_reject=False, max_depth=110
        )
        reply.apply(understood, Result(result), max_depth=110)
    except ReplyUnusable as error:
        # What is beyond a patch is beyond the gateway too: a document that repeats names, or halves of characters.
        try:
            document.write(document.parse_exact(result))
        except (ValueError, TypeError):
            return
        raise AssertionError(f"the gateway cannot use the answer: {error.detail}") from error


def seeds() -> Mapping[str, bytes]:
    """Calls in both forms, a health check, and a stranger."""
    return {
        "structured": b"\x01\x00" + bytes(6) + b"\x01\x03" + text('{"a":1,"b":[1,2]}') + b"\x03" + text('"search"'),
        "array": b"\x01\x00" + bytes(6) + b"\x01\x03" + text("[1,2,3]") + b"\x03" + text('"search"'),
        "binary": b"\x01\x01\x01"
        + text("1.0")
        + b"\x01"
        + text("query.result.x")
        + bytes(4)
        + b"\x00\x03"
        + text("{}"),
        "late": b"\x01\x00" + bytes(5) + b"\x01" + text("0") + b"\x01\x03" + text("{}") + b"\x03" + text('"x"'),
        "health": b"\x01\x01" + bytes(6) + b"\x00\x03" + text('{"id":"msg_1","name":"x"}'),
        "half": b"\x01\x00" + bytes(6) + b"\x01\x03" + text('"\\ud800"') + b"\x03" + text('"x"'),
        "stranger": b"\x00\x00" + bytes(6) + b"\x01\x03" + text("{}") + b"\x03" + text('"x"') + text("v1,AAAA"),
    }
