"""Up the steps of a roll-out, by the control API."""

from __future__ import annotations

import pytest

BOUNDS = {"failure_percent": 5, "p95_ms": None, "change_percent": None, "min_calls": 20}


@pytest.fixture
async def owner(api):
    made = await api.integration("prices", envelope={"modes": ["shadow", "canary", "active"]})
    return api.as_(made["api_key"])


async def promoted(api, hook, body=None, **options):
    return await api("POST", f"/v1/hooks/{hook['id']}/promote", body, **options)


async def test_from_shadow_to_canary_to_a_larger_share_to_active(owner):
    hook = await owner.hook("fx", mode="shadow")
    seen = []
    for body in ({"percent": 5}, {"percent": 25.5}, {}):
        reply = await promoted(owner, hook, body)
        assert reply.status == 200, reply.json
        seen.append((reply.json["mode"], reply.json["percent"]))
    assert seen == [("canary", 5), ("canary", 25.5), ("active", None)]
    assert reply.headers["etag"] == f'"{reply.json["version"]}"'
    assert (await promoted(owner, hook)).status == 409


async def test_without_a_body_it_is_the_next_step_and_a_new_canary_begins_with_a_tenth(owner):
    hook = await owner.hook("fx", mode="shadow")
    reply = await promoted(owner, hook)
    assert (reply.json["mode"], reply.json["percent"]) == ("canary", 10)
    assert (await promoted(owner, hook)).json["mode"] == "active"


@pytest.mark.parametrize(
    ("modes", "expected"), [(["shadow", "active"], (200, "active")), (["shadow"], (409, None)), (None, (200, "canary"))]
)
async def test_the_next_step_is_one_that_the_envelope_allows(api, modes, expected):
    made = await api.integration("prices", envelope={"modes": modes})
    own = api.as_(made["api_key"])
    reply = await promoted(own, await own.hook("fx", mode="shadow"))
    assert (reply.status, reply.json.get("mode")) == expected


async def test_a_step_outside_of_the_envelope_is_refused_by_its_place(api):
    made = await api.integration("prices", envelope={"modes": ["shadow"]})
    own = api.as_(made["api_key"])
    reply = await promoted(own, await own.hook("fx", mode="shadow"), {"mode": "active"})
    assert reply.status == 422
    assert [error["field"] for error in reply.json["errors"]] == ["/mode"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"mode": "shadow"}, "/mode"),
        ({"percent": 101}, "/percent"),
        ({"percent": "5"}, "/percent"),
        ({"mode": "active", "percent": 5}, "/percent"),
        ({"share": 5}, "/share"),
    ],
)
async def test_what_is_no_step_is_refused_by_name(owner, body, field):
    reply = await promoted(owner, await owner.hook("fx", mode="shadow"), body)
    assert reply.status == 422
    assert [error["field"] for error in reply.json["errors"]] == [field]


async def test_a_step_back_is_no_promotion(owner):
    reply = await promoted(owner, await owner.hook("fx"), {"percent": 5})
    assert reply.status == 422
    assert "step back" in reply.json["detail"]


async def test_a_canary_that_stepped_back_says_why_and_tries_again(api, owner):
    hook = await owner.hook("fx", mode="canary", percent=5, bounds=BOUNDS)
    await owner("POST", f"/v1/hooks/{hook['id']}/enable")
    bound = api.registry.snapshot.get(hook["id"])
    api.registry.report_step_back(bound, "6 of 20 calls failed, more than 5 %")
    await api.registry._upkeep.stop()
    shown = (await owner("GET", f"/v1/hooks/{hook['id']}")).json
    assert (shown["mode"], shown["reason"]) == ("shadow", "6 of 20 calls failed, more than 5 %")
    again = (await promoted(owner, hook)).json
    assert (again["mode"], again["percent"], again["reason"]) == ("canary", 5, None)


async def test_it_keeps_to_if_match_and_to_ones_own(api, owner):
    hook = await owner.hook("fx", mode="shadow")
    assert (await promoted(owner, hook, headers={"if-match": '"99"'})).status == 412
    other = await api.integration("other")
    assert (await promoted(api.as_(other["api_key"]), hook)).status == 404
