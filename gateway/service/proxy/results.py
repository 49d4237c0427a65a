"""A result on its way through the hooks of its query, and what is said to the client of it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Final

from gateway.errors import HookFailed, ProtocolViolated, QueryRejected, ReplyTooLarge
from gateway.model import Reason, Result
from gateway.observe.log import get_logger
from gateway.pipeline import provenance
from gateway.pipeline.debug import HEADER
from gateway.pipeline.http_answer import failure
from gateway.service.messages import value_of, values_of
from gateway.service.proxy.heads import CODED, DEBUG, TAGGED, TAGS
from gateway.service.proxy.inner import taken_out
from gateway.service.proxy.passing import pass_on
from gateway.service.proxy.validators import entity_tag, is_met_by, is_ours
from gateway.transport.decoding import inflater_for

if TYPE_CHECKING:
    from gateway.model import Query
    from gateway.pipeline import HookChain
    from gateway.pipeline.debug import DebugHeader
    from gateway.service.front import Exchange
    from gateway.service.messages import Headers
    from gateway.service.proxy.heads import ResponseRules, Seen
    from gateway.service.proxy.routes import Taken
    from gateway.service.upstream import UpstreamAnswer

__all__ = ["ResultDoor"]

log = get_logger("proxy")

_DEBUG: Final = HEADER.encode()
_NOT_TRACED: Final[AbstractContextManager[None]] = nullcontext()
# RFC 9110, section 15.4.5: what a 304 has of the head of the 200 that it stands for.
_NOT_IN_304: Final = frozenset({b"content-type", b"content-encoding", b"content-language", b"content-disposition"})


class ResultDoor:
    """Where results leave the gateway: through their hooks, up to `max_result_bytes`; larger ones as they are."""

    def __init__(
        self, chain: HookChain, rules: ResponseRules, max_result_bytes: int, debug: DebugHeader | None
    ) -> None:
        self._chain = chain
        self._rules = rules
        self._max_result_bytes = max_result_bytes
        self._debug = debug
        self._constants = provenance.Constants()

    async def answer(
        self,
        exchange: Exchange,
        taken: Taken,
        query: Query,
        answer: UpstreamAnswer,
        media_type: str,
        marks: int,
        seen: Seen,
    ) -> None:
        """Answer `query`, whose result is in `answer`. Raises `UpstreamFailed` if that breaks off.

        `marks` is what there is among the headers of the request, `seen` what follows from those of the answer.
        """
        head, body, route = answer.head, answer.body, taken.route
        if body.complete and body.held <= self._max_result_bytes:
            held, complete = body.taken(), True
        else:
            held, complete = await answer.whole(self._max_result_bytes)
        plain: bytes | Reason = Reason.SIZE
        if complete:
            plain = self._plain(held, head.headers) if seen.marks & CODED else held
        inner, put_back = plain, None
        if route.result_at and isinstance(plain, bytes) and plain:
            try:
                found = taken_out(plain, route.result_at)
            except ValueError as e:
                log.warning("result.not_read", at=route.result_at, path=exchange.head.path, detail=str(e))
                inner = Reason.ENCODING
            else:
                if found is None:
                    log.debug("result.not_found", at=route.result_at, path=exchange.head.path)
                inner, put_back = found or (b"", None)
        if not inner:  # no document, whatever its media type says
            exchange.answer(head.status, self._rules.untouched(head.headers, taken.vary_of_results), held)
            return
        if not isinstance(inner, bytes):
            await self._answer_unsent(exchange, taken, query, answer, Result(b"", media_type), inner, held)
            return
        result = Result(inner, media_type) if put_back is None else Result(inner)
        try:
            if marks & DEBUG:
                with self._tracing(exchange.head.headers):
                    told = await self._chain.run(query, result)
            else:
                told = await self._chain.run(query, result)
        except (HookFailed, QueryRejected) as e:
            _tell(exchange, e)
            return
        out, decoded = held, False
        made = told.result
        if made is not result and made.body != inner:
            out = made.body if put_back is None else put_back(made.body)
            decoded = plain is not held
        if not told.outcomes:
            headers = self._rules.untouched(head.headers, taken.vary_of_results) + provenance.fields(
                told, self._constants
            )
            exchange.answer(head.status, headers, out)
            return
        exchange.notes["outcomes"] = told.outcomes
        headers = seen.after_hooks
        if decoded:
            headers = self._rules.after_hooks(
                head.headers, taken.vary_of_results, decoded=True, whole=True, revalidate=route.revalidate
            )
        headers = headers + provenance.fields(told, self._constants)
        if head.status == 200 and exchange.head.method == "GET" and (seen.marks & TAGGED or marks & TAGS):
            _answer_tagged(exchange, seen, headers, out)
        else:
            exchange.answer(head.status, headers, out)

    def _tracing(self, headers: Headers) -> AbstractContextManager[object]:
        key = value_of(headers, _DEBUG)
        return _NOT_TRACED if key is None or self._debug is None else self._debug.tracing(key.decode("latin-1"))

    async def _answer_unsent(
        self,
        exchange: Exchange,
        taken: Taken,
        query: Query,
        answer: UpstreamAnswer,
        result: Result,
        reason: Reason,
        held: bytes,
    ) -> None:
        """Answer `query` with a result that no hook could be sent, for `reason`."""
        try:
            with self._tracing(exchange.head.headers):
                skipped = await self._chain.skip(query, result, reason)
        except HookFailed as e:  # there is one that the query must not go on without
            _tell(exchange, e)
            return
        headers = self._rules.after_hooks(
            answer.head.headers, taken.vary_of_results, decoded=False, whole=False, revalidate=taken.route.revalidate
        )
        await pass_on(exchange, answer, headers + provenance.fields(skipped, self._constants), held)

    def _plain(self, held: bytes, headers: Headers) -> bytes | Reason:
        """The document in `held`, which may be compressed; or why it cannot be had."""
        coding = value_of(headers, b"content-encoding")
        if coding is None:
            return held
        try:
            inflater = inflater_for(coding.decode("latin-1"), self._max_result_bytes)
            if inflater is None:
                return held
            plain = inflater.feed(held)
            inflater.finish()
        except ReplyTooLarge:
            return Reason.SIZE
        except ProtocolViolated as e:
            log.warning("result.not_decompressed", coding=coding[:40].decode("latin-1"), detail=e.detail)
            return Reason.ENCODING
        return plain


def _answer_tagged(exchange: Exchange, seen: Seen, headers: Headers, body: bytes) -> None:
    """Answer a GET with a result under a tag of its own, if it needs one; or say that the client has it already."""
    condition = values_of(exchange.head.headers, b"if-none-match")
    # Only what caches may ask about again needs a tag: what had one, or a date, from the upstream.
    if seen.marks & TAGGED or is_ours(condition):
        kind = value_of(headers, b"content-type") or b""
        tag = entity_tag(body, kind, value_of(headers, b"content-encoding") or b"")
        headers.append((b"etag", tag))
        if condition and is_met_by(condition, tag):
            exchange.answer(304, [field for field in headers if field[0] not in _NOT_IN_304], body)
            return
    exchange.answer(200, headers, body)


def _encoded(headers: dict[str, str]) -> Headers:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def _tell(exchange: Exchange, error: HookFailed | QueryRejected) -> None:
    status, headers, problem = failure(error)
    exchange.notes["outcomes"] = error.outcomes
    exchange.answer(status, _encoded(headers), problem)
