"""The check of a signature, one step after another, so that it can be seen which one fails."""

from __future__ import annotations

import base64
import hmac
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.wire import signature

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Step", "steps"]

_INTEGER: Final = re.compile(r"(?:0|[1-9][0-9]{0,11})\Z")
_MOST_SHOWN: Final = 8


class Step(NamedTuple):
    """One step. `state` is `passed`, `failed` or `skipped`; `detail` says what was seen. No secret is in it."""

    title: str
    state: str
    detail: str


def steps(header: Callable[[str], str | None], body: bytes, secrets: Sequence[str], now: float) -> tuple[Step, ...]:
    """The steps of verifying a request; the last one is the verdict. `header` gives a value by its lower-case name."""
    ident, at, given = (header(name) for name in (signature.ID, signature.TIMESTAMP, signature.SIGNATURE))
    absent = [name for name in (signature.ID, signature.TIMESTAMP, signature.SIGNATURE) if not header(name)]
    if absent:
        return (
            Step("The three headers are there", "failed", f"absent: {', '.join(absent)}"),
            Step("Authentic", "failed", "not signed"),
        )
    assert ident is not None
    assert at is not None
    assert given is not None
    found = [Step("The three headers are there", "passed", f"{signature.ID}: {ident}")]
    found.append(_whole(at))
    if found[-1].state == "passed":
        found.append(_fresh(int(at), now))
    found.append(Step("What is signed", "passed", f"{ident}.{at}. and the {len(body)} bytes of the raw body"))
    if not secrets:
        found.append(Step("Authentic", "skipped", "no secret was given (--secret-file), so nothing can be compared"))
        return tuple(found)
    compared = _compared(ident, at, body, given, secrets)
    found += compared
    authentic = any(each.state == "passed" for each in compared) and all(each.state != "failed" for each in found[:3])
    detail = "signed by one of the secrets, and fresh" if authentic else "a server must refuse this request, with 401"
    found.append(Step("Authentic", "passed" if authentic else "failed", detail))
    return tuple(found)


def _whole(at: str) -> Step:
    if _INTEGER.match(at):
        return Step("The timestamp is a plain whole number", "passed", at)
    return Step("The timestamp is a plain whole number", "failed", repr(at[:40]))


def _fresh(at: int, now: float) -> Step:
    age = now - at
    state = "passed" if abs(age) <= signature.TOLERANCE_SECONDS else "failed"
    when = f"{age:.1f} s ago" if age >= 0 else f"{-age:.1f} s ahead"
    return Step("The timestamp is near the present", state, f"{when}; {signature.TOLERANCE_SECONDS} s are allowed")


def _compared(ident: str, at: str, body: bytes, given: str, secrets: Sequence[str]) -> list[Step]:
    content = b"%b.%b.%b" % (ident.encode("utf-8", "replace"), at.encode("utf-8", "replace"), body)
    expected = [base64.b64encode(hmac.digest(signature.key_of(secret), content, "sha256")) for secret in secrets]
    found = []
    for number, part in enumerate(given.split(" ")[:_MOST_SHOWN], start=1):
        scheme, _, value = part.partition(",")
        title = f"Signature {number}: {scheme[:10]}"
        if scheme == "v1a":
            found.append(Step(title, "skipped", "Ed25519: verified with the public key, not with a secret"))
        elif scheme != "v1":
            found.append(Step(title, "skipped", "a scheme that is not known is passed over"))
        else:
            matching = [at for at, one in enumerate(expected, 1) if hmac.compare_digest(one, value.encode())]
            state, detail = ("passed", f"matches secret {matching[0]}") if matching else ("failed", "matches no secret")
            found.append(Step(title, state, detail))
    return found
