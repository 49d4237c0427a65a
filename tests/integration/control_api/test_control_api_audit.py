"""Who changed what, over the API."""

from __future__ import annotations

import pytest

from gateway.errors import StoreError
from gateway.model import EMBEDDED, GATEWAY
from gateway.registry import IntegrationDraft
from gateway.stores import AuditQuery


async def log(api, **params):
    reply = await api("GET", "/v1/audit", params=params)
    assert reply.status == 200, reply.body
    return reply.json["items"]


async def test_each_change_says_who_what_before_and_after(api, clock):
    made = await api.integration("prices")
    server = api.as_(made["api_key"])
    hook = await server.hook("fx", timeout_ms=200)
    await server("PATCH", f"/v1/hooks/{hook['id']}", {"timeout_ms": 300, "types": ["search"]})
    clock.now += 60
    await api("POST", f"/v1/hooks/{hook['id']}/enable", {})
    registered, created, changed, enabled = reversed(await log(api))

    assert [e["action"] for e in (registered, created, changed, enabled)] == [
        "integration.registered", "hook.created", "hook.changed", "hook.enabled"
    ]  # fmt: skip
    fingerprint = api.registry.fingerprint("operator-key")
    assert registered["who"] == {"kind": "operator", "id": fingerprint, "name": None, "address": "127.0.0.1"}
    assert created["who"] == {"kind": "integration", "id": made["id"], "name": "prices", "address": "127.0.0.1"}
    assert (registered["before"], created["before"]) == (None, None)
    assert registered["after"]["base_url"] == "https://hooks.example.com"
    assert changed["before"] == {"timeout_ms": 200, "types": None}
    assert changed["after"] == {"timeout_ms": 300, "types": ["search"]}
    assert (enabled["before"]["enabled"], enabled["after"]["enabled"]) == (False, True)
    assert (enabled["hook_id"], enabled["hook"], enabled["integration"]) == (hook["id"], "fx", "prices")
    assert enabled["at"] == "2026-09-21T14:14:20.250Z"
    assert [e["generation"] for e in (registered, created, changed, enabled)] == [1, 2, 3, 4]


async def test_what_changed_nothing_or_was_refused_is_no_change(api):
    made = await api.integration()
    before = await log(api)
    await api("PATCH", f"/v1/integrations/{made['id']}", {"priority": 0})
    await api("PATCH", f"/v1/integrations/{made['id']}", {"priority": 1}, headers={"if-match": '"99"'})
    await api("POST", "/v1/integrations", {"name": made["name"], "base_url": "https://hooks.example.com"})
    await api.as_("gwk_wrong")("DELETE", f"/v1/integrations/{made['id']}")
    assert await log(api) == before


async def test_a_narrower_envelope_tells_only_what_differs_in_it(api):
    made = await api.integration(envelope={"types": ["a", "b"], "max_timeout_ms": 500})
    await api.hook("fx", integration=made["id"])
    await api("PATCH", f"/v1/integrations/{made['id']}", {"envelope": {"types": ["a"]}})
    newest = (await log(api))[0]
    assert newest["action"] == "integration.changed"
    assert newest["before"] == {"envelope": {"types": ["a", "b"]}}
    assert newest["after"] == {"envelope": {"types": ["a"]}}


async def test_a_rotation_tells_when_credentials_hold_and_nothing_of_them(api):
    made = await api.integration()
    rotated = [
        (await api("POST", f"/v1/integrations/{made['id']}/credentials", {"what": what, "grace_seconds": 60})).json
        for what in ("api_key", "secret")
    ]
    reply = await api("GET", "/v1/audit")
    assert [e["action"] for e in reply.json["items"][:2]] == ["integration.rotated"] * 2
    assert [len(reply.json["items"][0][side]["secrets"]) for side in ("before", "after")] == [1, 2]
    for secret in (made["api_key"], made["secret"], rotated[0]["api_key"], rotated[1]["secret"]):
        assert secret.encode() not in reply.body
        assert secret.rpartition("_")[2].encode() not in reply.body


async def test_removing_an_integration_tells_of_each_of_its_hooks_too_and_stays_there(api):
    made = await api.integration("prices")
    for name in ("a", "b"):
        await api.hook(name, integration=made["id"])
    await api("DELETE", f"/v1/integrations/{made['id']}")
    entries = await log(api, integration=made["id"])
    assert [(e["action"], e["hook"]) for e in entries[:3]] == [
        ("integration.removed", None), ("hook.removed", "b"), ("hook.removed", "a")
    ]  # fmt: skip
    assert all(e["after"] is None and e["before"] is not None for e in entries[:3])


async def test_what_the_gateway_does_by_itself_and_what_the_embedding_program_does(api, clock):
    made = await api.registry.register(IntegrationDraft("mine", "https://hooks.example.com"))
    hook = await api.hook("fx", integration=made.integration.id)
    await api("POST", f"/v1/hooks/{hook['id']}/enable", {"lease_seconds": 60})
    clock.now += 30
    for _ in range(3):
        await api("POST", f"/v1/hooks/{hook['id']}/enable", {"lease_seconds": 60})
        clock.now += 10
    clock.now += 61
    await api.registry.expire_leases()
    entries = await api.registry.audit(AuditQuery())
    assert [(e.action, e.actor) for e in (entries[0], entries[-1])] == [
        ("hook.disabled", GATEWAY), ("integration.registered", EMBEDDED)
    ]  # fmt: skip
    assert [e.action for e in entries].count("hook.renewed") == 1
    assert "lease" in entries[0].after["reason"]
    assert [e["who"]["kind"] for e in await log(api, who="gateway")] == ["gateway"]


async def test_an_integration_sees_its_own_entries_and_no_address_of_others(api):
    mine, theirs = await api.integration("mine"), await api.integration("theirs")
    me = api.as_(mine["api_key"])
    await me.hook("a")
    their_hook = await api.as_(theirs["api_key"]).hook("b")
    entries = await log(me)
    assert {e["integration_id"] for e in entries} == {mine["id"]}
    assert {(e["who"]["kind"], e["who"]["address"]) for e in entries} == {
        ("operator", None), ("integration", "127.0.0.1")
    }  # fmt: skip
    assert await log(me, hook=their_hook["id"]) == await log(me, hook="hk_0000000000000000") == []
    assert await log(me, who=theirs["id"]) == []
    assert (await me("GET", "/v1/audit", params={"integration": theirs["id"]})).status == 404
    assert (await api.as_(None)("GET", "/v1/audit")).status == 401


async def test_it_is_asked_by_time(api, clock):
    for name in ("a", "b", "c"):
        await api.integration(name)
        clock.now += 3600
    assert [
        e["integration"] for e in await log(api, since="2026-09-21T15:13:20Z", until="2026-09-21T17:13:20+01:00")
    ] == ["b"]
    for wrong in ("yesterday", "2026-09-21", "2026-13-21T00:00:00Z", "2026-09-21T00:00:00"):
        assert (await api("GET", "/v1/audit", params={"since": wrong})).status == 422, wrong


async def test_pages_follow_each_other_without_gap_or_repetition_while_changes_go_on(api):
    for n in range(7):
        await api.integration(f"i{n}")
    seen, cursor = [], None
    while True:
        params = {"limit": "3", **({"cursor": cursor} if cursor else {})}
        page = (await api("GET", "/v1/audit", params=params)).json
        seen += [e["integration"] for e in page["items"]]
        await api.integration(f"later{len(seen)}")
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [f"i{n}" for n in reversed(range(7))]
    for wrong in ("x", "-1", "9" * 30, "1.5"):
        assert (await api("GET", "/v1/audit", params={"cursor": wrong})).status == 422


async def test_a_change_that_could_not_be_kept_is_not_in_the_log(api, monkeypatch):
    made = await api.integration()
    before = await log(api)

    async def commit(_change):
        raise StoreError

    with monkeypatch.context() as patch:
        patch.setattr(api.store, "commit", commit)
        assert (await api("PATCH", f"/v1/integrations/{made['id']}", {"priority": 9})).status == 503
    assert await log(api) == before


async def test_too_many_wrong_keys_are_answered_with_429_even_if_one_would_be_right(api):
    for n in range(20):
        assert (await api.as_(f"gwk_wrong{n}")("GET", "/v1/hooks")).status == 401
    reply = await api("GET", "/v1/hooks")
    assert reply.status == 429
    assert 1 <= int(reply.headers["retry-after"]) <= 60
    assert (await api.as_(None)("GET", "/healthz")).status == 200
    metrics = (await api.as_(None)("GET", "/metrics")).body
    assert b'gateway_auth_failures_total{answer="wrong"} 20.0' in metrics
    assert b'gateway_auth_failures_total{answer="refused"} 1.0' in metrics


async def test_a_right_key_in_between_begins_anew_and_no_key_at_all_counts_nothing(api):
    for _ in range(3):
        for n in range(15):
            await api.as_(f"gwk_wrong{n}")("GET", "/v1/hooks")
            await api.as_(None)("GET", "/v1/hooks")
        assert (await api("GET", "/v1/hooks")).status == 200


@pytest.mark.parametrize("path", ["/healthz", "/openapi.json", "/v1/hooks", "/v1/none"])
async def test_every_answer_tells_browsers_to_keep_their_hands_off(api, path):
    headers = (await api("GET", path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cache-control"]
    assert not {"access-control-allow-origin", "set-cookie"} & {name.lower() for name in headers}
    assert headers["server"] == "gateway"
