"""Tier two by API: declaring, changing, enabling, disabling."""

from __future__ import annotations

import asyncio

import pytest

FULL = {
    "name": "price-fx",
    "path": "/price-fx?v=2",
    "types": ["search", "question"],
    "capabilities": ["prices"],
    "tenants": None,
    "order": 5,
    "timeout_ms": 250,
    "failure_policy": "fail",
    "delivery": "binary",
    "max_concurrency": 20,
    "on_overload": "skip",
    "retry": True,
    "condition": "query.type == 'search'",
    "reads": ["/rows/*/price"],
    "writes": ["/rows/*/price"],
    "on_violation": "drop",
    "max_growth": 1.5,
    "row_count": "same",
    "keep": ["/rows/*/id"],
    "result_schema": {"type": "object"},
    "granularity": "rows",
    "rows_at": "/rows",
    "batch_rows": 100,
    "coalesce": True,
    "cache": False,
    "mode": "canary",
    "percent": 5,
    "sticky_by": "query",
    "bounds": {"failure_percent": 5, "p95_ms": 200, "change_percent": 50, "min_calls": 20},
}


@pytest.fixture
async def owner(api):
    made = await api.integration("prices", envelope={"failure_policy": "fail"})
    return api.as_(made["api_key"])


async def test_a_new_hook_is_disabled_and_told_in_full(owner):
    reply = await owner("POST", "/v1/hooks", FULL)
    assert reply.status == 201
    made = reply.json
    assert reply.headers["location"] == f"/v1/hooks/{made['id']}"
    assert reply.headers["etag"] == '"1"'
    assert made == {
        **FULL,
        "types": ["question", "search"],
        "id": made["id"],
        "integration_id": made["integration_id"],
        "enabled": False,
        "state": "disabled",
        "generation": 2,
        "reason": None,
        "lease_expires_at": None,
        "version": 1,
        "created_at": "2026-09-21T14:13:20.250Z",
        "updated_at": "2026-09-21T14:13:20.250Z",
    }
    assert (await owner("GET", reply.headers["location"])).json == made


async def test_what_is_left_out_of_a_hook_has_its_default(owner):
    made = await owner.hook("a")
    expected = {"types": None, "capabilities": None, "tenants": None, "order": 0, "timeout_ms": None,
                "failure_policy": "ignore", "delivery": "structured", "max_concurrency": None,
                "on_overload": "wait", "retry": False}  # fmt: skip
    assert {name: made[name] for name in expected} == expected


async def test_a_hook_name_that_is_taken_in_the_integration_gets_409(api, owner):
    await owner.hook("a")
    assert (await owner("POST", "/v1/hooks", {"name": "a", "path": "/other"})).status == 409
    other = await api.integration("other")
    assert (await api.as_(other["api_key"]).hook("a"))["name"] == "a"


async def test_replacing_the_whole_set_keeps_what_keeps_its_name(owner):
    kept, gone = await owner.hook("kept"), await owner.hook("gone")
    await owner("POST", f"/v1/hooks/{kept['id']}/enable")
    reply = await owner(
        "PUT", "/v1/hooks", [{"name": "kept", "path": "/kept", "order": 9}, {"name": "new", "path": "/n"}]
    )
    assert reply.status == 200
    assert reply.json["next_cursor"] is None
    by_name = {hook["name"]: hook for hook in reply.json["items"]}
    assert set(by_name) == {"kept", "new"}
    assert (by_name["kept"]["id"], by_name["kept"]["enabled"], by_name["kept"]["order"]) == (kept["id"], True, 9)
    assert by_name["new"]["enabled"] is False
    assert (await owner("GET", f"/v1/hooks/{gone['id']}")).status == 404


async def test_an_empty_list_removes_every_hook(owner):
    await owner.hook("a")
    assert (await owner("PUT", "/v1/hooks", [])).json == {"items": [], "next_cursor": None}
    assert (await owner("GET", "/v1/hooks")).json == {"items": [], "next_cursor": None}


async def test_one_wrong_hook_in_a_list_changes_nothing_and_is_named_by_its_place(owner):
    await owner.hook("a")
    reply = await owner("PUT", "/v1/hooks", [{"name": "b", "path": "/b"}, {"name": "c", "path": "c"}])
    assert reply.status == 422
    assert [error["field"] for error in reply.json["errors"]] == ["/1/path"]
    assert [hook["name"] for hook in (await owner("GET", "/v1/hooks")).json["items"]] == ["a"]


async def test_a_change_of_a_hook_touches_what_it_names_and_null_brings_a_default_back(owner):
    made = (await owner("POST", "/v1/hooks", FULL)).json
    changed = (await owner("PATCH", f"/v1/hooks/{made['id']}", {"types": None, "timeout_ms": None, "order": 1})).json
    untouched = {"version", "generation", "updated_at"}
    assert {k: v for k, v in changed.items() if k not in untouched} == {
        k: v for k, v in {**made, "types": None, "timeout_ms": None, "order": 1}.items() if k not in untouched
    }
    assert changed["version"] == 2


@pytest.mark.parametrize("body", [None, {}])
async def test_enable_and_disable_need_no_body(owner, body):
    made = await owner.hook()
    enabled = await owner("POST", f"/v1/hooks/{made['id']}/enable", body)
    assert (enabled.status, enabled.json["enabled"], enabled.json["state"]) == (200, True, "enabled")
    assert enabled.json["generation"] > made["generation"]
    disabled = await owner("POST", f"/v1/hooks/{made['id']}/disable", body)
    assert (disabled.status, disabled.json["enabled"], disabled.json["state"]) == (200, False, "disabled")
    assert disabled.json["generation"] > enabled.json["generation"]


async def test_an_enabled_hook_serves_the_next_query_and_a_disabled_one_does_not(api, owner):
    made = await owner.hook()
    await owner("POST", f"/v1/hooks/{made['id']}/enable")
    assert [hook.hook_id for hook in api.registry.snapshot.select("search", None, None)] == [made["id"]]
    await owner("POST", f"/v1/hooks/{made['id']}/disable")
    assert api.registry.snapshot.select("search", None, None) == ()


async def test_a_lease_is_told_and_renewed_by_enabling_again_and_ended_by_enabling_without_one(api, owner):
    path = f"/v1/hooks/{(await owner.hook())['id']}/enable"
    assert (await owner("POST", path, {"lease_seconds": 60})).json["lease_expires_at"] == "2026-09-21T14:14:20.250Z"
    api.clock.now += 30
    assert (await owner("POST", path, {"lease_seconds": 60})).json["lease_expires_at"] == "2026-09-21T14:14:50.250Z"
    assert (await owner("POST", path)).json["lease_expires_at"] is None


@pytest.mark.parametrize("seconds", [0, 0.5, -1, 30 * 86400 + 1, 1e300, "60", True, [60]])
async def test_a_lease_is_a_number_from_one_second_to_thirty_days(owner, seconds):
    made = await owner.hook()
    reply = await owner("POST", f"/v1/hooks/{made['id']}/enable", {"lease_seconds": seconds})
    assert reply.status == 422
    assert [error["field"] for error in reply.json["errors"]] == ["/lease_seconds"]


@pytest.mark.parametrize("seconds", [1, 1.5, 30 * 86400, None])
async def test_a_lease_within_the_bounds_is_taken(owner, seconds):
    made = await owner.hook()
    assert (await owner("POST", f"/v1/hooks/{made['id']}/enable", {"lease_seconds": seconds})).status == 200


async def test_the_reason_of_a_disabling_is_shown_until_it_is_enabled_again(owner):
    path = f"/v1/hooks/{(await owner.hook())['id']}"
    await owner("POST", f"{path}/enable")
    await owner("POST", f"{path}/disable", {"reason": "maintenance"})
    assert (await owner("GET", path)).json["reason"] == "maintenance"
    assert (await owner("POST", f"{path}/enable")).json["reason"] is None


async def test_disabling_with_drain_answers_once_no_older_call_is_in_flight(api, owner):
    made = await owner.hook()
    await owner("POST", f"/v1/hooks/{made['id']}/enable")
    (bound,) = api.registry.snapshot.select("search", None, None)
    bound.in_flight.count += 1
    drained = asyncio.ensure_future(owner("POST", f"/v1/hooks/{made['id']}/disable", {"drain": True}))
    while (await owner("GET", f"/v1/hooks/{made['id']}")).json["enabled"]:
        pass
    assert not drained.done()
    bound.in_flight.leave()
    assert (await drained).json["enabled"] is False


async def test_many_hooks_are_switched_in_one_step_that_has_one_generation(owner):
    a, b, c = await owner.hook("a", types=["search"]), await owner.hook("b", types=["form"]), await owner.hook("c")
    on = await owner("POST", "/v1/hooks:enable", {"types": ["search"]})
    assert on.status == 200
    assert on.json["next_cursor"] is None
    assert {hook["id"] for hook in on.json["items"]} == {a["id"], c["id"]}
    assert {hook["generation"] for hook in on.json["items"]} == {on.json["generation"]}
    off = await owner("POST", "/v1/hooks:disable", {"ids": [a["id"], b["id"], c["id"]], "reason": "night"})
    assert [(hook["enabled"], hook["reason"]) for hook in off.json["items"]] == [(False, "night")] * 3
    assert off.json["generation"] > on.json["generation"]


async def test_many_hooks_can_be_chosen_by_capability_and_all_criteria_must_fit(owner):
    await owner.hook("a", capabilities=["prices"], types=["search"])
    b = await owner.hook("b", capabilities=["prices"], types=["form"])
    reply = await owner(
        "POST", "/v1/hooks:enable", {"capabilities": ["prices"], "types": ["form"], "lease_seconds": 60}
    )
    assert [hook["id"] for hook in reply.json["items"]] == [b["id"]]
    assert reply.json["items"][0]["lease_expires_at"] == "2026-09-21T14:14:20.250Z"


async def test_a_choice_that_fits_no_hook_changes_nothing_and_is_no_error(api, owner):
    await owner.hook("a", types=["search"])
    reply = await owner("POST", "/v1/hooks:disable", {"types": ["form"]})
    assert (reply.status, reply.json["items"]) == (200, [])
    assert reply.json["generation"] == api.registry.generation


@pytest.mark.parametrize("body", [{}, {"lease_seconds": 60}, {"ids": []}, {"ids": None}, {"types": [""]}])
async def test_a_choice_must_name_something(owner, body):
    assert (await owner("POST", "/v1/hooks:enable", body)).status == 422


async def test_one_unknown_id_in_a_choice_gets_404_and_changes_nothing(owner):
    made = await owner.hook()
    assert (await owner("POST", "/v1/hooks:enable", {"ids": [made["id"], "hk_none"]})).status == 404
    assert (await owner("GET", f"/v1/hooks/{made['id']}")).json["enabled"] is False


async def test_hooks_are_listed_by_integration_name_then_order_then_name_across_pages(api):
    second, first = await api.integration("beta"), await api.integration("alpha")
    await api.as_(second["api_key"])("PUT", "/v1/hooks", [{"name": "x", "path": "/x"}])
    hooks = [{"name": "m", "path": "/m", "order": 2}, {"name": "b", "path": "/b"}, {"name": "a", "path": "/a"}]
    await api.as_(first["api_key"])("PUT", "/v1/hooks", hooks)
    names, cursor = [], None
    while True:
        params = {"limit": "1", **({"cursor": cursor} if cursor else {})}
        page = (await api("GET", "/v1/hooks", params=params)).json
        names += [hook["name"] for hook in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert names == ["a", "b", "m", "x"]


async def test_removing_a_hook_answers_nothing_and_it_is_gone(owner):
    path = f"/v1/hooks/{(await owner.hook())['id']}"
    reply = await owner("DELETE", path)
    assert (reply.status, reply.body) == (204, b"")
    assert (await owner("DELETE", path)).status == 404
