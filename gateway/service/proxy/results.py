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
from gateway.service.proxy.heads import DEBUG, TAGS
from gateway.service.proxy.inner import taken_out
from gateway.service.proxy.passing import pass_on
from gateway.service.proxy.validators import entity_tag, is_met_by, is_ours
from gateway.transport.decoding import inflater_for

if TYPE_CHECKING:
    from gateway.model import Query
    from gateway.pipeline import Answer, HookChain
    from gateway.pipeline.debug import DebugHeader
    from gateway.service.front import Exchange
    from gateway.service.messages import Headers
    from gateway.service.proxy.heads import ResponseRules
    from gateway.service.proxy.routes import Route
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

    async def answer(
        self,
        exchange: Exchange,
        route: Route,
        query: Query,
        answer: UpstreamAnswer,
        media_type: str,
        vary: tuple[bytes, ...],
        marks: int,
    ) -> None:
        """Answer `query`, whose result is in `answer`. Raises `UpstreamFailed` if that breaks off."""
        held, complete = await answer.whole(self._max_result_bytes)
        with self._tracing(exchange.head.headers) if marks & DEBUG else _NOT_TRACED:
            plain = self._plain(held, answer) if complete else Reason.SIZE
            if not plain:  # no document, whatever its media type says
                exchange.answer(answer.head.status, self._rules.untouched(answer.head.headers, vary), held)
                return
            found = None
            if route.result_at and not isinstance(plain, Reason):
                try:
                    found = taken_out(plain, route.result_at)
                except ValueError as e:
                    log.warning("result.not_read", at=route.result_at, path=exchange.head.path, detail=str(e))
                    plain = Reason.ENCODING
            if isinstance(plain, Reason):
                try:
                    skipped = await self._chain.skip(query, Result(b"", media_type), plain)
                except HookFailed as e:  # there is one that the query must not go on without
                    _tell(exchange, e)
                    return
                await self._pass(exchange, route, answer, skipped, held, vary)
                return
            put_back = None
            result = Result(plain, media_type)
            if route.result_at:
                if found is None:
                    log.debug("result.not_found", at=route.result_at, path=exchange.head.path)
                    exchange.answer(answer.head.status, self._rules.untouched(answer.head.headers, vary), held)
                    return
                inner, put_back = found
                result = Result(inner)
            try:
                told = await self._chain.run(query, result)
            except (HookFailed, QueryRejected) as e:
                _tell(exchange, e)
                return
        if told.outcomes:
            exchange.notes["outcomes"] = told.outcomes
        body, decoded = held, False
        if told.result is not result and told.result.body != result.body:
            changed = told.result.body
            body = changed if put_back is None else put_back(changed)
            decoded = plain is not held
        if not told.outcomes:
            headers_ = [*self._rules.untouched(answer.head.headers, vary), *provenance.fields(told)]
            exchange.answer(answer.head.status, headers_, body)
            return
        self._answer_changed(exchange, route, answer, told, body, vary, marks, decoded=decoded)

    def _answer_changed(
        self,
        exchange: Exchange,
        route: Route,
        answer: UpstreamAnswer,
        told: Answer,
        body: bytes,
        vary: tuple[bytes, ...],
        marks: int,
        *,
        decoded: bool,
    ) -> None:
        head = answer.head
        headers = self._rules.after_hooks(head.headers, vary, decoded=decoded, whole=True, revalidate=route.revalidate)
        headers += provenance.fields(told)
        status = head.status
        if status == 200 and exchange.head.method == "GET":
            condition = values_of(exchange.head.headers, b"if-none-match") if marks & TAGS else b""
            # Only what caches may ask about again needs a tag: what had one, or a date, from the upstream.
            if is_ours(condition) or _can_be_asked_about(head.headers):
                kind = value_of(headers, b"content-type") or b""
                tag = entity_tag(body, kind, value_of(headers, b"content-encoding") or b"")
                headers.append((b"etag", tag))
                if condition and is_met_by(condition, tag):
                    status = 304
                    headers = [field for field in headers if field[0] not in _NOT_IN_304]
        exchange.answer(status, headers, body)

    def _tracing(self, headers: Headers) -> AbstractContextManager[object]:
        key = value_of(headers, _DEBUG)
        return _NOT_TRACED if key is None or self._debug is None else self._debug.tracing(key.decode("latin-1"))

    async def _pass(
        self,
        exchange: Exchange,
        route: Route,
        answer: UpstreamAnswer,
        skipped: Answer,
        held: bytes,
        vary: tuple[bytes, ...],
    ) -> None:
        """A result that no hook could be sent."""
        headers = self._rules.after_hooks(
            answer.head.headers, vary, decoded=False, whole=False, revalidate=route.revalidate
        )
        await pass_on(exchange, answer, [*headers, *provenance.fields(skipped)], held)

    def _plain(self, held: bytes, answer: UpstreamAnswer) -> bytes | Reason:
        """The document in `held`, which may be compressed; or why it cannot be had."""
        coding = value_of(answer.head.headers, b"content-encoding")
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


def _can_be_asked_about(headers: Headers) -> bool:
    for name, _ in headers:  # noqa: SIM110  half the time of any()
        if name in {b"etag", b"last-modified"}:
            return True
    return False


def _encoded(headers: dict[str, str]) -> Headers:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def _tell(exchange: Exchange, error: HookFailed | QueryRejected) -> None:
    status, headers, problem = failure(error)
    exchange.notes["outcomes"] = error.outcomes
    exchange.answer(status, _encoded(headers), problem)
