"""One attempt: an event as a signed request, sent under one deadline, and what its answer means."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from enum import StrEnum
from time import perf_counter
from typing import TYPE_CHECKING, Final

from gateway.errors import CallError, ReplyTooLarge
from gateway.model import Reason
from gateway.model.delivery import Attempt
from gateway.relay import message
from gateway.transport.endpoint import parse_endpoint
from gateway.transport.protocol import Limits
from gateway.transport.tls import TlsProfile
from gateway.wire import retry_after, signature, trace
from gateway.wire.keyring import KeyRing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.model.event import Event
    from gateway.model.subscription import Subscription
    from gateway.stores.events import Claimed
    from gateway.transport.protocol import Endpoint, Response, Transport

__all__ = ["Attempted", "Sender", "SenderSettings", "Verdict"]

EVENT: Final = "gateway-event"
DELIVERY: Final = "gateway-delivery"
ATTEMPT: Final = "gateway-attempt"
GITHUB_SIGNATURE: Final = "x-hub-signature-256"

_USER_AGENT: Final = "query-hook-gateway"
_HIDDEN: Final = "(hidden)"
_SHOWN: Final = frozenset(
    {
        "content-type", "accept", "user-agent", EVENT, DELIVERY, ATTEMPT, signature.ID, signature.TIMESTAMP,
        "gateway-timeout-ms", "traceparent",
    }
)  # fmt: skip
_ASKS_TO_WAIT: Final = frozenset({429, 503})
_UNVERIFIED: Final = TlsProfile(verify=False)


class Verdict(StrEnum):
    """What an attempt means for its delivery."""

    DELIVERED = "delivered"  # 2xx: the endpoint has it
    RETRY = "retry"  # try again later
    GONE = "gone"  # 410: never send anything there again


@dataclass(frozen=True, slots=True)
class Attempted:
    """An attempt, what it means, and how many seconds the endpoint asked to be left alone (429, 503)."""

    verdict: Verdict
    attempt: Attempt
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class SenderSettings:
    """What holds for every attempt.

    `timeout` in seconds holds for all of it: DNS, connecting, TLS, sending, reading. Of a response at most
    `max_response_bytes` are read and `excerpt_bytes` kept. Certificates go unverified only where a subscription wants
    that and `allow_insecure_ssl` is set.
    """

    timeout: float = 15.0
    max_response_bytes: int = 256 * 1024
    excerpt_bytes: int = 2_048
    allow_insecure_ssl: bool = False


@dataclass(frozen=True, slots=True)
class _Target:
    """What is prepared once for a version of a subscription."""

    version: int
    endpoint: Endpoint
    keys: KeyRing


class Sender:
    """Makes attempts over a transport, which judges every address that it connects to. `now`: seconds since 1970."""

    def __init__(
        self, transport: Transport, settings: SenderSettings | None = None, *, now: Callable[[], float] = time.time
    ) -> None:
        self._transport = transport
        self._settings = settings or SenderSettings()
        self._limits = Limits(body=self._settings.max_response_bytes)
        self._now = now
        self._targets: dict[str, _Target] = {}

    @property
    def timeout(self) -> float:
        """The longest that an attempt takes, in seconds."""
        return self._settings.timeout

    async def attempt(self, claimed: Claimed) -> Attempted:
        """Try once to deliver. Only cancellation gets through; everything else becomes an `Attempted`."""
        delivery, event, subscription = claimed.delivery, claimed.event, claimed.subscription
        started_at, began = self._now(), perf_counter()
        headers: list[tuple[str, str]] = []
        response: Response | None = None
        failure: tuple[str, str] | None = None
        status: int | None = None
        try:
            target = self._target(subscription)
            body = self._body(event, subscription)
            number = delivery.attempts + 1
            headers = self._headers(event, subscription, target.keys, body, delivery.id, number, started_at)
            deadline = asyncio.get_running_loop().time() + self._settings.timeout
            response = await self._transport.exchange(
                target.endpoint, "POST", headers, body, deadline=deadline, limits=self._limits
            )
            status = response.status
        except ReplyTooLarge as error:
            status = error.status  # what it thinks of the event is in the status; nobody needs the rest
            failure = error.reason, error.detail
        except CallError as error:
            failure = error.reason, error.detail
        except ValueError as error:
            failure = Reason.PROTOCOL, f"The subscription cannot be used: {error}"
        verdict, reason, detail = _judged(status, failure)
        attempt = Attempt(
            started_at=started_at,
            ms=(perf_counter() - began) * 1000,
            status=status,
            reason=reason,
            detail=detail,
            cause=claimed.cause,
            request_headers=_told(headers, subscription),
            excerpt=b"" if response is None else response.body[: self._settings.excerpt_bytes],
        )
        return Attempted(verdict, attempt, self._wait(response))

    def forget(self, subscription_ids: Sequence[str]) -> None:
        """Let go of what was prepared for subscriptions that are gone."""
        for subscription_id in subscription_ids:
            self._targets.pop(subscription_id, None)

    def _target(self, subscription: Subscription) -> _Target:
        found = self._targets.get(subscription.id)
        if found is None or found.version != subscription.version:
            tls = _UNVERIFIED if subscription.insecure_ssl and self._settings.allow_insecure_ssl else None
            endpoint = parse_endpoint(subscription.url, pool=subscription.id, tls=tls)
            keys = KeyRing((secret.secret, secret.expires_at) for secret in subscription.secrets)
            found = self._targets[subscription.id] = _Target(subscription.version, endpoint, keys)
        return found

    def _body(self, event: Event, subscription: Subscription) -> bytes:
        return message.payload(
            subscription.content_type,
            ident=event.id,
            name=event.type,
            source=event.source,
            at=event.time,
            data=event.data,
            subject=event.subject,
        )

    def _headers(
        self,
        event: Event,
        subscription: Subscription,
        keys: KeyRing,
        body: bytes,
        delivery_id: str,
        number: int,
        now: float,
    ) -> list[tuple[str, str]]:
        headers = [
            ("content-type", subscription.content_type.value),
            ("accept", "*/*"),
            ("user-agent", _USER_AGENT),
            (signature.ID, event.id),
            (signature.TIMESTAMP, str(int(now))),
            (signature.SIGNATURE, keys.sign(event.id, int(now), body, now)),
            (EVENT, event.type),
            (DELIVERY, delivery_id),
            (ATTEMPT, str(number)),
            ("gateway-timeout-ms", str(int(self._settings.timeout * 1000))),
            ("traceparent", trace.child(event.traceparent)),
        ]
        if subscription.github_signature:
            valid = (s.secret for s in subscription.secrets if s.expires_at is None or s.expires_at > now)
            if (signed := message.github_signature(valid, body)) is not None:
                headers.append((GITHUB_SIGNATURE, signed))
        headers.extend(subscription.headers)
        return headers

    def _wait(self, response: Response | None) -> float | None:
        if response is None or response.status not in _ASKS_TO_WAIT:
            return None
        return retry_after.seconds(response.header("retry-after"), self._now())


def _judged(status: int | None, failure: tuple[str, str] | None) -> tuple[Verdict, str | None, str | None]:
    if status is None:
        assert failure is not None  # either there is an answer or there is none
        return Verdict.RETRY, *failure
    if 200 <= status <= 299:
        return Verdict.DELIVERED, None, None
    if status == 410:
        return Verdict.GONE, Reason.GONE, "it answered 410 Gone"
    detail = f"it answered with status {status}"
    if 300 <= status <= 399:
        detail += ", and redirects are not followed"
    return Verdict.RETRY, Reason.STATUS, detail


def _told(headers: Sequence[tuple[str, str]], subscription: Subscription) -> tuple[tuple[str, str], ...]:
    """The headers as they may be shown: without signatures, and without what the subscription's owner added."""
    shown = _SHOWN.difference(name.lower() for name, _ in subscription.headers)
    return tuple((name, value if name in shown else _HIDDEN) for name, value in headers)
