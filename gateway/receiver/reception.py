"""Everything about a request but the handler: who may come in, for whom it is, and what goes out again.

No I/O, no waiting: the same for every server and for none.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.errors import InvalidInput, WebhookRefused
from gateway.receiver.answers import Answer, TryLater, as_answer, encoded, joined, unchanged
from gateway.receiver.call import Call
from gateway.receiver.event import is_batch, is_query, media_type, read_batch, read_event, timeout_of
from gateway.receiver.log import EventLog
from gateway.receiver.messages import HttpReply, problem
from gateway.wire.reply import Reject, Replace, Unchanged

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from gateway.receiver.event import Event
    from gateway.receiver.messages import Request
    from gateway.receiver.metrics import ReceiverMetrics
    from gateway.receiver.routing import Handler, Routing
    from gateway.receiver.seen import SeenMessages
    from gateway.receiver.verification import Verifier

__all__ = ["Admitted", "Reception", "ReceptionSettings", "Turn"]

_LASTING: Final = (200, 204, 422)  # what a call that comes again is answered with; failures are not
ORIGIN: Final = "webhook-request-origin"
_log = EventLog("calls")


@dataclass(frozen=True, slots=True)
class ReceptionSettings:
    """What holds for every request. Sizes in bytes, times in seconds; a path of `None` is not there.

    `allowed_origins`: which gateways may call; `None` is any, for calls are signed. `allowed_rate`: how many calls
    a minute this server wants at most; `None` is any number.
    """

    health_path: str | None = "/health"
    alive_path: str | None = "/healthz"
    metrics_path: str | None = "/metrics"
    max_body_bytes: int = 16 * 1024 * 1024
    max_depth: int = 100
    timeout: float = 10.0
    allowed_origins: Collection[str] | None = None
    allowed_rate: int | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """A call, and the handler it is for."""

    call: Call
    handler: Handler


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that was let in. `digest` is that of the body.

    It has one turn, or several if it is a batch: then `ids` are those of its events. In the place of a turn stands the
    reply where no handler is needed for one.
    """

    message_id: str
    digest: bytes
    turns: Sequence[Turn | HttpReply]
    ids: Sequence[str] | None = None


class Reception:
    """Lets requests in, and sees answers out.

    `now` gives seconds since 1970, `clock` never steps; `state` says how the receiver is, for whoever watches it.
    """

    def __init__(
        self,
        routing: Routing,
        verifier: Verifier,
        seen: SeenMessages,
        metrics: ReceiverMetrics,
        settings: ReceptionSettings,
        *,
        now: Callable[[], float],
        clock: Callable[[], float],
        state: Callable[[], dict[str, Any]],
    ) -> None:
        self._routing = routing
        self._verifier = verifier
        self._seen = seen
        self._metrics = metrics
        self._settings = settings
        self._now = now
        self._clock = clock
        self._state = state

    def admit(self, request: Request) -> Admitted | HttpReply:
        """The call that the request is, or the reply where no handler is needed for one."""
        if request.method == "OPTIONS":
            return self._ownership(request)
        if request.method in ("GET", "HEAD"):
            return self._watched(request)
        if request.method != "POST":
            return self._refused("method", 405, "Method Not Allowed", "hooks are called by POST")
        if len(request.body) > self._settings.max_body_bytes:
            return self.too_large()
        hook = self._routing.at(request.path)
        for_health = self._is_health(request)
        if hook is None and not for_health:
            return self._refused("path", 404, "Not Found", "there is no hook at this path")
        try:
            message_id = self._verifier.verify(request.headers, request.body)
        except WebhookRefused as error:
            _log.warning("call.refused", why=error.detail)
            return self._refused("signature", 401, "Unauthorized", error.detail)
        if for_health:
            return self._verifier.signed(message_id, self._health(request))
        return self._call(request, message_id, hook or "")

    def too_large(self) -> HttpReply:
        """The reply to a body that goes past the limit."""
        most = self._settings.max_body_bytes
        return self._refused("too_large", 413, "Content Too Large", f"the body is larger than {most} bytes")

    def concluded(self, admitted: Admitted, replies: Sequence[HttpReply]) -> HttpReply:
        """The signed reply to a request, from those to its turns."""
        reply = replies[0] if admitted.ids is None else joined(admitted.ids, replies)
        if all(each.status in _LASTING for each in replies):
            self._seen.keep(admitted.message_id, reply)
        return self._verifier.signed(admitted.message_id, reply)

    def answered(self, turn: Turn, returned: Any) -> HttpReply:
        """The reply for what a handler returned. Raises `TypeError` for what cannot be written as JSON."""
        call, handler = turn.call, turn.handler
        answer = call.edited() if returned is None else as_answer(returned)
        if isinstance(answer, Answer) and answer.max_age is None and not isinstance(answer.reply, Reject):
            answer = Answer(answer.reply, handler.max_age)
        reply = encoded(answer)
        self._metrics.answered(call.hook, _word(answer))
        return reply

    def failed(self, turn: Turn, error: BaseException) -> HttpReply:
        """The reply where a handler broke. What broke is logged, and not told."""
        call = turn.call
        _log.error("call.failed", exc_info=error, hook=call.hook, id=call.id, error=type(error).__name__)
        self._metrics.answered(call.hook, "failed")
        return problem(500, "Internal Server Error", "the hook's handler failed")

    def late(self, turn: Turn) -> HttpReply:
        """The reply where a handler was not done by the deadline."""
        call = turn.call
        _log.warning("call.late", hook=call.hook, id=call.id, type=call.query.type)
        self._metrics.answered(call.hook, "late")
        detail = "the hook's handler was not done by the deadline of the call"
        return problem(503, "Service Unavailable", detail)

    def repeated(self, message_id: str, hook: str, reply: HttpReply) -> HttpReply:
        """The reply to a call that comes again: as it was, signed anew."""
        self._metrics.answered(hook, "repeated")
        return self._verifier.signed(message_id, reply)

    # ------------------------------------------------------------ the kinds of request

    def _call(self, request: Request, message_id: str, hook: str) -> Admitted | HttpReply:
        digest = hashlib.sha256(request.body).digest()
        known = self._seen.begin(message_id, digest, self._now())
        if known is not None:
            if known.digest != digest:
                _log.warning("call.reused_id", id=message_id)
                return self._refused("reused_id", 409, "Conflict", "this id came before, with another body")
            if known.reply is not None:
                return self.repeated(message_id, hook, known.reply)
        try:
            if not is_query(request.headers):
                self._metrics.refused("malformed")
                detail = f"the body is {media_type(request.headers) or 'of no type'}, and no CloudEvent"
                return self._verifier.signed(message_id, problem(415, "Unsupported Media Type", detail))
            depth = self._settings.max_depth
            if is_batch(request.headers):
                events = read_batch(request.headers, request.body, max_depth=depth)
                turns = [self._turn(request, hook, ident, event) for ident, event in events]
                return Admitted(message_id, digest, turns, [ident for ident, _ in events])
            event = read_event(request.headers, request.body, max_depth=depth)
        except InvalidInput as error:
            return self._verifier.signed(message_id, self._malformed(error))
        return Admitted(message_id, digest, [self._turn(request, hook, message_id, event)])

    def _turn(self, request: Request, hook: str, ident: str, event: Event | InvalidInput) -> Turn | HttpReply:
        if isinstance(event, InvalidInput):
            return self._malformed(event)
        handler = self._routing.handler(hook, event.query)
        if handler is None:
            self._metrics.answered(hook, "unhandled")
            return encoded(unchanged())
        deadline = request.arrived + timeout_of(request.headers, self._settings.timeout)
        call = Call(
            ident,
            event.query,
            event.result,
            body=request.body,
            hook=hook,
            hook_id=event.hook_id,
            deadline=deadline,
            clock=self._clock,
        )
        return Turn(call, handler)

    def _malformed(self, error: InvalidInput) -> HttpReply:
        self._metrics.refused("malformed")
        return problem(400, "Bad Request", error.detail)

    def _ownership(self, request: Request) -> HttpReply:
        origin = request.headers(ORIGIN)
        if request.path is not None and self._routing.at(request.path) is None:
            return self._refused("path", 404, "Not Found", "there is no hook at this path")
        allow = ("allow", "POST, OPTIONS")
        if origin is None:
            return HttpReply(204, (allow,))
        allowed = self._settings.allowed_origins
        if not (origin.isascii() and origin.isprintable()) or (allowed is not None and origin not in allowed):
            return self._refused("origin", 403, "Forbidden", "this origin may not call the hook")
        headers = [allow, ("webhook-allowed-origin", origin)]
        if request.headers("webhook-request-rate") is not None:
            rate = self._settings.allowed_rate
            headers.append(("webhook-allowed-rate", "*" if rate is None else str(rate)))
        return HttpReply(200, tuple(headers))

    def _watched(self, request: Request) -> HttpReply:
        if _is_at(request.path, self._settings.metrics_path):
            return HttpReply(200, (("content-type", "text/plain; version=0.0.4; charset=utf-8"),), self._metrics.text())
        if _is_at(request.path, self._settings.alive_path):
            return HttpReply(200, (("content-type", "application/json"),), orjson.dumps(self._state()))
        if self._routing.at(request.path) is not None:
            return self._refused("method", 405, "Method Not Allowed", "hooks are called by POST")
        return self._refused("path", 404, "Not Found", "there is nothing at this path")

    def _is_health(self, request: Request) -> bool:
        if request.path is not None:
            return _is_at(request.path, self._settings.health_path)
        return not is_query(request.headers) and media_type(request.headers) == "application/json"

    def _health(self, request: Request) -> HttpReply:
        try:
            asked = orjson.loads(request.body)
        except ValueError:
            asked = None
        if not isinstance(asked, dict) or not isinstance(asked.get("id"), str):
            self._metrics.refused("malformed")
            return problem(400, "Bad Request", "a health check is a JSON object with an id")
        answer = {"id": asked["id"], "status": "ok"}
        return HttpReply(200, (("content-type", "application/json"),), orjson.dumps(answer))

    def _refused(self, why: str, status: int, title: str, detail: str) -> HttpReply:
        self._metrics.refused(why)
        reply = problem(status, title, detail)
        return reply.with_headers(("allow", "POST, OPTIONS")) if status == 405 else reply


def _is_at(path: str | None, place: str | None) -> bool:
    return place is not None and path is not None and path.endswith(place)


def _word(answer: Answer | TryLater) -> str:
    if isinstance(answer, TryLater):
        return "later"
    match answer.reply:
        case Unchanged():
            return "unchanged"
        case Replace():
            return "replaced"
        case Reject():
            return "rejected"
        case _:
            return "patched"
