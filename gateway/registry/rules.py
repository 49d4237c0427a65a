"""What may be registered: names, URLs, ranges, and the envelope that hooks stay within.

Two sides of one promise: a hook that asks for more than its envelope allows is refused (`check_hook`);
and whatever a hook says, it gets no more than its envelope allows at the time (`bind`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol

from gateway.errors import FieldError, InvalidInput
from gateway.model import Delivery, FailurePolicy, OnOverload
from gateway.registry.learned import Learned
from gateway.registry.plan import mode_in_force, plan_of
from gateway.registry.plan_rules import envelope_errors, hook_errors
from gateway.registry.security import TlsProfiles, key_ring, security_errors
from gateway.registry.snapshot import BoundHook
from gateway.transport.endpoint import parse_endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.model import Envelope, Hook, Integration
    from gateway.registry.drafts import HookDraft, IntegrationDraft
    from gateway.transport.protocol import Endpoint

HOOK_NAME: Final = re.compile(r"[a-z][a-z0-9_.-]{0,62}\Z")
MAX_SELECTORS: Final = 1_000
MAX_SELECTOR_LENGTH: Final = 200
MAX_HOOKS: Final = 1_000
MAX_ORDER: Final = 2**31 - 1

_INTEGRATION_NAME = re.compile(r"[^\W_](?:[\w .:@+-]{0,98}[\w])?\Z")
_PATH = re.compile(r"/[!-\[\]-~]*\Z")  # printable ASCII without space and backslash
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_DOT_SEGMENT = re.compile(r"(?:^|/)(?:\.|%2e){1,2}(?:/|\?|\Z)", re.IGNORECASE)


class AddressPolicy(Protocol):
    """Which addresses calls may go to. (The transport's guard.)"""

    def refusal(self, endpoint: Endpoint) -> str | None:
        """Why `endpoint` may never be called, if that is known without asking the network."""
        ...


class RegistryRules:
    """The rules for one configuration.

    `default_timeout_ms` is the time limit of a hook that names none; `max_timeout_ms` the gateway's own
    ceiling over every envelope. `max_concurrency` is how many calls a hook may have under way that names no
    number, and the most that it may name. `max_cache_seconds` is how long replies may be used again at most.
    `processes` is how many share the calls of each hook: every one gets its part of them, at least one.
    """

    def __init__(
        self,
        addresses: AddressPolicy,
        *,
        default_timeout_ms: int = 1_000,
        max_timeout_ms: int = 10_000,
        max_concurrency: int = 100,
        max_cache_seconds: float = 3_600,
        processes: int = 1,
    ) -> None:
        self._addresses = addresses
        self._default_timeout_ms = default_timeout_ms
        self._max_timeout_ms = max_timeout_ms
        self._max_concurrency = max_concurrency
        self._max_cache_seconds = max_cache_seconds
        self._processes = processes
        self._tls = TlsProfiles()

    # ------------------------------------------------------------ what is refused

    def check_integration(self, draft: IntegrationDraft | Integration) -> None:
        """Raise `InvalidInput` naming every field of `draft` that is wrong."""
        errors: list[FieldError] = []
        if not _INTEGRATION_NAME.match(draft.name):
            errors.append(
                FieldError(
                    "/name",
                    "must be 1 to 100 letters, digits, spaces or any of _ . : @ + -, "
                    "beginning and ending with a letter or digit",
                )
            )
        errors += self._url_errors("/base_url", draft.base_url)
        errors += _range_error("/priority", draft.priority, -MAX_ORDER, MAX_ORDER)
        if draft.health_path is not None:
            errors += _path_errors("/health_path", draft.health_path)
        errors += self._envelope_errors(draft.envelope)
        errors += security_errors(draft)
        _raise(errors)

    def _url_errors(self, field: str, url: str) -> Iterable[FieldError]:
        if len(url) > 2_000:
            yield FieldError(field, "must be at most 2000 characters long")
            return
        try:
            endpoint = parse_endpoint(url)
        except ValueError as e:
            yield FieldError(field, str(e))
            return
        if "?" in url:
            yield FieldError(field, "must not have a query; a hook's path may have one")
        elif _DOT_SEGMENT.search(endpoint.target):
            yield FieldError(field, "must not have '.' or '..' segments in its path")
        elif (why := self._addresses.refusal(endpoint)) is not None:
            yield FieldError(field, why)

    def _envelope_errors(self, envelope: Envelope) -> Iterable[FieldError]:
        for name in ("types", "capabilities", "tenants"):
            yield from _selector_errors(f"/envelope/{name}", getattr(envelope, name))
        if envelope.max_timeout_ms is not None:
            yield from _range_error("/envelope/max_timeout_ms", envelope.max_timeout_ms, 1, self._max_timeout_ms)
        yield from envelope_errors(envelope)

    def check_hook(self, draft: HookDraft | Hook, envelope: Envelope, at: str = "") -> None:
        """Raise `InvalidInput` naming every field of `draft` that is wrong or beyond `envelope`.

        `at` is a JSON Pointer put before the field names.
        """
        errors: list[FieldError] = []
        if not HOOK_NAME.match(draft.name):
            rule = "must begin with a lower-case letter, followed by up to 62 of a-z, 0-9, _ . -"
            errors.append(FieldError("/name", rule))
        errors += _path_errors("/path", draft.path)
        for name in ("types", "capabilities", "tenants"):
            wanted: frozenset[str] | None = getattr(draft, name)
            allowed: frozenset[str] | None = getattr(envelope, name)
            errors += _selector_errors(f"/{name}", wanted)
            if wanted and allowed is not None and not wanted <= allowed:
                outside, inside = _listed(wanted - allowed), _listed(allowed)
                errors.append(
                    FieldError(f"/{name}", f"{outside} is outside the integration's envelope, which allows {inside}")
                )
        errors += _range_error("/order", draft.order, -MAX_ORDER, MAX_ORDER)
        if draft.timeout_ms is not None:
            errors += _range_error("/timeout_ms", draft.timeout_ms, 1, self._ceiling_ms(envelope))
        if draft.max_concurrency is not None:
            errors += _range_error("/max_concurrency", draft.max_concurrency, 1, self._max_concurrency)
        if draft.failure_policy is FailurePolicy.FAIL and envelope.failure_policy is not FailurePolicy.FAIL:
            errors.append(
                FieldError(
                    "/failure_policy",
                    "'fail' is outside the integration's envelope, whose failure_policy is 'ignore'; "
                    "the operator can change that",
                )
            )
        errors += hook_errors(draft, envelope)
        _raise(errors, at)

    def check_lease(self, seconds: float | None) -> None:
        """Raise `InvalidInput` if `seconds` is no length of a lease."""
        if seconds is not None:
            _raise(list(_range_error("/lease_seconds", seconds, 1, 30 * 86_400)))

    def _ceiling_ms(self, envelope: Envelope) -> int:
        if envelope.max_timeout_ms is None:
            return self._max_timeout_ms
        return min(envelope.max_timeout_ms, self._max_timeout_ms)

    # ------------------------------------------------------------ what is granted

    def _cache_seconds(self, hook: Hook, envelope: Envelope) -> float:
        if not hook.cache:
            return 0.0
        if envelope.max_cache_seconds is None:
            return self._max_cache_seconds
        return min(envelope.max_cache_seconds, self._max_cache_seconds)

    def url_of(self, hook: Hook, integration: Integration) -> str:
        """Where calls of `hook` go."""
        return integration.base_url.rstrip("/") + hook.path

    def endpoint(self, url: str, integration: Integration, *, pool: str) -> Endpoint:
        """The endpoint at `url`, a URL of `integration`'s, with its TLS settings. Raises `ValueError`."""
        return parse_endpoint(url, pool=pool, tls=self._tls.of(integration))

    def bind(self, hook: Hook, integration: Integration, before: BoundHook | None = None) -> BoundHook | None:
        """What queries may use of `hook`: narrowed to the envelope; `None` if it is not to be called.

        `before` is the same hook as it was: what was learnt of it is kept, unless it begins afresh.
        """
        if not (hook.enabled and hook.suspended is None and integration.enabled):
            return None
        envelope = integration.envelope
        types = _narrowed(hook.types, envelope.types)
        capabilities = _narrowed(hook.capabilities, envelope.capabilities)
        tenants = _narrowed(hook.tenants, envelope.tenants)
        mode = mode_in_force(hook, envelope)
        if mode is None or frozenset() in (types, capabilities, tenants):
            return None
        try:
            endpoint = self.endpoint(self.url_of(hook, integration), integration, pool=hook.id)
        except ValueError:
            return None
        timeout_ms = min(hook.timeout_ms or self._default_timeout_ms, self._ceiling_ms(envelope))
        cache_seconds = self._cache_seconds(hook, envelope)
        return BoundHook(
            hook_id=hook.id,
            name=hook.name,
            integration_id=integration.id,
            integration=integration.name,
            generation=hook.generation,
            endpoint=endpoint,
            keys=key_ring(integration),
            timeout=timeout_ms / 1000,
            fail=FailurePolicy.FAIL is hook.failure_policy is envelope.failure_policy,
            binary=hook.delivery is Delivery.BINARY,
            may_reject=envelope.may_reject,
            signed_replies=envelope.signed_replies,
            types=types,
            capabilities=capabilities,
            tenants=tenants,
            place=(-integration.priority, integration.name, hook.order, hook.name),
            max_concurrency=max(
                1, min(hook.max_concurrency or self._max_concurrency, self._max_concurrency) // self._processes
            ),
            waits=hook.on_overload is OnOverload.WAIT,
            retry=hook.retry,
            fresh_since=hook.fresh_since,
            cache_seconds=cache_seconds,
            learned=_learned(hook, endpoint, cache_seconds, before),
            plan=plan_of(hook, envelope, mode),
        )


def _learned(hook: Hook, endpoint: Endpoint, cache_seconds: float, before: BoundHook | None) -> Learned:
    """What is known of the hook's replies."""
    if cache_seconds <= 0:
        return Learned(reusable=False)
    if (
        before is not None
        and before.cache_seconds > 0
        and (before.fresh_since, before.endpoint) == (hook.fresh_since, endpoint)
    ):
        return before.learned
    return Learned(trusted=hook.max_concurrency is None and hook.on_overload is OnOverload.WAIT)


def _narrowed(wanted: frozenset[str] | None, allowed: frozenset[str] | None) -> frozenset[str] | None:
    if wanted is None:
        return allowed
    return wanted if allowed is None else wanted & allowed


def _range_error(field: str, value: float, low: int, high: int) -> Iterable[FieldError]:
    if not low <= value <= high:
        yield FieldError(field, f"{value} is not between {low} and {high}")


def _path_errors(field: str, path: str) -> Iterable[FieldError]:
    if not path.startswith("/"):
        yield FieldError(field, f"must be an absolute path beginning with '/'; it begins with {path[:1]!r}")
    elif len(path) > 1_000:
        yield FieldError(field, "must be at most 1000 characters long")
    elif not _PATH.match(path) or "#" in path:
        yield FieldError(field, "may hold printable ASCII without space, backslash and '#'; percent-encode others")
    elif path.startswith("//") or _DOT_SEGMENT.search(path):
        yield FieldError(field, "must stay below the base URL: no '//' at its beginning, no '.' or '..' segments")


def _selector_errors(field: str, values: frozenset[str] | None) -> Iterable[FieldError]:
    if values is None:
        return
    if not values:
        yield FieldError(field, "must name at least one; leave it out to allow all")
    if len(values) > MAX_SELECTORS:
        yield FieldError(field, f"may name at most {MAX_SELECTORS}; it names {len(values)}")
    for value in sorted(values):
        if not 1 <= len(value) <= MAX_SELECTOR_LENGTH or _CONTROL.search(value):
            yield FieldError(field, f"each must be 1 to {MAX_SELECTOR_LENGTH} characters without control characters")
            return


def _listed(values: Iterable[str], most: int = 10) -> str:
    names = sorted(values)
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _raise(errors: list[FieldError], at: str = "") -> None:
    if errors:
        raise InvalidInput(*(FieldError(at + e.field, e.detail) for e in errors))
