"""Makes calls to an endpoint as the gateway does, and calls that are wrong in one point."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.conformance.check import Broken, NotAsked
from gateway.errors import CallError, WebhookRefused
from gateway.model import Query, Result
from gateway.model.ids import message_id
from gateway.transport.endpoint import parse_endpoint
from gateway.transport.protocol import Limits
from gateway.wire import cloudevents, reply
from gateway.wire.cloudevents import QueryEvent
from gateway.wire.keyring import KeyRing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.transport.protocol import Endpoint, Response, Transport

__all__ = ["Probe", "Target"]

_LIMITS: Final = Limits(body=8 * 1024 * 1024)
_GIVE_UP_SECONDS: Final = 10.0
FORMS: Final = {"replace", "json-patch", "merge-patch", "unchanged"}


@dataclass(frozen=True, slots=True)
class Target:
    """What is examined: the hook at `url`, signed for with `secret`.

    `query_type`, `capability`, `tenant`, `params`, `context` and `result` make a call that the hook serves.
    `timeout_ms` is its time limit. `claims` are reply forms that must be seen. `health_url` is asked for health.
    `signed_replies`: replies must be signed. `binary`: calls are in binary mode. `origin` is used in the handshake.
    """

    url: str
    secret: str = field(repr=False)
    query_type: str = "question"
    capability: str | None = None
    tenant: str | None = None
    params: Any = None
    context: Any = None
    result: Any = field(default_factory=lambda: {"rows": [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}]})
    timeout_ms: int = 1_000
    claims: frozenset[str] = frozenset()
    health_url: str | None = None
    signed_replies: bool = False
    binary: bool = False
    origin: str = "gateway.example"

    def query(self) -> Query:
        """The query of an ordinary call."""
        return Query(self.query_type, self.capability, self.tenant, self.params, self.context)


class Probe:
    """Calls `target` over `transport`. `now` gives seconds since 1970. A wrong URL or secret is a `ValueError`."""

    def __init__(self, target: Target, transport: Transport, now: Callable[[], float] = time.time) -> None:
        self.target = target
        self.keys = KeyRing([(target.secret, None)])
        self.endpoint = parse_endpoint(target.url, pool="verify")
        self.now = now
        self._transport = transport
        self._seen: Response | None = None

    # ------------------------------------------------------------ calls

    def body(self, query: Query | None = None, result: Any = None, ident: str | None = None) -> bytes:
        """The body of a structured call."""
        event = QueryEvent(query or self.target.query(), "/verify")
        document = Result.of(self.target.result if result is None else result)
        return event.structured(ident or message_id(), "hk_verify", self.now(), document)

    def headers(
        self,
        body: bytes,
        *,
        ident: str | None = None,
        at: float | None = None,
        keys: KeyRing | None = None,
        timeout_ms: int | None = None,
        change: Mapping[str, str | None] | None = None,
    ) -> list[tuple[str, str]]:
        """The headers of a call, signed; `change` replaces some of them, and leaves out those that it has as `None`."""
        ident = ident or message_id()
        stamp = int(self.now() if at is None else at)
        headers: dict[str, str | None] = {
            "content-type": cloudevents.STRUCTURED_TYPE,
            "accept": reply.ACCEPT_WITH_REJECT,
            "user-agent": "query-hook-gateway-verify",
            "webhook-id": ident,
            "webhook-timestamp": str(stamp),
            "webhook-signature": (keys or self.keys).sign(ident, stamp, body, self.now()),
            "gateway-timeout-ms": str(self.target.timeout_ms if timeout_ms is None else timeout_ms),
            "gateway-depth": "1",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        }
        headers |= change or {}
        return [(name, value) for name, value in headers.items() if value is not None]

    async def send(
        self,
        headers: list[tuple[str, str]],
        body: bytes,
        *,
        method: str = "POST",
        endpoint: Endpoint | None = None,
        seconds: float = _GIVE_UP_SECONDS,
    ) -> Response:
        """One exchange. What goes wrong on the way breaks the check."""
        deadline = asyncio.get_running_loop().time() + seconds
        try:
            return await self._transport.exchange(
                endpoint or self.endpoint, method, headers, body, deadline=deadline, limits=_LIMITS
            )
        except CallError as error:
            raise Broken(f"{method} was not answered as HTTP asks ({error.reason}): {error.detail}") from None

    async def call(self, query: Query | None = None, result: Any = None, **how: Any) -> Response:
        """One good call, or with `how` (see `headers`) one that is wrong in a point."""
        if self.target.binary:
            return await self._binary_call(query, result, how)
        body = self.body(query, result, how.get("ident"))
        return await self.send(self.headers(body, **how), body)

    async def _binary_call(self, query: Query | None, result: Any, how: dict[str, Any]) -> Response:
        event = QueryEvent(query or self.target.query(), "/verify")
        document = Result.of(self.target.result if result is None else result)
        ident = how.pop("ident", None) or message_id()
        headers = self.headers(document.body, ident=ident, **how)
        headers = [(name, value) for name, value in headers if name != "content-type"]
        headers += [("content-type", document.content_type), *event.binary(ident, "hk_verify", self.now())]
        return await self.send(headers, document.body)

    async def usual(self) -> Response:
        """The reply to an ordinary call, made once and looked at by several checks."""
        if self._seen is None:
            self._seen = await self.call()
        return self._seen

    # ------------------------------------------------------------ judging

    def understood(self, response: Response, result: Any = None) -> Result:
        """The result after `response`, as the gateway would make it. Raises `Broken`."""
        before = Result.of(self.target.result if result is None else result)
        try:
            answer = reply.decode(
                response.status,
                response.header("content-type"),
                response.body,
                result_type=before.content_type,
                may_reject=True,
                max_depth=100,
            )
            return reply.apply(answer, before, max_depth=100)
        except CallError as error:
            raise Broken(f"the gateway would discard this reply ({error.reason}): {error.detail}") from None

    def good(self, response: Response, what: str) -> None:
        """Raise `Broken` unless `response` is a reply that a gateway can use."""
        if response.status not in {200, 204, 422}:
            raise Broken(f"{what} was answered with status {response.status}")
        self.understood(response)

    def refused(self, response: Response, what: str) -> None:
        """Raise `Broken` unless `response` refuses the call as the caller's mistake."""
        if not 400 <= response.status <= 499:
            raise Broken(
                f"{what} was answered with status {response.status}; it must be refused with 401 or another 4xx"
            )

    def signed(self, response: Response, ident: str) -> None:
        """Raise `Broken` unless the reply is signed, for this very call."""
        try:
            self.keys.verify(response.header, response.body, now=self.now(), expected_id=ident)
        except WebhookRefused as error:
            raise Broken(f"the reply's signature does not hold: {error.detail}") from None

    def health_endpoint(self) -> Endpoint:
        """Where health is asked. Raises `NotAsked` if nobody said where."""
        if self.target.health_url is None:
            raise NotAsked("no health path was given (--health-path)")
        return parse_endpoint(self.target.health_url, pool="verify")

    def structured_only(self) -> None:
        """Raise `NotAsked` where calls are binary: their body is the result itself."""
        if self.target.binary:
            raise NotAsked("the body of a binary call is the result itself")


def document(body: bytes) -> Any:
    """The JSON in `body`. Raises `Broken`."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Broken("the body is not JSON") from None
