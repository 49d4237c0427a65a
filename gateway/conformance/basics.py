"""Checks of the first things: it can be reached, it answers an ordinary call with a reply that can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.conformance.check import NotAsked, check, must
from gateway.conformance.probe import FORMS, document
from gateway.model.ids import message_id
from gateway.wire import reply

if TYPE_CHECKING:
    from gateway.conformance.probe import Probe

_FORM_OF = {
    reply.JSON: "replace",
    reply.JSON_PATCH: "json-patch",
    reply.MERGE_PATCH: "merge-patch",
}


@check(
    "answers",
    "reply",
    "A signed call is answered with 200, 204 or 422.",
    mend="Check the URL, the secret and the type of query that the hook serves (--type, --capability).",
)
async def _answers(probe: Probe) -> None:
    response = await probe.usual()
    must(response.status in {200, 204, 422}, f"status {response.status}")


@check(
    "usable",
    "reply",
    "The reply is one that the gateway can apply.",
    mend="Answer 204 without a body, or 200 with a whole result, a JSON Patch or a merge patch under its content type.",
)
async def _usable(probe: Probe) -> None:
    probe.good(await probe.usual(), "an ordinary call")


@check(
    "content-type",
    "reply",
    "A reply with a body says what it is, in UTF-8.",
    mend="Send content-type application/json, application/json-patch+json or application/merge-patch+json.",
)
async def _content_type(probe: Probe) -> None:
    response = await probe.usual()
    if response.status != 200:
        raise NotAsked(f"the reply has status {response.status}")
    kind = response.header("content-type")
    must(kind is not None, "content-type is absent")
    media, _, parameters = str(kind).partition(";")
    must(media.strip().lower() in _FORM_OF, f"content-type is {media.strip()[:60]!r}")
    charset = parameters.lower().replace(" ", "").replace('"', "").partition("charset=")[2].partition(";")[0]
    must(charset in {"", "utf-8", "utf8"}, f"charset is {charset!r}; JSON is UTF-8")


@check(
    "empty-204",
    "reply",
    "A 204 has no body.",
    mend="Send no body with 204; answer 200 where there is one.",
)
async def _empty_204(probe: Probe) -> None:
    response = await probe.usual()
    if response.status != 204:
        raise NotAsked(f"the reply has status {response.status}")
    must(not response.body, f"it has {len(response.body)} bytes")


@check(
    "patch-fits",
    "reply",
    "A patch fits the result that was sent.",
    mend="Make patches from the very result of the call; test paths that may be absent.",
)
async def _patch_fits(probe: Probe) -> None:
    response = await probe.usual()
    if _FORM_OF.get(_media(response.header("content-type"))) not in {"json-patch", "merge-patch"}:
        raise NotAsked("the reply is no patch")
    probe.understood(response)


@check(
    "claimed-forms",
    "reply",
    "Each reply form that was claimed is seen.",
    mend="Give a --params and --result for which the hook answers so, or do not claim the form.",
)
async def _claimed_forms(probe: Probe) -> None:
    claims = probe.target.claims
    if not claims:
        raise NotAsked("no form was claimed (--claims)")
    seen = set()
    for response in (await probe.usual(), await probe.call(result={}), await probe.call(result=[])):
        if response.status == 204:
            seen.add("unchanged")
        elif response.status == 200:
            seen.add(_FORM_OF.get(_media(response.header("content-type")), "other"))
    must(claims <= seen, f"not seen: {', '.join(sorted(claims - seen))} of {', '.join(sorted(FORMS))}")


@check(
    "accept",
    "reply",
    "A call that accepts whole results only gets no patch.",
    mend="Look at the header accept before you choose a patch.",
)
async def _accept(probe: Probe) -> None:
    response = await probe.call(change={"accept": reply.JSON})
    if response.status != 200:
        probe.good(response, "a call that accepts application/json")
        return
    must(_media(response.header("content-type")) == reply.JSON, f"it got {response.header('content-type')!r:.80}")


@check(
    "no-redirect",
    "reply",
    "A call is not answered with a redirect.",
    mend="Register the URL that answers; the gateway follows no redirect.",
)
async def _no_redirect(probe: Probe) -> None:
    response = await probe.usual()
    must(not 300 <= response.status <= 399, f"status {response.status} to {response.header('location')!r:.80}")


@check(
    "no-cookies",
    "reply",
    "No cookie is set.",
    mend="Leave sessions out of the hook's path; the gateway keeps no cookie.",
)
async def _no_cookies(probe: Probe) -> None:
    must((await probe.usual()).header("set-cookie") is None, "set-cookie is there")


@check(
    "not-compressed",
    "reply",
    "The reply is not compressed, as nobody asked for it.",
    mend="Compress only where accept-encoding allows it.",
)
async def _not_compressed(probe: Probe) -> None:
    encoding = (await probe.usual()).header("content-encoding")
    must(encoding in {None, "identity"}, f"content-encoding is {encoding!r:.40}")


@check(
    "keep-alive",
    "reply",
    "Calls one after another on one connection are all answered.",
    mend="Answer each request with its exact content-length, and read each request's body to its end.",
)
async def _keep_alive(probe: Probe) -> None:
    for number in range(5):
        probe.good(await probe.call(), f"call {number + 1} of 5")


@check(
    "signed-replies",
    "reply",
    "Replies are signed, bound to their call by its webhook-id.",
    mend="Sign the reply's raw body with the same secret, under the call's webhook-id and the present time.",
)
async def _signed_replies(probe: Probe) -> None:
    if not probe.target.signed_replies:
        raise NotAsked("signed replies were not asked for (--signed-replies)")
    for _ in range(2):
        ident = message_id()
        probe.signed(await probe.call(ident=ident), ident)


# ---------------------------------------------------------------- ownership and health


@check(
    "ownership",
    "ownership",
    "OPTIONS with WebHook-Request-Origin is answered with WebHook-Allowed-Origin.",
    mend="Answer OPTIONS on the hook's path with 200 and WebHook-Allowed-Origin: the origin that asked, or *.",
)
async def _ownership(probe: Probe) -> None:
    origin = probe.target.origin
    response = await probe.send([("webhook-request-origin", origin)], b"", method="OPTIONS")
    must(200 <= response.status <= 299, f"status {response.status}")
    allowed = (response.header("webhook-allowed-origin") or "").strip()
    must(allowed == "*" or allowed.lower() == origin.lower(), f"webhook-allowed-origin is {allowed[:60]!r}")


@check(
    "health",
    "health",
    "A signed question for health is answered with 200 and its id.",
    mend='Answer POST on the health path with 200 and {"id": …} holding the id of the request.',
)
async def _health(probe: Probe) -> None:
    endpoint, (headers, body, ident) = probe.health_endpoint(), _health_call(probe)
    response = await probe.send(headers, body, endpoint=endpoint)
    must(response.status == 200, f"status {response.status}")
    answer = document(response.body)
    must(isinstance(answer, dict) and answer.get("id") == ident, "the answer does not have the id of the request")


@check(
    "health-unsigned",
    "health",
    "A question for health without a signature is refused.",
    mend="Verify health requests like calls.",
)
async def _health_unsigned(probe: Probe) -> None:
    endpoint, (headers, body, _) = probe.health_endpoint(), _health_call(probe)
    bare = [(name, value) for name, value in headers if name != "webhook-signature"]
    probe.refused(await probe.send(bare, body, endpoint=endpoint), "a health request without a signature")


@check(
    "health-signed-reply",
    "health",
    "The answer about health is signed, where replies are.",
    mend="Sign the answer like any reply.",
)
async def _health_signed_reply(probe: Probe) -> None:
    endpoint = probe.health_endpoint()
    if not probe.target.signed_replies:
        raise NotAsked("signed replies were not asked for (--signed-replies)")
    headers, body, ident = _health_call(probe)
    probe.signed(await probe.send(headers, body, endpoint=endpoint), ident)


def _health_call(probe: Probe) -> tuple[list[tuple[str, str]], bytes, str]:
    ident = message_id()
    body = b'{"id":"%b","name":"verify","timestamp":%d}' % (ident.encode(), int(probe.now()))
    return probe.headers(body, ident=ident, change={"content-type": "application/json"}), body, ident


def _media(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()
