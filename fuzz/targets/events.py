"""CloudEvents: whatever a query holds, its call is a well-formed event whose parts can be read back."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from fuzz.pieces import END, Pieces, text
from gateway.model import Query, Result
from gateway.transport.protocol import Endpoint
from gateway.transport.request import HeadWriter
from gateway.wire import cloudevents, trace

if TYPE_CHECKING:
    from collections.abc import Mapping

_TRACEPARENT: Final = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_ENDPOINT: Final = Endpoint("https", "hooks.example", 443, "hooks.example", "/hook", "hk_1")
WORDS: Final = (END, b"\r\n", b"%", b"%25", b'"', b"\x7f", b"\xc3\xa9", b"\xff", b"00-", b"\xed\xa0\x80", b"\xf0\x9f")


def check(data: bytes) -> None:
    """Make the two forms of one call, and read them back."""
    pieces = Pieces(data)
    at = pieces.below(256) * 1e7 + pieces.below(256) / 256
    optional = [pieces.flag() for _ in range(4)]
    kind, ident, source = pieces.header(), pieces.header(), pieces.header()
    capability = pieces.header() if optional[0] else None
    tenant = pieces.header() if optional[1] else None
    traceparent = pieces.header() if optional[2] else None
    tracestate = pieces.header() if optional[3] else None
    texts = [kind, ident, source, *(each for each in (capability, tenant) if each is not None)]
    result = Result(pieces.json().encode())
    query = Query(
        type=kind, id=ident, capability=capability, tenant=tenant, params={"q": kind}, context=[tenant],
        traceparent=traceparent, tracestate=tracestate,
    )  # fmt: skip
    event = cloudevents.QueryEvent(query, source)
    parent, state = event.traceparent(), trace.state(tracestate)
    assert _TRACEPARENT.fullmatch(parent)
    writable = all(_is_unicode(each) for each in texts)
    try:
        headers = event.binary("msg_1", "hk_1", at)
    except TypeError:
        assert not writable
    else:
        assert writable
        _binary(headers, query, source, [("traceparent", parent), *([("tracestate", state)] if state else [])])
    try:
        body = event.structured("msg_1", "hk_1", at, result)
    except TypeError:
        assert not writable
    else:
        assert writable
        _structured(body, query, source, result)


def _binary(headers: list[tuple[str, str]], query: Query, source: str, more: list[tuple[str, str]]) -> None:
    HeadWriter().write(_ENDPOINT, "POST", [*headers, *more], 2)  # raises for what must not be sent
    assert all(name.startswith("ce-") and re.fullmatch(r"[!-~]*", value) for name, value in headers)
    told = {name[3:]: unquote(value, errors="strict") for name, value in headers}
    assert len(told) == len(headers)
    _attributes(told, query, source)


def _structured(body: bytes, query: Query, source: str, result: Result) -> None:
    assert body.endswith(b',"result":' + result.body + b"}}")
    told = json.loads(body[: -len(result.body) - 2] + b"null}}")
    _attributes(told, query, source)
    asked = told["data"]["query"]
    assert (asked["type"], asked["capability"], asked["tenant"]) == (query.type, query.capability, query.tenant)
    assert (asked["params"], asked["context"]) == ({"q": query.type}, [query.tenant])


def _attributes(told: Mapping[str, object], query: Query, source: str) -> None:
    assert (told["specversion"], told["id"], told["hookid"]) == ("1.0", "msg_1", "hk_1")
    assert (told["type"], told["subject"], told["source"]) == ("query.result." + query.type, query.id, source)
    assert (told.get("capability"), told.get("tenant")) == (query.capability, query.tenant)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(told["time"]))


def _is_unicode(value: str) -> bool:
    return not any(0xD800 <= ord(character) < 0xE000 for character in value)


def seeds() -> Mapping[str, bytes]:
    """Queries as they come."""
    plain = [text(word) for word in ("search", "q-1", "/gateway", "price", "acme")]
    parent = text("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    named = b"\xaa\x10\x01\x01\x00\x00" + plain[0]
    traced = b"\xaa\x10\x01\x01\x01\x01"
    return {
        "plain": named + b"".join(plain[1:]) + b"\x0a\x02\x00\x00",
        "traced": traced + b"".join(plain) + parent + text("vendor=1,other=2"),
        "bare": b"\xaa\x10\x00\x00\x00\x00" + b"".join(plain[:3]),
        "accents": named + text("é ü\t%41") + plain[2] + text('"Zürich"') + text("日本"),
        "line-ends": traced + plain[0] + text("a\r\nx: y") * 2 + text("\n") * 2 + text("00-\r\n-") * 2,
        "bytes": named + b"".join(plain[1:3]) + text(b"\xff\xfe") + text(b"caf\xe9"),
    }
