"""One call to one hook: say it, send it, understand the reply."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.errors import ReplyUnusable, WebhookRefused
from gateway.model import Reason
from gateway.model.ids import message_id
from gateway.transport.protocol import Limits
from gateway.wire import cloudevents, freshness, nesting, reply, retry_after, signature, trace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.model import Query, Result
    from gateway.registry.snapshot import BoundHook
    from gateway.transport.protocol import Response, Transport
    from gateway.wire.cloudevents import QueryEvent
    from gateway.wire.reply import Reply

_SIGN_IN_THREAD: Final = 1024 * 1024  # hashing releases the GIL; below this a thread costs more than it gives
_STRUCTURED: Final = ("content-type", cloudevents.STRUCTURED_TYPE)
_ACCEPT: Final = ("accept", reply.ACCEPT)
_ACCEPT_WITH_REJECT: Final = ("accept", reply.ACCEPT_WITH_REJECT)
_USER_AGENT: Final = ("user-agent", "query-hook-gateway")


@dataclass(frozen=True, slots=True)
class CallSettings:
    """What holds for every call. Sizes in bytes."""

    max_reply_bytes: int = 8 * 1024 * 1024
    max_json_depth: int = 100


class Exchanged:
    """One call across its attempts: its id (`webhook-id`), and what was exchanged so far.

    `at` is the event's time, in seconds since 1970: that of the first attempt, so that a call which is repeated has
    the same body. `began`: whether it came to sending anything; `sent` and `received` count body bytes; `status` is
    the HTTP status of the reply, 0 without one. `fresh` is for how many seconds the reply may be used again. With
    `whole`, the request's `headers` and `body` and the `reply` are kept, too.
    """

    __slots__ = ("at", "began", "body", "fresh", "headers", "ident", "received", "reply", "sent", "status", "whole")

    def __init__(self) -> None:
        self.ident = message_id()
        self.at: float | None = None
        self.whole = False
        self.headers: Sequence[tuple[str, str]] = ()
        self.body = b""
        self.reply: Response | None = None
        self.began = False
        self.fresh = 0.0
        self.status = 0
        self.sent = 0
        self.received = 0


class HookCaller:
    """Calls hooks over a transport. `now` gives seconds since 1970. Documents nest at most `max_depth` levels."""

    def __init__(self, transport: Transport, settings: CallSettings, now: Callable[[], float] = time.time) -> None:
        self._transport = transport
        self._limits = Limits(body=settings.max_reply_bytes)
        self.max_depth = settings.max_json_depth
        self.now = now

    async def call(
        self, hook: BoundHook, query: Query, event: QueryEvent, result: Result, deadline: float, seen: Exchanged
    ) -> Reply:
        """Call `hook` with `result`; return what its reply means.

        `deadline` in the loop's time holds for all of it. `seen` gives the id, which is the same when a call is
        repeated, and is filled in on the way, so that it tells of failed calls too. Raises `CallError`.
        """
        now = self.now()
        at = seen.at = now if seen.at is None else seen.at
        try:
            if hook.binary:
                body = result.body
                headers = [("content-type", result.content_type), *event.binary(seen.ident, hook.hook_id, at)]
            else:
                body = event.structured(seen.ident, hook.hook_id, at, result)
                headers = [_STRUCTURED]
        except TypeError as e:
            detail = f"the query's params or context cannot be written as JSON: {e}"
            raise ReplyUnusable(Reason.PROTOCOL, detail) from None
        response = await self.exchange(hook, query, event, headers, body, deadline, seen, useful_until=deadline)
        said = reply.decode(
            response.status,
            response.header("content-type"),
            response.body,
            result_type=result.content_type,
            may_reject=hook.may_reject,
            max_depth=self.max_depth,
        )
        if hook.cache_seconds:
            seen.fresh = min(freshness.seconds(response.header), hook.cache_seconds)
            hook.learned.replied(reusable=seen.fresh > 0)
        return said

    async def exchange(
        self,
        hook: BoundHook,
        query: Query,
        event: QueryEvent,
        headers: list[tuple[str, str]],
        body: bytes,
        deadline: float,
        seen: Exchanged,
        *,
        useful_until: float,
    ) -> Response:
        """Sign and send `body`; return the whole response, whose signature holds where it must.

        `headers` describe the body. The hook is told the time until `useful_until` (loop time), and waited for until
        `deadline`. Raises `CallError`, also for a response that asks for a pause.
        """
        now = self.now()
        ident = seen.ident
        seen.began = True
        seen.sent = len(body)
        timestamp = int(now)
        if len(body) < _SIGN_IN_THREAD:
            signed = hook.keys.sign(ident, timestamp, body, now)
        else:
            signed = await asyncio.to_thread(hook.keys.sign, ident, timestamp, body, now)
        headers += (
            _ACCEPT_WITH_REJECT if hook.may_reject else _ACCEPT,
            _USER_AGENT,
            (signature.ID, ident),
            (signature.TIMESTAMP, str(timestamp)),
            (signature.SIGNATURE, signed),
            ("gateway-timeout-ms", str(max(1, int((useful_until - asyncio.get_running_loop().time()) * 1000)))),
            (nesting.DEPTH, str(query.depth + 1)),
            ("traceparent", event.traceparent()),
        )
        if query.tracestate is not None and (state := trace.state(query.tracestate)) is not None:
            headers.append(("tracestate", state))
        if seen.whole:
            seen.headers, seen.body = headers, body
        response = await self._transport.exchange(
            hook.endpoint, "POST", headers, body, deadline=deadline, limits=self._limits
        )
        seen.status = response.status
        seen.received = response.received
        if seen.whole:
            seen.reply = response
        if hook.learned.reusable is None and response.status >= 400:
            hook.learned.replied(reusable=False)
        if response.status in (429, 503):
            wait = retry_after.seconds(response.header("retry-after"), self.now())
            detail = f"the hook answered with status {response.status}"
            raise ReplyUnusable(Reason.STATUS, detail, retry_after=wait)
        if hook.signed_replies:
            if len(response.body) < _SIGN_IN_THREAD:
                self._verify(hook, ident, response)
            else:
                await asyncio.to_thread(self._verify, hook, ident, response)
        return response

    def _verify(self, hook: BoundHook, ident: str, response: Response) -> None:
        try:
            hook.keys.verify(response.header, response.body, now=self.now(), expected_id=ident)
        except WebhookRefused as e:
            raise ReplyUnusable(Reason.SIGNATURE, f"the reply's signature does not hold: {e.detail}") from None

    def apply(self, answer: Reply, result: Result) -> Result:
        """The result after `answer`; the very same object if nothing changed. Raises `ReplyUnusable`."""
        return reply.apply(answer, result, max_depth=self.max_depth)
