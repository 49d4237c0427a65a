"""One call to one hook: say it, send it, understand the reply."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from gateway.errors import ReplyUnusable, WebhookRefused
from gateway.model import Reason
from gateway.model.ids import message_id
from gateway.transport.protocol import Limits
from gateway.transport.request import FilledForm, HeadForm
from gateway.wire import cloudevents, freshness, nesting, reply, retry_after, signature, trace

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from gateway.model import Query, Result
    from gateway.registry.snapshot import BoundHook
    from gateway.transport.protocol import Response, Transport
    from gateway.wire.cloudevents import QueryEvent
    from gateway.wire.reply import Reply

_SIGN_IN_THREAD: Final = 1024 * 1024  # hashing releases the GIL; below this a thread costs more than it gives
_FORMS_KEPT: Final = 4096
_CONTENT_TYPE: Final = ("content-type",)
_STRUCTURED: Final = (cloudevents.STRUCTURED_TYPE,)
_OF_EACH_CALL: Final = (
    signature.ID, signature.TIMESTAMP, signature.SIGNATURE, "gateway-timeout-ms", nesting.DEPTH, "traceparent",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CallSettings:
    """What holds for every call. Sizes in bytes."""

    max_reply_bytes: int = 8 * 1024 * 1024
    max_json_depth: int = 100


class Exchanged(msgspec.Struct, eq=False):
    """One call across its attempts: its id (`webhook-id`), and what was exchanged so far.

    `at` is the event's time, in seconds since 1970: that of the first attempt, so that a call which is repeated has
    the same body. `began`: whether it came to sending anything; `sent` and `received` count body bytes; `status` is
    the HTTP status of the reply, 0 without one. `fresh` is for how many seconds the reply may be used again. With
    `whole`, the request's `headers` and `body` and the `reply` are kept, too.
    """

    ident: str = msgspec.field(default_factory=message_id)
    at: float | None = None
    whole: bool = False
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    reply: Response | None = None
    began: bool = False
    fresh: float = 0.0
    status: int = 0
    sent: int = 0
    received: int = 0


class HookCaller:
    """Calls hooks over a transport. `now` gives seconds since 1970. Documents nest at most `max_depth` levels."""

    def __init__(self, transport: Transport, settings: CallSettings, now: Callable[[], float] = time.time) -> None:
        self._transport = transport
        self._limits = Limits(body=settings.max_reply_bytes)
        # By the hook's id, whether it may reject, and the names of the headers that describe the body.
        self._forms: dict[tuple[str, bool, tuple[str, ...]], HeadForm] = {}
        self._time: Callable[[], float] | None = None  # the loop's
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
        at = seen.at
        if at is None:
            at = seen.at = now
        try:
            if hook.binary:
                body = result.body
                names, values = event.binary_headers(result.content_type, seen.ident, hook.hook_id, at)
            else:
                body = event.structured(seen.ident, hook.hook_id, at, result)
                names, values = _CONTENT_TYPE, _STRUCTURED
        except TypeError as e:
            detail = f"the query's params or context cannot be written as JSON: {e}"
            raise ReplyUnusable(Reason.PROTOCOL, detail) from None
        response = await self._send(hook, query, event, names, values, body, deadline, seen, now, deadline)
        self._received(hook, response, seen)
        if hook.signed_replies:
            await self._verify(hook, response, seen)
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
        headers: Sequence[tuple[str, str]],
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
        names, values = tuple(name for name, _ in headers), tuple(value for _, value in headers)
        now = self.now()
        response = await self._send(hook, query, event, names, values, body, deadline, seen, now, useful_until)
        self._received(hook, response, seen)
        if hook.signed_replies:
            await self._verify(hook, response, seen)
        return response

    async def _send_large(
        self,
        hook: BoundHook,
        query: Query,
        event: QueryEvent,
        names: tuple[str, ...],
        values: tuple[str, ...],
        body: bytes,
        deadline: float,
        seen: Exchanged,
        now: float,
        useful_until: float,
    ) -> Response:
        signed = await asyncio.to_thread(hook.keys.sign, seen.ident, int(now), body, now)
        return await self._send(
            hook, query, event, names, values, body, deadline, seen, now, useful_until, signed
        )  # fmt: skip

    def _send(
        self,
        hook: BoundHook,
        query: Query,
        event: QueryEvent,
        names: tuple[str, ...],
        values: tuple[str, ...],
        body: bytes,
        deadline: float,
        seen: Exchanged,
        now: float,
        useful_until: float,
        signed: str | None = None,
    ) -> Coroutine[Any, Any, Response]:
        """What signs and sends `body`, described by headers of these names and values, and is to be awaited."""
        seen.began = True
        size = seen.sent = len(body)
        timestamp = int(now)
        if signed is None:
            if size >= _SIGN_IN_THREAD:
                return self._send_large(hook, query, event, names, values, body, deadline, seen, now, useful_until)
            signed = hook.keys.sign(seen.ident, timestamp, body, now)
        if query.tracestate is not None and (state := trace.state(query.tracestate)) is not None:
            names += ("tracestate",)
            values += (state,)
        form = self._forms.get((hook.hook_id, hook.may_reject, names))
        if form is None or form.endpoint is not hook.endpoint:
            form = self._new_form(hook, names)
        time = self._time
        if time is None:
            time = self._time = asyncio.get_running_loop().time
        left = int((useful_until - time()) * 1000)
        told = (
            seen.ident,
            str(timestamp),
            signed,
            str(left) if left > 1 else "1",
            str(query.depth + 1),
            event.traceparent(),
            *values,
        )
        headers = cast("Sequence[tuple[str, str]]", FilledForm(form, told))
        if seen.whole:
            seen.headers, seen.body = headers, body
        return self._transport.exchange(hook.endpoint, "POST", headers, body, deadline=deadline, limits=self._limits)

    def _new_form(self, hook: BoundHook, names: tuple[str, ...]) -> HeadForm:
        same = (
            ("accept", reply.ACCEPT_WITH_REJECT if hook.may_reject else reply.ACCEPT),
            ("user-agent", "query-hook-gateway"),
        )
        if len(self._forms) >= _FORMS_KEPT:
            self._forms.clear()
        form = HeadForm(hook.endpoint, (*same, *((name, None) for name in (*_OF_EACH_CALL, *names))))
        self._forms[hook.hook_id, hook.may_reject, names] = form
        return form

    def _received(self, hook: BoundHook, response: Response, seen: Exchanged) -> None:
        """Note what came. Raises `ReplyUnusable` for a response that asks for a pause."""
        status = seen.status = response.status
        seen.received = response.received
        if seen.whole:
            seen.reply = response
        if status >= 400:
            if hook.learned.reusable is None:
                hook.learned.replied(reusable=False)
            if status in (429, 503):
                wait = retry_after.seconds(response.header("retry-after"), self.now())
                raise ReplyUnusable(Reason.STATUS, f"the hook answered with status {status}", retry_after=wait)

    async def _verify(self, hook: BoundHook, response: Response, seen: Exchanged) -> None:
        """Raise `ReplyUnusable` unless the signature of the response holds."""
        verify = partial(
            hook.keys.verify, response.header, response.body, now=self.now(), expected_id=seen.ident
        )  # fmt: skip
        try:
            if len(response.body) < _SIGN_IN_THREAD:
                verify()
            else:
                await asyncio.to_thread(verify)
        except WebhookRefused as e:
            raise ReplyUnusable(Reason.SIGNATURE, f"the reply's signature does not hold: {e.detail}") from None

    def apply(self, answer: Reply, result: Result) -> Result:
        """The result after `answer`; the very same object if nothing changed. Raises `ReplyUnusable`."""
        return reply.apply(answer, result, max_depth=self.max_depth)
