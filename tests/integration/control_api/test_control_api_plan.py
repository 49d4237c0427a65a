"""What hooks and envelopes say of conditions, scope, post-conditions, rows, reuse and roll-out, by API."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.model import Mode

FULL: dict[str, Any] = {
    "condition": 'query.tenant == "acme"',
    "reads": ["/rows/*/price", "/meta"],
    "writes": ["/rows/*/price_eur"],
    "on_violation": "drop",
    "max_growth": 1.5,
    "row_count": "same",
    "keep": ["/rows/*/id"],
    "result_schema": {"type": "object", "required": ["rows"], "properties": {"rows": {"maxItems": 10**15}}},
    "granularity": "rows",
    "rows_at": "/rows",
    "batch_rows": 500,
    "coalesce": True,
    "cache": False,
    "mode": "canary",
    "percent": 12.5,
    "sticky_by": "query",
    "bounds": {"failure_percent": 1.5, "p95_ms": 250, "change_percent": None, "min_calls": 50},
}
DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(FULL),
    "on_violation": "fail",
    "granularity": "result",
    "coalesce": False,
    "cache": True,
    "mode": "active",
    "sticky_by": "tenant",
}
CEILING: dict[str, Any] = {
    "reads": ["/rows", "/meta"],
    "writes": ["/rows"],
    "modes": ["canary", "shadow"],
    "max_cache_seconds": 30.5,
    "max_growth": 2,
    "row_count": "may_shrink",
    "rows_at": "/rows",
    "keep": ["/rows/*/id"],
    "result_schema": {"type": "object"},
}


def wrong(reply):
    """The wrong fields that a 422 names, with what is said of each."""
    assert reply.status == 422, reply.body
    return {each["field"]: each["detail"] for each in reply.json["errors"]}


def part(of, like):
    return {name: of[name] for name in like}


@pytest.fixture
async def owner(api):
    made = await api.integration()
    return api.as_(made["api_key"])


async def test_what_a_hook_declares_is_told_again_and_lasts(owner):
    made = await owner.hook("fx", **FULL)
    assert part(made, FULL) == FULL
    assert part((await owner("GET", f"/v1/hooks/{made['id']}")).json, FULL) == FULL
    assert part((await owner.hook("plain")), DEFAULTS) == DEFAULTS


async def test_a_change_sets_and_clears_each_field(owner):
    made = await owner.hook("fx")
    path = f"/v1/hooks/{made['id']}"
    assert part((await owner("PATCH", path, FULL)).json, FULL) == FULL
    cleared = (await owner("PATCH", path, DEFAULTS)).json
    assert part(cleared, DEFAULTS) == DEFAULTS


async def test_a_change_of_bounds_leaves_the_others_and_a_schema_is_replaced_as_a_whole(owner):
    path = f"/v1/hooks/{(await owner.hook('fx', **FULL))['id']}"
    changed = (await owner("PATCH", path, {"bounds": {"p95_ms": 99}, "result_schema": {"minProperties": 1}})).json
    assert changed["bounds"] == {**FULL["bounds"], "p95_ms": 99}
    assert changed["result_schema"] == {"minProperties": 1}
    assert (await owner("PATCH", path, {"bounds": None})).json["bounds"] is None
    fresh = (await owner("PATCH", path, {"bounds": {"failure_percent": 5}})).json["bounds"]
    assert fresh == {"failure_percent": 5, "p95_ms": None, "change_percent": None, "min_calls": 20}


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"condition": 'query.type = "a"'}, "/condition", "line 1, column 12"),
        ({"condition": "query.tenant + 1"}, "/condition", "must be true or false"),
        ({"reads": ["a"]}, "/reads/0", "begin with '/'"),
        ({"reads": []}, "/reads", "at least 1"),
        ({"reads": "/a"}, "/reads", "must be a list"),
        ({"writes": ["/a", "/~"]}, "/writes/1", "'~'"),
        ({"reads": ["/secret"]}, "/reads/0", "outside the integration's envelope, which allows '/rows', '/meta'"),
        ({"writes": ["/meta"]}, "/writes/0", "outside the integration's envelope"),
        ({"mode": "active"}, "/mode", "outside the integration's envelope"),
        ({"mode": "canary"}, "/percent", "needed"),
        ({"mode": "canary", "percent": 101}, "/percent", "at most 100"),
        ({"percent": "5"}, "/percent", "not a string"),
        ({"granularity": "rows"}, "/rows_at", "needed"),
        ({"row_count": "same"}, "/rows_at", "needed"),
        ({"result_schema": {"type": "objekt"}}, "/result_schema/type", "no JSON Schema"),
        ({"result_schema": True}, "/result_schema", "must be an object"),
        ({"max_growth": 0.9}, "/max_growth", "at least 1"),
        ({"batch_rows": 0}, "/batch_rows", "at least 1"),
        ({"bounds": {"failure_percent": 101}}, "/bounds/failure_percent", "at most 100"),
        ({"bounds": {"p99_ms": 1}}, "/bounds/p99_ms", "did you mean 'p95_ms'"),
        ({"sticky_by": "user"}, "/sticky_by", "'tenant'"),
        ({"coalesce": 1}, "/coalesce", "true or false"),
    ],
)
async def test_what_cannot_be_is_refused_naming_the_place(api, change, field, said):
    made = await api.integration(envelope={"reads": ["/rows", "/meta"], "writes": ["/rows"], "modes": CEILING["modes"]})
    owner = api.as_(made["api_key"])
    hook = {"name": "a", "path": "/a", "mode": "shadow", **change}
    assert said in wrong(await owner("POST", "/v1/hooks", hook))[field]
    assert said in wrong(await owner("PUT", "/v1/hooks", [hook | {"name": "b"}, hook]))[f"/1{field}"]
    path = f"/v1/hooks/{(await owner.hook('c', mode='shadow'))['id']}"
    assert said in wrong(await owner("PATCH", path, change))[field]


async def test_an_envelope_has_its_part_of_it(api):
    made = await api.integration(envelope=CEILING)
    assert part(made["envelope"], CEILING) == CEILING
    changed = await api("PATCH", f"/v1/integrations/{made['id']}", {"envelope": {"modes": None, "keep": ["/a"]}})
    assert part(changed.json["envelope"], CEILING) == {**CEILING, "modes": None, "keep": ["/a"]}
    refused = await api("PATCH", f"/v1/integrations/{made['id']}", {"envelope": {"reads": ["rows"], "modes": []}})
    assert set(wrong(refused)) == {"/envelope/modes"}  # the form first, then the rules
    refused = await api("PATCH", f"/v1/integrations/{made['id']}", {"envelope": {"reads": ["rows"]}})
    assert set(wrong(refused)) == {"/envelope/reads/0"}


async def test_a_narrower_envelope_holds_for_hooks_that_exist(api, registry):
    made = await api.integration()
    hook = await api.as_(made["api_key"]).hook("fx", reads=["/rows"], mode="active")
    await registry.enable(hook["id"])
    assert registry.snapshot.get(hook["id"]).plan.reads == ("/rows",)
    await api(
        "PATCH",
        f"/v1/integrations/{made['id']}",
        {"envelope": {"reads": ["/rows/*/price"], "modes": ["shadow"], "max_cache_seconds": 5}},
    )
    bound = registry.snapshot.get(hook["id"])
    assert (bound.plan.reads, bound.plan.mode, bound.cache_seconds) == (("/rows/*/price",), Mode.SHADOW, 5)
