"""Tier one by API: registering, reading, changing, removing, rotating."""

from __future__ import annotations

from typing import Any

import pytest

FULL: dict[str, Any] = {
    "name": "prices",
    "base_url": "https://hooks.example.com/query",
    "priority": 10,
    "envelope": {
        "types": ["search", "question"],
        "capabilities": None,
        "tenants": ["acme"],
        "max_timeout_ms": 2000,
        "failure_policy": "fail",
        "may_reject": True,
        "signed_replies": True,
        "reads": ["/rows"],
        "writes": [],
        "modes": ["active", "shadow"],
        "max_cache_seconds": 60,
        "max_growth": 2,
        "row_count": "may_shrink",
        "rows_at": "/rows",
        "keep": ["/rows/*/id"],
        "result_schema": {"type": "object"},
    },
    "health_path": "/health",
    "enabled": False,
}


async def test_registering_answers_the_integration_with_its_credentials_and_where_it_is(api):
    reply = await api("POST", "/v1/integrations", FULL)
    assert reply.status == 201
    made = reply.json
    assert reply.headers["location"] == f"/v1/integrations/{made['id']}"
    assert reply.headers["etag"] == '"1"'
    assert reply.headers["cache-control"] == "no-store"
    assert made.pop("api_key").startswith("gwk_")
    assert made.pop("secret").startswith("whsec_")
    assert made == {
        **FULL,
        "envelope": {**FULL["envelope"], "types": ["question", "search"]},
        "id": made["id"],
        "reply_public_keys": [],
        "signing_public_keys": [],
        "tls": None,
        "health": None,
        "version": 1,
        "created_at": "2026-09-21T14:13:20.250Z",
        "updated_at": "2026-09-21T14:13:20.250Z",
    }


async def test_what_is_left_out_has_its_default(api):
    made = await api.integration("prices")
    assert made["priority"] == 0
    assert made["enabled"] is True
    assert made["health_path"] is None
    assert made["envelope"] == {
        "types": None,
        "capabilities": None,
        "tenants": None,
        "max_timeout_ms": None,
        "failure_policy": "ignore",
        "may_reject": False,
        "signed_replies": False,
        "reads": None,
        "writes": None,
        "modes": None,
        "max_cache_seconds": None,
        "max_growth": None,
        "row_count": None,
        "rows_at": None,
        "keep": None,
        "result_schema": None,
    }


async def test_credentials_are_shown_only_when_they_are_made(api):
    made = await api.integration("prices")
    for reply in (
        await api("GET", f"/v1/integrations/{made['id']}"),
        await api("GET", "/v1/integrations"),
        await api("PATCH", f"/v1/integrations/{made['id']}", {"priority": 1}),
    ):
        assert reply.status == 200
        for secret in (made["api_key"], made["secret"], api.registry.integration(made["id"]).api_keys[0].digest):
            assert secret.encode() not in reply.body


async def test_a_name_that_is_taken_gets_409(api):
    await api.integration("prices")
    reply = await api("POST", "/v1/integrations", {"name": "prices", "base_url": "https://other.example.com"})
    assert reply.status == 409
    assert "prices" in reply.json["detail"]


async def test_a_change_touches_what_it_names_and_nothing_else(api):
    made = (await api("POST", "/v1/integrations", FULL)).json
    path = f"/v1/integrations/{made['id']}"
    api.clock.now += 60
    reply = await api("PATCH", path, {"priority": -5, "envelope": {"types": None, "max_timeout_ms": 500}})
    assert reply.status == 200
    assert reply.headers["etag"] == '"2"'
    changed = reply.json
    assert (changed["priority"], changed["version"]) == (-5, 2)
    assert changed["envelope"] == {**made["envelope"], "types": None, "max_timeout_ms": 500}
    assert changed["updated_at"] == "2026-09-21T14:14:20.250Z"
    assert changed["base_url"] == made["base_url"]
    assert (await api("PATCH", path, {"health_path": None})).json["health_path"] is None


@pytest.mark.parametrize(
    "content_type", ["application/merge-patch+json", "application/json", "application/json; charset=UTF-8"]
)
async def test_a_change_is_a_merge_patch_by_either_name(api, content_type):
    made = await api.integration()
    reply = await api(
        "PATCH", f"/v1/integrations/{made['id']}", data=b'{"enabled": false}', headers={"content-type": content_type}
    )
    assert (reply.status, reply.json["enabled"]) == (200, False)


async def test_removing_an_integration_takes_its_hooks_and_its_key_with_it(api):
    made = await api.integration()
    hook = await api.as_(made["api_key"]).hook()
    removed = await api("DELETE", f"/v1/integrations/{made['id']}")
    assert (removed.status, removed.body) == (204, b"")
    assert (await api("GET", f"/v1/integrations/{made['id']}")).status == 404
    assert (await api("GET", f"/v1/hooks/{hook['id']}")).status == 404
    assert (await api.as_(made["api_key"])("GET", "/v1/hooks")).status == 401


async def test_the_list_is_sorted_by_name_and_paged_by_an_opaque_cursor(api):
    for name in ("delta", "alpha", "echo", "bravo", "charlie"):
        await api.integration(name)
    names, cursor, sizes = [], None, []
    while True:
        page = (
            await api("GET", "/v1/integrations", params={"limit": "2", **({"cursor": cursor} if cursor else {})})
        ).json
        names += [each["name"] for each in page["items"]]
        sizes.append(len(page["items"]))
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert names == ["alpha", "bravo", "charlie", "delta", "echo"]
    assert sizes == [2, 2, 1]


async def test_paging_goes_on_rightly_when_the_list_changes_in_between(api):
    made = [await api.integration(name) for name in ("a1", "b1", "c1", "d1")]
    first = (await api("GET", "/v1/integrations?limit=2")).json
    await api("DELETE", f"/v1/integrations/{made[1]['id']}")
    await api.integration("a0")
    rest = (await api("GET", "/v1/integrations", params={"cursor": first["next_cursor"]})).json
    assert [each["name"] for each in rest["items"]] == ["c1", "d1"]


async def test_the_default_page_has_fifty(api):
    for number in range(51):
        await api.integration(f"i{number:02}")
    page = (await api("GET", "/v1/integrations")).json
    assert len(page["items"]) == 50
    assert page["next_cursor"] is not None


@pytest.mark.parametrize("what", ["api_key", "secret"])
async def test_rotating_answers_the_new_credential_and_until_when_the_old_one_holds(api, what):
    made = await api.integration()
    reply = await api("POST", f"/v1/integrations/{made['id']}/credentials", {"what": what, "grace_seconds": 60})
    assert reply.status == 200
    assert reply.headers["cache-control"] == "no-store"
    assert reply.json["what"] == what
    assert reply.json["previous_expires_at"] == "2026-09-21T14:14:20.250Z"
    assert set(reply.json) == {"what", what, "previous_expires_at"}
    assert reply.json[what] != made[what]


async def test_both_keys_hold_during_the_grace_and_only_the_new_one_after_it(api):
    made = await api.integration()
    rotated = await api("POST", f"/v1/integrations/{made['id']}/credentials", {"what": "api_key", "grace_seconds": 60})
    old, new = api.as_(made["api_key"]), api.as_(rotated.json["api_key"])
    assert [(await key("GET", "/v1/hooks")).status for key in (old, new)] == [200, 200]
    api.clock.now += 61
    assert [(await key("GET", "/v1/hooks")).status for key in (old, new)] == [401, 200]


async def test_the_grace_is_an_hour_unless_said_otherwise_and_zero_ends_the_old_key_at_once(api):
    made = await api.integration()
    path = f"/v1/integrations/{made['id']}/credentials"
    first = await api("POST", path, {"what": "api_key"})
    assert first.json["previous_expires_at"] == "2026-09-21T15:13:20.250Z"
    await api("POST", path, {"what": "api_key", "grace_seconds": 0})
    assert (await api.as_(first.json["api_key"])("GET", "/v1/hooks")).status == 401


@pytest.mark.parametrize("limit", ["0", "501", "-1", "x", "", "5.5", "1e2", " 5", "٣", "99999999999999999999"])
async def test_a_limit_out_of_range_is_refused_naming_it(api, limit):
    reply = await api("GET", "/v1/integrations", params={"limit": limit})
    assert reply.status == 422
    assert [error["field"] for error in reply.json["errors"]] == ["?limit"]


@pytest.mark.parametrize("cursor", ["", "x", "!!!", "e30", "W10", "WzFd", "bnVsbA", "WyJhIiwxLCJiIiwiYyJd", "é"])
async def test_a_cursor_that_was_never_given_is_refused_naming_it(api, cursor):
    await api.integration()
    reply = await api("GET", "/v1/integrations", params={"cursor": cursor})
    assert reply.status == 422
    assert [error["field"] for error in reply.json["errors"]] == ["?cursor"]
