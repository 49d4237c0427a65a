"""Checks of behaviour: repetition, deadlines, input that is odd, large or broken, methods, many calls at once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.conformance.check import check, must
from gateway.model.ids import message_id

if TYPE_CHECKING:
    from gateway.conformance.probe import Probe

_SHORT_MS: Final = 100
_SLACK_SECONDS: Final = 0.4  # for the way, on a busy machine
_PARSE: Final = "Answer 400 where the body cannot be read; an exception must not become a 500."
_SANE: Final = "Answer 204 where the hook has nothing to say to a query."
_MANY: Final = 20


async def _not_broken(probe: Probe, what: str, headers: list[tuple[str, str]], body: bytes) -> None:
    response = await probe.send(headers, body)
    must(400 <= response.status <= 499, f"{what} was answered with status {response.status}; it must be a 4xx")


async def _sane(probe: Probe, what: str, *, result: Any = None, **changes: Any) -> None:
    response = await probe.call(replace(probe.target.query(), **changes), result)
    if 400 <= response.status <= 499:
        return
    must(response.status in {200, 204}, f"{what} was answered with status {response.status}")
    probe.understood(response, result)


# ---------------------------------------------------------------- repetition


@check(
    "idempotent",
    "repetition",
    "The same call once more has the same answer, or is refused.",
    mend="Remember the ids of the last minutes with their replies: after a broken connection the gateway asks again.",
)
async def _idempotent(probe: Probe) -> None:
    ident = message_id()
    body = probe.body(ident=ident)
    headers = probe.headers(body, ident=ident)
    first, second = await probe.send(headers, body), await probe.send(headers, body)
    probe.good(first, "the first call")
    if 400 <= second.status <= 499:
        return
    same = (first.status, first.body) == (second.status, second.body)
    must(same, f"first {first.status} with {len(first.body)} bytes, then {second.status} with {len(second.body)}")


@check(
    "other-call-same-id",
    "repetition",
    "Another call under an id that was used is not answered with the first one's reply.",
    mend="Remember a reply together with a digest of its call, and refuse another call under the same id.",
)
async def _other_call_same_id(probe: Probe) -> None:
    probe.structured_only()
    ident = message_id()
    first = await probe.call(ident=ident)
    other = probe.body(result={"another": ["result"]}, ident=ident)
    second = await probe.send(probe.headers(other, ident=ident), other)
    if 400 <= second.status <= 499:
        return
    probe.understood(second, {"another": ["result"]})
    same = first.status == 200 and (first.status, first.body) == (second.status, second.body)
    must(not same or not first.body, "it has the very reply of the first call")


# ---------------------------------------------------------------- deadlines


@check(
    "in-time",
    "deadline",
    "An ordinary call is answered within its time limit.",
    mend="Answer within gateway-timeout-ms: after it the gateway has gone on without the hook.",
)
async def _in_time(probe: Probe) -> None:
    begun = time.perf_counter()
    await probe.call()
    took = (time.perf_counter() - begun) * 1000
    must(took <= probe.target.timeout_ms, f"it took {took:.0f} ms of {probe.target.timeout_ms}")


@check(
    "short-deadline",
    "deadline",
    "With 100 ms left, the answer comes in that time, or a refusal soon after.",
    mend="Stop the work when gateway-timeout-ms is over, and answer 503.",
)
async def _short_deadline(probe: Probe) -> None:
    begun = time.perf_counter()
    await probe.call(timeout_ms=_SHORT_MS)
    took = time.perf_counter() - begun
    must(took <= _SHORT_MS / 1000 + _SLACK_SECONDS, f"it took {took * 1000:.0f} ms, with {_SHORT_MS} ms to go")


@check(
    "odd-deadline",
    "deadline",
    "A gateway-timeout-ms that is absent or no number does no harm.",
    mend="Where gateway-timeout-ms cannot be read, take a limit of your own.",
)
async def _odd_deadline(probe: Probe) -> None:
    for odd in (None, "soon", "-1", "0", "1e9", "9" * 30):
        response = await probe.call(change={"gateway-timeout-ms": odd})
        must(response.status < 500 or response.status == 503, f"{odd!r} was answered with status {response.status}")


# ---------------------------------------------------------------- queries of other kinds


@check("unknown-type", "queries", "A type of query that it does not serve is answered sanely.", mend=_SANE)
async def _unknown_type(probe: Probe) -> None:
    await _sane(probe, "an unknown type", type="no-such-type-of-query")


@check("unknown-capability", "queries", "A capability that it does not know is answered sanely.", mend=_SANE)
async def _unknown_capability(probe: Probe) -> None:
    await _sane(probe, "an unknown capability", capability="no-such-capability")


@check("null-members", "queries", "A query without capability, tenant, params and context is answered.", mend=_SANE)
async def _null_members(probe: Probe) -> None:
    await _sane(probe, "a bare query", capability=None, tenant=None, params=None, context=None)


@check("odd-params", "queries", "Params of any JSON kind are answered sanely.", mend=_SANE)
async def _odd_params(probe: Probe) -> None:
    kinds: tuple[Any, ...] = ([], "text", 5, True, {"": {"deep": [[[]]]}}, "\u0000\u2028 \U0001f600 \u202e")
    for odd in kinds:
        await _sane(probe, f"params of kind {type(odd).__name__}", params=odd)


@check("odd-results", "queries", "A result of any JSON kind is answered sanely.", mend=_SANE)
async def _odd_results(probe: Probe) -> None:
    kinds: tuple[Any, ...] = ({}, [], "text", 0, False)
    for odd in kinds:
        await _sane(probe, f"a result of kind {type(odd).__name__}", result=odd)


@check(
    "unknown-members",
    "queries",
    "Attributes and members that it does not know are passed over.",
    mend="Read what you know and leave the rest: later versions of the gateway may say more.",
)
async def _unknown_members(probe: Probe) -> None:
    probe.structured_only()
    event = orjson.loads(probe.body())
    event["newattribute"] = "later"
    event["data"]["query"]["new"] = {"later": True}
    event["data"]["new"] = []
    body = orjson.dumps(event)
    probe.good(await probe.send(probe.headers(body), body), "a call with members that it does not know")


@check(
    "unknown-headers",
    "queries",
    "Headers that it does not know are passed over.",
    mend="Read the headers you know, and leave the rest.",
)
async def _unknown_headers(probe: Probe) -> None:
    probe.good(await probe.call(change={"gateway-new": "later", "x-other": "1"}), "a call with other headers")


# ---------------------------------------------------------------- broken and large input


@check("bad-json", "input", "A signed body that is no JSON is refused with 4xx.", mend=_PARSE)
async def _bad_json(probe: Probe) -> None:
    for body in (b"{", b"nul", b"{'a': 1}", b'{"a":1}x', b"\xef\xbb\xbf{"):
        await _not_broken(probe, f"the body {body[:10]!r}", probe.headers(body), body)


@check("empty-body", "input", "A signed call with an empty body is refused with 4xx.", mend=_PARSE)
async def _empty_body(probe: Probe) -> None:
    await _not_broken(probe, "an empty body", probe.headers(b""), b"")


@check("not-utf8", "input", "A signed body that is no UTF-8 is refused with 4xx.", mend=_PARSE)
async def _not_utf8(probe: Probe) -> None:
    body = b'{"\xff":1}' if probe.target.binary else probe.body(result="MARK").replace(b"MARK", b"\xff\xfe")
    await _not_broken(probe, "a body that is no UTF-8", probe.headers(body), body)


@check("not-an-event", "input", "Signed JSON that is no CloudEvent with data is refused with 4xx.", mend=_PARSE)
async def _not_an_event(probe: Probe) -> None:
    probe.structured_only()
    for body in (b"null", b"[]", b"5", b"{}", b'{"specversion":"1.0","data":null}', b'{"data":[]}'):
        await _not_broken(probe, f"the body {body!r}", probe.headers(body), body)


@check(
    "other-content-type",
    "input",
    "A call of another content type is refused with 4xx.",
    mend="Answer 415 to a content-type that is neither application/cloudevents+json nor JSON with ce- headers.",
)
async def _other_content_type(probe: Probe) -> None:
    probe.structured_only()
    for kind in ("text/plain", "application/xml", None):
        body = probe.body()
        await _not_broken(probe, f"content-type {kind}", probe.headers(body, change={"content-type": kind}), body)


@check("deep", "input", "JSON that nests 100,000 levels deep does no harm.", mend=_PARSE)
async def _deep(probe: Probe) -> None:
    body = b"[" * 100_000 + b"]" * 100_000
    response = await probe.send(probe.headers(body), body)
    must(response.status < 500, f"status {response.status}")
    probe.good(await probe.call(), "an ordinary call after it")


@check(
    "large",
    "input",
    "A result of 1 MB is answered.",
    mend="Let bodies of some megabytes in; the gateway sends results of up to 8 MiB unless told otherwise.",
)
async def _large(probe: Probe) -> None:
    rows = {"rows": [{"id": number, "text": "x" * 90} for number in range(10_000)]}
    response = await probe.call(result=rows, timeout_ms=10_000)
    must(response.status in {200, 204, 422}, f"status {response.status}")
    probe.understood(response, rows)


@check(
    "too-large",
    "input",
    "A body of 32 MB is answered or refused, and the next call works.",
    mend="Cap the size of bodies, and answer 413 beyond it.",
)
async def _too_large(probe: Probe) -> None:
    body = probe.body(result="x" * 32_000_000)
    try:
        response = await probe.send(probe.headers(body), body)
        must(response.status < 500, f"status {response.status}")
    finally:
        probe.good(await probe.call(), "an ordinary call after it")


# ---------------------------------------------------------------- methods, and many at once


@check(
    "other-methods",
    "methods",
    "Other methods than POST and OPTIONS are refused with 4xx.",
    mend="Answer 405 to GET, PUT, PATCH and DELETE.",
)
async def _other_methods(probe: Probe) -> None:
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        body = b"" if method == "GET" else probe.body()
        response = await probe.send(probe.headers(body), body, method=method)
        must(400 <= response.status <= 499, f"{method} was answered with status {response.status}")


@check(
    "concurrent",
    "concurrency",
    "Twenty calls at once are each answered, and each for itself.",
    mend="Keep nothing of a call outside of it; let several requests be worked on at once.",
)
async def _concurrent(probe: Probe) -> None:
    documents = [{"rows": [{"id": number}]} for number in range(_MANY)]
    alone = [await probe.call(result=each) for each in documents[:2]]
    together = await asyncio.gather(*(probe.call(result=each, timeout_ms=10_000) for each in documents))
    for number, response in enumerate(together):
        must(response.status in {200, 204, 422}, f"call {number + 1} of {_MANY} was answered with {response.status}")
        probe.understood(response, documents[number])
    for number, one in enumerate(alone):
        after, again = (probe.understood(each, documents[number]) for each in (one, together[number]))
        must(after == again, "a call among others has another answer than alone")
