"""An example hook that behaves, or goes wrong in one way of `HOOK_FAULTS`: to test the conformance kit, and your own.

```python
async with HookServer() as server:
    server.on("/hook", ExampleHook(secret, "no-signature-check"))
    ...                                    # gateway verify finds what HOOK_FAULTS["no-signature-check"] names
```

The hook adds a member `seen` to results that are objects, by the reply form `form`, and leaves other results unchanged.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import WebhookRefused
from gateway.testing.hook_messages import Raw, Reply, Request
from gateway.wire import signature

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HOOK_FAULTS", "ExampleHook"]

_FORMS: Final = {
    "replace": "application/json",
    "json-patch": "application/json-patch+json",
    "merge-patch": "application/merge-patch+json",
}
_MOST_BYTES: Final = 16 * 1024 * 1024
_SIGNATURE_CHECKS: Final = frozenset(
    {
        "unsigned", "no-headers", "no-id", "no-timestamp", "other-secret", "other-body", "raw-body", "other-id",
        "other-timestamp", "empty-signature", "other-scheme",
    }
)  # fmt: skip
_TIME_CHECKS: Final = frozenset({"old", "future"})
_WRONG_REPLY: Final = frozenset(
    {
        "usable", "keep-alive", "rotation", "idempotent", "unknown-members", "unknown-headers", "null-members",
        "odd-params", "unknown-capability", "large", "deep", "too-large", "concurrent",
    }
)  # fmt: skip

# Each fault, and the checks that must find it (and no other one).
HOOK_FAULTS: Final[dict[str, frozenset[str]]] = {
    "no-signature-check": _SIGNATURE_CHECKS | _TIME_CHECKS | {"odd-timestamp", "health-unsigned"},
    "signature-over-parsed-json": frozenset({"raw-body"}),
    "any-scheme": frozenset({"other-scheme"}),
    "first-signature-only": frozenset({"rotation"}),
    "absent-signature-allowed": frozenset({"unsigned", "no-headers", "health-unsigned"}),
    "no-time-limit": _TIME_CHECKS,
    "future-allowed": frozenset({"future"}),
    "odd-timestamp-breaks-it": frozenset({"odd-timestamp"}),
    "empty-signature-breaks-it": frozenset({"empty-signature"}),
    "shows-the-signature": frozenset({"refusal-is-quiet"}),
    "shows-the-secret": frozenset({"refusal-is-quiet"}),
    "refuses-with-500": frozenset(
        {*_SIGNATURE_CHECKS, *_TIME_CHECKS, "odd-timestamp", "health-unsigned"},
    ),
    "no-id-memory": frozenset({"idempotent", "concurrent"}),
    "reply-by-id-only": frozenset({"other-call-same-id"}),
    "slow": frozenset({"in-time", "short-deadline"}),
    "deadline-not-looked-at": frozenset({"short-deadline"}),
    "odd-deadline-breaks-it": frozenset({"odd-deadline"}),
    "unknown-type-breaks-it": frozenset({"unknown-type"}),
    "unknown-capability-breaks-it": frozenset({"unknown-capability"}),
    "needs-a-tenant": frozenset({"null-members"}),
    "needs-params-as-object": frozenset({"odd-params"}),
    "needs-result-as-object": frozenset({"odd-results"}),
    "strict-members": frozenset({"unknown-members"}),
    "strict-headers": frozenset({"unknown-headers"}),
    "bad-json-breaks-it": frozenset({"bad-json", "empty-body", "not-utf8"}),
    "event-without-data-breaks-it": frozenset({"not-an-event"}),
    "any-content-type": frozenset({"other-content-type"}),
    "deep-json-breaks-it": frozenset({"deep"}),
    "small-limit": frozenset({"large"}),
    "large-body-breaks-it": frozenset({"too-large"}),
    "get-is-answered": frozenset({"other-methods"}),
    "shared-state": frozenset({"concurrent"}),
    "no-ownership": frozenset({"ownership"}),
    "ownership-of-another": frozenset({"ownership"}),
    "health-without-id": frozenset({"health"}),
    "health-unsigned-allowed": frozenset({"health-unsigned"}),
    "health-reply-unsigned": frozenset({"health-signed-reply"}),
    "unsigned-replies": frozenset({"signed-replies"}),
    "reply-signed-with-own-id": frozenset({"signed-replies"}),
    "sets-a-cookie": frozenset({"no-cookies"}),
    "always-a-patch": frozenset({"accept"}),
    "latin-1": frozenset({"content-type", "odd-results", *_WRONG_REPLY}),
    "text-plain": frozenset({"content-type", "accept", "odd-results", *_WRONG_REPLY}),
    "broken-json": frozenset({"odd-results", *_WRONG_REPLY}),
}


class ExampleHook:
    """A handler for `HookServer.on`, on the hook's path and on its health path. `now` gives seconds since 1970."""

    def __init__(
        self,
        secret: str,
        fault: str | None = None,
        *,
        query_type: str = "question",
        form: str = "replace",
        signs: bool = True,
        now: Callable[[], float] = time.time,
    ) -> None:
        if fault is not None and fault not in HOOK_FAULTS:
            raise ValueError(f"there is no fault {fault!r}")
        self._secret = secret
        self._key = signature.key_of(secret)
        self._fault = fault
        self._type = query_type
        self._form = form
        self._signs = signs
        self._now = now
        self._seen: dict[str, tuple[bytes, Reply]] = {}
        self._last: Any = None
        self._count = 0

    async def __call__(self, request: Request) -> Reply | Raw | bytes:
        """Answer one request."""
        fault = self._fault
        if request.method == "OPTIONS":
            return self._ownership(request)
        if request.method != "POST" and fault != "get-is-answered":
            return Reply(405, [("allow", "POST, OPTIONS")])
        if len(request.body) > (100_000 if fault == "small-limit" else _MOST_BYTES):
            return Reply(500 if fault == "large-body-breaks-it" else 413)
        if "/health" in request.path:
            return self._signed(request, self._health(request))
        if fault == "strict-headers" and request.header("gateway-new"):
            return Reply(500)
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        ident = request.header("webhook-id") or ""
        known = self._seen.get(ident)
        if ident and known is not None and fault != "no-id-memory":
            if known[0] != request.body and fault != "reply-by-id-only":
                return Reply(409)
            return known[1]
        reply = await self._answer(request)
        self._seen[ident] = (request.body, reply)
        return reply

    async def _answer(self, request: Request) -> Reply:
        late = self._late(request)
        if late is not None:
            await asyncio.sleep(late)  # as a hook that is slow, or does not look at its deadline, would
        return self._signed(request, await self._worked(request))

    def _late(self, request: Request) -> float | None:
        if self._fault == "slow":
            return 1.2
        if self._fault == "deadline-not-looked-at" and request.header("gateway-timeout-ms") == "100":
            return 0.8
        return None

    # ------------------------------------------------------------ authenticity

    def _refusal(self, request: Request) -> Reply | None:
        fault = self._fault
        if fault == "no-signature-check":
            return None
        if fault == "absent-signature-allowed" and request.header("webhook-signature") is None:
            return None
        if fault == "odd-timestamp-breaks-it" and not (request.header("webhook-timestamp") or "0").isdigit():
            return Reply(500)
        if fault == "empty-signature-breaks-it" and "," not in (request.header("webhook-signature") or ","):
            return Reply(500)
        try:
            self._verify(request)
        except WebhookRefused as error:
            said = error.detail.encode()
            if fault == "shows-the-signature" and (request.header("webhook-timestamp") or "").isdigit():
                said = self._sign(request.header("webhook-id") or "", request).encode()
            elif fault == "shows-the-secret":
                said = self._secret.encode()
            return Reply(500 if fault == "refuses-with-500" else 401, body=said)
        return None

    def _verify(self, request: Request) -> None:
        fault, body, given = self._fault, request.body, request.header("webhook-signature")
        ident, stamp = request.header("webhook-id"), request.header("webhook-timestamp")
        now = self._now()
        if fault == "signature-over-parsed-json":
            body = body.strip()
        if fault == "any-scheme" and given:
            given = given.replace("v9,", "v1,")
        if fault == "first-signature-only" and given:
            given = given.split(" ")[0]
        if (fault == "no-time-limit" or (fault == "future-allowed" and (stamp or "0") > str(int(now)))) and stamp:
            now = float(stamp) if stamp.isdigit() and len(stamp) < 12 else now
        signature.verify([self._key], message_id=ident, timestamp=stamp, signature=given, body=body, now=now)

    def _sign(self, ident: str, request: Request) -> str:
        return signature.sign([self._key], ident, int(request.header("webhook-timestamp") or 0), request.body)

    def _signed(self, request: Request, reply: Reply) -> Reply:
        fault, ident = self._fault, request.header("webhook-id") or ""
        health = "/health" in request.path
        if not self._signs or fault == ("health-reply-unsigned" if health else "unsigned-replies"):
            return reply
        if fault == "reply-signed-with-own-id" and not health:
            ident = "msg_of_its_own"
        stamp = int(self._now())
        told = [("webhook-id", ident), ("webhook-timestamp", str(stamp))]
        told.append(("webhook-signature", signature.sign([self._key], ident, stamp, reply.body)))
        return Reply(reply.status, [*reply.headers, *told], reply.body)

    # ------------------------------------------------------------ ownership, health

    def _ownership(self, request: Request) -> Reply:
        if self._fault == "no-ownership":
            return Reply(405)
        origin = request.header("webhook-request-origin") or "*"
        return Reply(
            200, [("webhook-allowed-origin", "else.example" if self._fault == "ownership-of-another" else origin)]
        )

    def _health(self, request: Request) -> Reply:
        if self._fault != "health-unsigned-allowed":
            refusal = self._refusal(request)
            if refusal is not None:
                return refusal
        ident = None if self._fault == "health-without-id" else json.loads(request.body).get("id")
        return Reply(200, [("content-type", "application/json")], json.dumps({"id": ident}).encode())

    # ------------------------------------------------------------ the work

    async def _worked(self, request: Request) -> Reply:
        fault = self._fault
        if fault == "odd-deadline-breaks-it" and not (request.header("gateway-timeout-ms") or "").isdigit():
            return Reply(500)
        if request.header("content-type") != "application/cloudevents+json" and fault != "any-content-type":
            return Reply(415)
        try:
            event = json.loads(request.body)
        except RecursionError:
            return Reply(500 if fault == "deep-json-breaks-it" else 400)
        except ValueError:
            return Reply(500 if fault == "bad-json-breaks-it" else 400)
        try:
            query, result = event["data"]["query"], event["data"]["result"]
            asked = {name: query[name] for name in ("type", "capability", "tenant", "params")}
        except (TypeError, KeyError):
            return Reply(500 if fault == "event-without-data-breaks-it" else 400)
        if self._broken_by(event, asked, result):
            return Reply(500)
        if asked["type"] != self._type or not isinstance(result, dict):
            return Reply(204)
        return await self._changed(request, result)

    def _broken_by(self, event: Any, asked: dict[str, Any], result: Any) -> bool:
        broken = {
            "unknown-type-breaks-it": asked["type"] != self._type,
            "unknown-capability-breaks-it": asked["capability"] == "no-such-capability",
            "needs-a-tenant": asked["tenant"] is None and asked["capability"] is None and asked["params"] is None,
            "needs-params-as-object": asked["params"] is not None and not isinstance(asked["params"], dict),
            "needs-result-as-object": not isinstance(result, dict),
            "strict-members": "newattribute" in event,
        }
        return bool(broken.get(self._fault or ""))

    async def _changed(self, request: Request, result: dict[str, Any]) -> Reply:
        fault, form = self._fault, self._form
        if fault == "shared-state":
            self._last = result
            await asyncio.sleep(0.01)  # meanwhile, another call takes its place
            result = self._last
        if request.header("accept") == "application/json" and fault != "always-a-patch":
            form = "replace"
        if fault == "always-a-patch":
            form = "merge-patch"
        self._count += 1
        seen = self._count if fault == "no-id-memory" else True
        value: Any = {
            "replace": {**result, "seen": seen},
            "json-patch": [{"op": "add", "path": "/seen", "value": seen}],
            "merge-patch": {"seen": seen},
        }[form]
        kind, body = _FORMS[form], json.dumps(value).encode()
        if fault == "latin-1":
            kind += "; charset=iso-8859-1"
        elif fault == "text-plain":
            kind = "text/plain"
        elif fault == "broken-json":
            body = body[:-1]
        headers = [("content-type", kind)]
        if fault == "sets-a-cookie":
            headers.append(("set-cookie", "session=1"))
        return Reply(200, headers, body)
