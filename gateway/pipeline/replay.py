"""Sending a recorded call again: for whoever wonders what a hook makes of it now. Nothing is applied."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from gateway.errors import Conflict, FieldError, InvalidInput
from gateway.model import Query, Result
from gateway.pipeline.call import Exchanged
from gateway.pipeline.exchange import Diff, Exchange, changes
from gateway.pipeline.guard import HookGuard
from gateway.pipeline.trial import MAX_SHOWN_BYTES, apart, to_try
from gateway.transport.endpoint import parse_endpoint
from gateway.wire import cloudevents, document, reply
from gateway.wire.diff import TooDifferent, difference

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.model import Outcome
    from gateway.pipeline.call import HookCaller
    from gateway.pipeline.chain import ChainSettings
    from gateway.pipeline.journal import Detail, Entry
    from gateway.registry.snapshot import BoundHook, Snapshot
    from gateway.transport.address import AddressGuard
    from gateway.transport.protocol import Endpoint
    from gateway.wire.cloudevents import QueryEvent
    from gateway.wire.redaction import Redaction
    from gateway.wire.reply import Reply

_BATCH: Final = "application/cloudevents-batch+json"
_WAY_OUT: Final = "give the body to send (`body`; `gateway replay --body FILE`)"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of a call that was sent again.

    `diff` is from the recorded reply to the new one, both as `{"status", "content_type", "body"}`; `changed` is what
    the new reply would have changed in the result.
    """

    outcome: Outcome
    exchange: Exchange | None
    diff: Diff
    changed: Diff


@dataclass(frozen=True, slots=True)
class Recorded:
    """A call that can be sent again: the headers that describe its body, and the body."""

    query: Query
    headers: tuple[tuple[str, str], ...]
    body: bytes
    reply: Exchange | None

    @classmethod
    def of(cls, entry: Entry, detail: Detail | None, body: bytes | None) -> Recorded:
        """The call of a journal's entry, with `body` instead of its own if one is given. Raises `Conflict`."""
        exchange = detail.exchange if detail else None
        query = Query(entry.type, entry.capability, entry.tenant, id=entry.query_id)
        if exchange is None:
            if body is None:
                msg = (
                    "What this call sent was not kept: let the operator set journal.bodies = true, which holds for "
                    f"later calls, or {_WAY_OUT}."
                )
                raise Conflict(msg)
            return cls(query, (), body, None)
        sent = tuple((name, value) for name, value in exchange.headers.items() if _describes(name))
        if ("content-type", _BATCH) in sent:
            msg = "This call was shared by several queries (coalesce); test the hook with one query instead."
            raise Conflict(msg)
        if body is None:
            kept = exchange.body
            if kept.text is None or not kept.exact:
                why = kept.note or "it was redacted (journal.redact), or is not UTF-8"
                msg = f"The body of this call was not kept whole: {why}. To send it again, {_WAY_OUT}."
                raise Conflict(msg)
            body = kept.text.encode()
        return cls(query, sent, body, exchange)


class Replays:
    """Sends recorded calls again: freshly signed, under a new id, to whatever `addresses` allow.

    With places of its own and no breaker, as `HookTrials`. `snapshot` gives the present one.
    """

    def __init__(
        self,
        caller: HookCaller,
        addresses: AddressGuard,
        settings: ChainSettings,
        redaction: Redaction,
        snapshot: Callable[[], Snapshot],
    ) -> None:
        self._caller = caller
        self._addresses = addresses
        self._guard = HookGuard(caller, apart(settings, snapshot), watcher=_Watcher())
        self._settings = settings
        self._redaction = redaction

    def endpoint(self, url: str, hook: BoundHook) -> Endpoint:
        """Where to send calls of `hook` that are to go to `url`. Raises `InvalidInput`.

        At another origin than the hook's, the integration's own TLS settings mean nothing.
        """
        try:
            endpoint = parse_endpoint(url, pool=hook.hook_id)
        except ValueError as e:
            raise InvalidInput(FieldError("/to", str(e))) from None
        refusal = self._addresses.refusal(endpoint)
        if refusal is not None:
            raise InvalidInput(FieldError("/to", refusal))
        return replace(endpoint, tls=hook.endpoint.tls) if same_origin(endpoint, hook.endpoint) else endpoint

    async def run(self, hook: BoundHook, recorded: Recorded) -> Replayed:
        """Send `recorded` to `hook`, within its time limit."""
        hook = to_try(hook)
        seen = Exchanged()
        event = cloudevents.QueryEvent(recorded.query, self._settings.source)
        result = _result_of(recorded)
        deadline = asyncio.get_running_loop().time() + self._settings.budget
        guard = self._guard.calling(_Again(self._caller, recorded))
        after, outcome, _ = await guard.run(hook, recorded.query, event, result, deadline, seen)
        return await asyncio.to_thread(self._told, hook, recorded, outcome, seen, result, after)

    def _told(
        self, hook: BoundHook, recorded: Recorded, outcome: Outcome, seen: Exchanged, result: Result, after: Result
    ) -> Replayed:
        exchange = Exchange.of(hook, seen, self._redaction, MAX_SHOWN_BYTES)
        changed = changes(result, after, self._redaction, MAX_SHOWN_BYTES)
        return Replayed(outcome, exchange, reply_diff(recorded.reply, exchange), changed)


class _Watcher:
    """Has requests and replies kept whole; they are read from what was exchanged."""

    def watching(self) -> bool:
        """Always."""
        return True

    def called(self, hook: BoundHook, sent: Result, after: Result, outcome: Outcome, seen: Exchanged) -> None:
        """Nothing more is to be done."""


class _Again:
    """Calls with a recorded body instead of one that is made from the query and its result."""

    def __init__(self, caller: HookCaller, recorded: Recorded) -> None:
        self._caller = caller
        self._recorded = recorded
        self.max_depth = caller.max_depth

    async def call(
        self, hook: BoundHook, query: Query, event: QueryEvent, result: Result, deadline: float, seen: Exchanged
    ) -> Reply:
        """As `HookCaller.call`."""
        body, headers = self._recorded.body, list(self._recorded.headers)
        if not headers and hook.binary:
            headers = [("content-type", result.content_type)]
            headers += event.binary(seen.ident, hook.hook_id, self._caller.now())
        elif not headers:
            headers = [("content-type", cloudevents.STRUCTURED_TYPE)]
        response = await self._caller.exchange(
            hook, query, event, headers, body, deadline, seen, useful_until=deadline
        )  # fmt: skip
        return reply.decode(
            response.status,
            response.header("content-type"),
            response.body,
            result_type=result.content_type,
            may_reject=hook.may_reject,
            max_depth=self.max_depth,
        )

    def apply(self, answer: Reply, result: Result) -> Result:
        """As `HookCaller.apply`."""
        return self._caller.apply(answer, result)


def same_origin(one: Endpoint, other: Endpoint) -> bool:
    """Whether two endpoints have the same scheme, host and port."""
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def below(endpoint: Endpoint, base_url: str) -> bool:
    """Whether `endpoint` is at `base_url` or below it, with no way up on its path."""
    base = parse_endpoint(base_url)
    path, inside = endpoint.target.partition("?")[0], base.target.rstrip("/")
    up = any(part in {".", ".."} for part in re.split(r"/|%2f", path.lower().replace("%2e", ".")))
    return same_origin(endpoint, base) and not up and (path == inside or path.startswith(f"{inside}/"))


def reply_diff(recorded: Exchange | None, now: Exchange | None) -> Diff:
    """What the reply of `now` has that the one of `recorded` had not."""
    for exchange, which in ((recorded, "recorded"), (now, "new")):
        if exchange is None or exchange.reply_body is None:
            return Diff(None, f"not compared: there is no {which} reply")
        if exchange.reply_body.note is not None:
            return Diff(None, f"not compared: of the {which} reply, the body is {exchange.reply_body.note}")
    try:
        patch = document.write(difference(_document(recorded), _document(now)))
    except TooDifferent as e:
        return Diff(None, f"not told: {e}")
    except (TypeError, RecursionError):
        return Diff(None, "not compared: a reply cannot be compared as JSON")
    return Diff(patch) if len(patch) <= MAX_SHOWN_BYTES else Diff(None, f"not told: more than {MAX_SHOWN_BYTES} bytes")


def _document(exchange: Exchange | None) -> object:
    """A reply as a JSON document; a body that is not JSON is a string in it, and none is null."""
    assert exchange is not None
    assert exchange.reply_body is not None
    text = exchange.reply_body.text
    try:
        body = document.parse_exact(text.encode()) if text else None
    except (ValueError, RecursionError):
        body = text
    kind = (exchange.reply_headers or {}).get("content-type")
    return {"status": exchange.status, "content_type": kind, "body": body}


def _describes(name: str) -> bool:
    """Whether a header says what the body is; the others are said anew."""
    return name == "content-type" or name.startswith("ce-")


def _result_of(recorded: Recorded) -> Result:
    """The result that was sent; `null` where the body holds none."""
    kind = dict(recorded.headers).get("content-type", cloudevents.STRUCTURED_TYPE)
    if kind != cloudevents.STRUCTURED_TYPE:
        return Result(recorded.body, kind)
    try:
        return Result(document.write(document.parse_exact(recorded.body)["data"]["result"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return Result(b"null")
