"""What may be subscribed with: names, patterns of events, addresses, headers, filters and secrets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.errors import FieldError, InvalidInput
from gateway.transport.endpoint import parse_endpoint
from gateway.wire import signature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from gateway.model.subscription import Subscription
    from gateway.transport.protocol import Endpoint

__all__ = ["AddressPolicy", "SubscriptionRules"]

MAX_PATTERNS: Final = 100
MAX_HEADERS: Final = 20
MAX_HEADER_VALUE: Final = 1_000
MAX_FILTER: Final = 2_000
MAX_TYPE: Final = 200

_WORDS: Final = "1 to 200 characters: words of letters, digits, _ and -, with dots between them"
_NAME: Final = re.compile(r"[^\W_](?:[\w .:@+-]{0,98}[\w])?\Z")
_PATTERN: Final = re.compile(r"(?:\*|[A-Za-z0-9_-]+)(?:\.(?:\*|[A-Za-z0-9_-]+))*\Z")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}\Z")  # RFC 9110, section 5.6.2
_VALUE: Final = re.compile(r"[!-~](?:[\t -~]*[!-~])?\Z")  # visible ASCII, with blanks inside only
# What is the gateway's own to say, or about one connection (RFC 9110, section 7.6.1).
_OWN_HEADERS: Final = frozenset(
    {
        "accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect",
        "host", "keep-alive", "te", "trailer", "trailers", "traceparent", "tracestate", "transfer-encoding",
        "upgrade", "user-agent",
    }
)  # fmt: skip
_OWN_PREFIXES: Final = ("webhook-", "gateway-", "ce-", "proxy-", "x-hub-signature", "x-github-")


class AddressPolicy(Protocol):
    """Which addresses deliveries may go to. (The transport's guard.)"""

    def refusal(self, endpoint: Endpoint) -> str | None:
        """Why `endpoint` may never be called, if that is known without asking the network."""
        ...


class SubscriptionRules:
    """The rules for one configuration.

    `check_filter` returns if a filter compiles, and raises `ValueError` with a sentence if not.
    `allow_insecure_ssl`: whether a subscription may do without a valid certificate.
    """

    def __init__(
        self,
        addresses: AddressPolicy,
        *,
        check_filter: Callable[[str], None],
        allow_insecure_ssl: bool = False,
        max_concurrency: int = 100,
    ) -> None:
        self._addresses = addresses
        self._check_filter = check_filter
        self._allow_insecure_ssl = allow_insecure_ssl
        self._max_concurrency = max_concurrency

    def check(self, fields: Mapping[str, Any]) -> None:
        """Raise `InvalidInput` naming every one of these fields of a `SubscriptionDraft` that is wrong."""
        errors: list[FieldError] = []
        for name, check in (
            ("name", _name_errors),
            ("events", _pattern_errors),
            ("url", self._url_errors),
            ("secret", _secret_errors),
            ("insecure_ssl", self._tls_errors),
            ("filter", self._filter_errors),
            ("headers", _header_errors),
            ("max_concurrency", self._concurrency_errors),
        ):
            if fields.get(name) is not None:
                errors += check(fields[name])
        if errors:
            raise InvalidInput(*errors)

    def check_whole(self, subscription: Subscription) -> None:
        """Raise `InvalidInput` for what is wrong only in connection with what was there already."""
        errors = list(_header_errors(dict(subscription.headers)))
        if errors:
            raise InvalidInput(*errors)

    def _url_errors(self, url: str) -> Iterable[FieldError]:
        field = "/config/url"
        if len(url) > 2_000:
            yield FieldError(field, "must be at most 2000 characters long")
            return
        try:
            endpoint = parse_endpoint(url)
        except ValueError as e:
            yield FieldError(field, str(e))
            return
        if (why := self._addresses.refusal(endpoint)) is not None:
            yield FieldError(field, why)

    def _tls_errors(self, insecure: bool) -> Iterable[FieldError]:  # noqa: FBT001  the value of a field
        if insecure and not self._allow_insecure_ssl:
            yield FieldError(
                "/config/insecure_ssl", "is not allowed here; the operator can set relay.allow_insecure_ssl"
            )

    def _filter_errors(self, text: str) -> Iterable[FieldError]:
        if not 1 <= len(text) <= MAX_FILTER:
            yield FieldError("/filter", f"must be 1 to {MAX_FILTER} characters long; leave it out for none")
            return
        try:
            self._check_filter(text)
        except ValueError as e:
            yield FieldError("/filter", str(e))

    def _concurrency_errors(self, number: int) -> Iterable[FieldError]:
        if not 1 <= number <= self._max_concurrency:
            yield FieldError("/max_concurrency", f"{number} is not between 1 and {self._max_concurrency}")


def _name_errors(name: str) -> Iterable[FieldError]:
    if not _NAME.match(name):
        rule = (
            "must be 1 to 100 letters, digits, spaces or any of _ . : @ + -, "
            "beginning and ending with a letter or digit"
        )
        yield FieldError("/name", rule)


def _pattern_errors(patterns: Sequence[str]) -> Iterable[FieldError]:
    if not 1 <= len(patterns) <= MAX_PATTERNS:
        yield FieldError("/events", f"must name 1 to {MAX_PATTERNS} types of events; '*' is all of them")
    for at, pattern in enumerate(patterns):
        if len(pattern) > MAX_TYPE or not _PATTERN.match(pattern):
            detail = f"must be {_WORDS}, any of them * for whatever stands in its place, such as order.* or *"
            yield FieldError(f"/events/{at}", detail)


def _secret_errors(secret: str) -> Iterable[FieldError]:
    if not secret.startswith(signature.PREFIX):
        yield FieldError("/config/secret", f"must begin with {signature.PREFIX!r}, followed by base64")
        return
    try:
        signature.key_of(secret)
    except ValueError as e:
        yield FieldError("/config/secret", str(e))


def _header_errors(headers: Mapping[str, str | None]) -> Iterable[FieldError]:
    if len(headers) > MAX_HEADERS:
        yield FieldError("/headers", f"must be at most {MAX_HEADERS}; there are {len(headers)}")
        return
    seen: set[str] = set()
    for name, value in headers.items():
        field, lower = f"/headers/{_pointed(name)}", name.lower()
        if not _TOKEN.match(name):
            yield FieldError(field, "is not the name of a header: letters, digits and - of at most 100 characters")
        elif lower in _OWN_HEADERS or lower.startswith(_OWN_PREFIXES):
            yield FieldError(field, "is a header that the gateway sets, or that belongs to one connection")
        elif lower in seen:
            yield FieldError(field, "is there twice, for headers have no case")
        elif value is not None and (len(value) > MAX_HEADER_VALUE or not _VALUE.match(value)):
            yield FieldError(
                field, f"its value must be 1 to {MAX_HEADER_VALUE} visible ASCII characters, with blanks only inside"
            )
        seen.add(lower)


def _pointed(name: str) -> str:
    return name[:100].replace("~", "~0").replace("/", "~1")
