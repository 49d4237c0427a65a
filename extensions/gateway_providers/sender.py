"""What every sender has: a request comes in, and is refused, answered at once, or read as events."""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol
from urllib.parse import parse_qsl, urlsplit

from gateway.errors import WebhookRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Challenge", "Event", "HmacSender", "Incoming", "Sender", "first_secret", "matches", "parsed"]

_MAX_SIGNATURE: Final = 1_000  # characters; no signature of these senders is longer


class Incoming:
    """A request as it came: `url` is the one that the sender called, in full; `body` the raw bytes."""

    __slots__ = ("body", "headers", "method", "url")

    def __init__(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> None:
        self.method = method.upper()
        self.url = url
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body

    def header(self, name: str) -> str | None:
        """The value of a header, whatever the case of its name."""
        return self.headers.get(name.lower())

    @property
    def url_params(self) -> dict[str, str]:
        """The parameters in the URL."""
        try:
            return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))
        except ValueError:
            return {}


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a sender.

    `id` is the sender's own where it gives one, the same on each attempt, so that a receiver can tell repetitions.
    `data` is the JSON value, or the fields of the form. `time` is as the sender writes it.
    """

    sender: str
    type: str
    data: Any
    id: str | None = None
    time: str | None = None


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a sender is to be answered at once, to show whose URL it is. There is no event in such a request."""

    body: bytes = b""
    content_type: str = "text/plain"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Sender(Protocol):
    """Reads what one sender sends."""

    @property
    def name(self) -> str:
        """The sender's name."""
        ...

    def receive(self, incoming: Incoming) -> tuple[Event, ...] | Challenge:
        """The events in a request that is verified, or the challenge to answer.

        Raises `WebhookRefused` for everything else, whatever the bytes are, and nothing but that.
        """
        ...


def parsed(body: bytes) -> Any:
    """The JSON in `body`. Raises `WebhookRefused`."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise WebhookRefused("the body is not JSON") from None


def matches(given: str | None, expected: str) -> bool:
    """Whether a header's value is `expected`, in a time that does not tell how much of it is."""
    if given is None or len(given) > _MAX_SIGNATURE:
        return False
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def first_secret(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """The secrets, of which there must be one, and none may be empty. Raises `ValueError`."""
    if not secrets or not all(secrets):
        raise ValueError("a sender needs at least one secret, and none may be empty")
    return secrets


def _body(incoming: Incoming, _secret: str) -> bytes:
    return incoming.body


def _no_challenge(_incoming: Incoming) -> Challenge | None:
    return None


def _json(incoming: Incoming) -> Any:
    return parsed(incoming.body)


def _none(_incoming: Incoming, _data: Any) -> str | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class HmacSender:
    """A sender that signs with an HMAC in a header.

    `secrets`: any of them may have signed. `header` holds `prefix` and the signature in hexadecimal or base64.
    `signed(incoming, secret)` is what is signed, the raw body by default; it may refuse. `challenge` answers requests
    that are no events, before the signature is looked at. `type_of`, `id_of`, `time_of` read an event from the request
    and the value that `read` made of it; `parts` takes a request with several events apart.
    """

    name: str
    secrets: tuple[str, ...] = field(repr=False)
    header: str
    type_of: Callable[[Incoming, Any], str | None]
    id_of: Callable[[Incoming, Any], str | None] = _none
    time_of: Callable[[Incoming, Any], str | None] = _none
    digest: Literal["sha256", "sha1"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    signed: Callable[[Incoming, str], bytes] = _body
    challenge: Callable[[Incoming], Challenge | None] = _no_challenge
    read: Callable[[Incoming], Any] = _json
    parts: Callable[[Any], tuple[Any, ...]] = lambda value: (value,)

    def receive(self, incoming: Incoming) -> tuple[Event, ...] | Challenge:
        """See `Sender.receive`."""
        answer = self.challenge(incoming)
        if answer is not None:
            return answer
        given = incoming.header(self.header)
        if given is None:
            raise WebhookRefused(f"the header {self.header} is absent")
        # All of them, so that the time taken does not tell which one matches.
        if not any([matches(given, self.signature(incoming, secret)) for secret in self.secrets]):  # noqa: C419
            raise WebhookRefused(f"the signature in {self.header} does not match")
        return tuple(self._event(incoming, value) for value in self.parts(self.read(incoming)))

    def signature(self, incoming: Incoming, secret: str) -> str:
        """The value that the header must have for this secret."""
        raw = hmac.digest(secret.encode(), self.signed(incoming, secret), self.digest)
        return self.prefix + (raw.hex() if self.encoding == "hex" else base64.b64encode(raw).decode())

    def _event(self, incoming: Incoming, value: Any) -> Event:
        kind = self.type_of(incoming, value)
        if not kind:
            raise WebhookRefused("the type of the event is absent")
        return Event(self.name, kind, value, self.id_of(incoming, value), self.time_of(incoming, value))
