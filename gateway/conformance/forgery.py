"""Checks of authenticity: whatever is not signed as it must be is refused, and nothing else is."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Final

from gateway.conformance.check import check, must
from gateway.model.ids import message_id
from gateway.wire.keyring import KeyRing

if TYPE_CHECKING:
    from gateway.conformance.probe import Probe

_STANDARD: Final = "Verify with a library for Standard Webhooks, over the raw bytes of the body."
_OLD_SECONDS: Final = 600
_TIME: Final = "Refuse a webhook-timestamp that is more than 5 minutes away from the present."
_INTEGER: Final = "Take webhook-timestamp as digits only, and sign it as it stands in the header."


async def _refused(probe: Probe, what: str, **how: object) -> None:
    probe.refused(await probe.call(**how), what)  # type: ignore[arg-type]  # `how` is passed on


def _other() -> KeyRing:
    return KeyRing([("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(), None)])


@check("unsigned", "signature", "A call without a signature is refused.", mend=_STANDARD)
async def _unsigned(probe: Probe) -> None:
    await _refused(probe, "a call without webhook-signature", change={"webhook-signature": None})


@check("no-headers", "signature", "A call without any of the three webhook headers is refused.", mend=_STANDARD)
async def _no_headers(probe: Probe) -> None:
    bare = dict.fromkeys(("webhook-id", "webhook-timestamp", "webhook-signature"))
    await _refused(probe, "a call without webhook headers", change=bare)


@check("no-id", "signature", "A call without webhook-id is refused.", mend=_STANDARD)
async def _no_id(probe: Probe) -> None:
    await _refused(probe, "a call without webhook-id", change={"webhook-id": None})


@check("no-timestamp", "signature", "A call without webhook-timestamp is refused.", mend=_STANDARD)
async def _no_timestamp(probe: Probe) -> None:
    await _refused(probe, "a call without webhook-timestamp", change={"webhook-timestamp": None})


@check("other-secret", "signature", "A call that is signed with another secret is refused.", mend=_STANDARD)
async def _other_secret(probe: Probe) -> None:
    await _refused(probe, "a call signed with another secret", keys=_other())


@check("other-body", "signature", "A call whose body was changed is refused.", mend=_STANDARD)
async def _other_body(probe: Probe) -> None:
    body = probe.body()
    headers = probe.headers(body)
    changed = probe.body(result={"forged": True})
    probe.refused(await probe.send(headers, changed), "a call with another body than the signed one")


@check(
    "raw-body",
    "signature",
    "The raw bytes are what is verified: white space that was added breaks the signature.",
    mend="Verify the bytes as they came, before any JSON is parsed and written again.",
)
async def _raw_body(probe: Probe) -> None:
    body = probe.body()
    probe.refused(await probe.send(probe.headers(body), body + b" "), "a body with a space behind what was signed")


@check("other-id", "signature", "A call whose webhook-id was changed is refused.", mend=_STANDARD)
async def _other_id(probe: Probe) -> None:
    await _refused(probe, "a call with another webhook-id than the signed one", change={"webhook-id": message_id()})


@check("other-timestamp", "signature", "A call whose webhook-timestamp was changed is refused.", mend=_STANDARD)
async def _other_timestamp(probe: Probe) -> None:
    stamp = str(int(probe.now()) - 1)
    await _refused(probe, "a call with another timestamp than the signed one", change={"webhook-timestamp": stamp})


@check("old", "signature", "A call that was signed ten minutes ago is refused.", mend=_TIME)
async def _old(probe: Probe) -> None:
    await _refused(probe, "a call of ten minutes ago", at=probe.now() - _OLD_SECONDS)


@check("future", "signature", "A call that is signed for in ten minutes is refused.", mend=_TIME)
async def _future(probe: Probe) -> None:
    await _refused(probe, "a call of the time in ten minutes", at=probe.now() + _OLD_SECONDS)


@check("odd-timestamp", "signature", "A timestamp that is no plain whole number is refused.", mend=_INTEGER)
async def _odd_timestamp(probe: Probe) -> None:
    now = int(probe.now())
    for odd in (f"+{now}", f"{now}.0", f"0{now}", f"{now}e0", "now", "NaN", "9" * 400):
        await _refused(probe, f"webhook-timestamp: {odd[:20]}", change={"webhook-timestamp": odd})


@check("empty-signature", "signature", "An empty or garbled signature is refused.", mend=_STANDARD)
async def _empty_signature(probe: Probe) -> None:
    for garbled in (",", "v1", "v1,", "v1,!!!", "v1," + "A" * 43, "v1;AAAA", "v1," + "A" * 4_000):
        await _refused(probe, f"webhook-signature: {garbled[:20]}", change={"webhook-signature": garbled})


@check("other-scheme", "signature", "A right signature under an unknown scheme is refused.", mend=_STANDARD)
async def _other_scheme(probe: Probe) -> None:
    body = probe.body()
    headers = dict(probe.headers(body))
    headers["webhook-signature"] = headers["webhook-signature"].replace("v1,", "v9,")
    probe.refused(await probe.send(list(headers.items()), body), "a signature of the scheme v9")


@check(
    "rotation",
    "signature",
    "One right signature among several is enough.",
    mend="Compare with each signature in the header, separated by spaces: during a rotation there are several.",
)
async def _rotation(probe: Probe) -> None:
    body = probe.body()
    ident, now = message_id(), int(probe.now())
    wrong = _other().sign(ident, now, body, now)
    for several in ("{wrong} {right}", "{right} {wrong}", "v9,x {right}", "v1a,AAAA {right}"):
        headers = dict(probe.headers(body, ident=ident))
        headers["webhook-signature"] = several.format(wrong=wrong, right=headers["webhook-signature"])
        probe.good(await probe.send(list(headers.items()), body), "a call with several signatures, one of them right")
        ident = message_id()
        wrong = _other().sign(ident, now, body, now)


@check(
    "refusal-is-quiet",
    "signature",
    "A refusal does not show the right signature, the secret or a trace.",
    mend="Answer a refusal with a status and a short sentence.",
)
async def _refusal_is_quiet(probe: Probe) -> None:
    body, ident, now = probe.body(), message_id(), int(probe.now())
    right = probe.keys.sign(ident, now, body, now).partition(",")[2]
    response = await probe.send(probe.headers(body, ident=ident, change={"webhook-signature": "v1,AAAA"}), body)
    told = response.body + repr(response.headers).encode()
    must(right.encode() not in told, "the refusal shows the right signature")
    must(probe.target.secret.removeprefix("whsec_").encode() not in told, "the refusal shows the secret")
    must(b"Traceback (most recent call last)" not in told, "the refusal shows a trace")
