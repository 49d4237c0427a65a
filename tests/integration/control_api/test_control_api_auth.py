"""Who reaches what: every operation with every kind of key."""

from __future__ import annotations

import pytest

from gateway.errors import ConfigError
from gateway.service.control import control_app

INTEGRATION = {"name": "new", "base_url": "https://new.example.com"}
HOOK = {"name": "new", "path": "/new"}

# method, path, body, and the status for: no key, the integration's own key, that key on another's things, operator
CASES = [
    ("POST", "/v1/integrations", INTEGRATION, 401, 403, None, 201),
    ("GET", "/v1/integrations", None, 401, 403, None, 200),
    ("GET", "/v1/integrations/{i}", None, 401, 200, 404, 200),
    ("PATCH", "/v1/integrations/{i}", {"priority": 3}, 401, 403, 404, 200),
    ("DELETE", "/v1/integrations/{i}", None, 401, 403, 404, 204),
    ("POST", "/v1/integrations/{i}/credentials", {"what": "secret"}, 401, 403, 404, 200),
    ("PUT", "/v1/hooks?integration={i}", [HOOK], 401, 200, 404, 200),
    ("POST", "/v1/hooks?integration={i}", HOOK, 401, 201, 404, 201),
    ("GET", "/v1/hooks?integration={i}", None, 401, 200, 404, 200),
    ("GET", "/v1/hooks/{h}", None, 401, 200, 404, 200),
    ("PATCH", "/v1/hooks/{h}", {"order": 3}, 401, 200, 404, 200),
    ("DELETE", "/v1/hooks/{h}", None, 401, 204, 404, 204),
    ("POST", "/v1/hooks/{h}/enable", {}, 401, 200, 404, 200),
    ("POST", "/v1/hooks/{h}/disable", {}, 401, 200, 404, 200),
    ("POST", "/v1/hooks:enable", {"ids": ["{h}"]}, 401, 200, 404, 200),
    ("POST", "/v1/hooks:disable", {"ids": ["{h}"]}, 401, 200, 404, 200),
    ("POST", "/v1/hooks:enable?integration={i}", {"types": ["search"]}, 401, 200, 404, 200),
    ("GET", "/healthz", None, 200, 200, None, 200),
    ("GET", "/readyz", None, 200, 200, None, 200),
    ("GET", "/metrics", None, 200, 200, None, 200),
    ("GET", "/openapi.json", None, 200, 200, None, 200),
]


@pytest.mark.parametrize(
    ("method", "path", "body", "nobody", "own", "foreign", "operator"), CASES, ids=[f"{c[0]} {c[1]}" for c in CASES]
)
async def test_each_kind_of_key_reaches_what_it_may_and_nothing_else(
    api, method, path, body, nobody, own, foreign, operator
):
    mine, theirs = await api.integration("mine"), await api.integration("theirs")
    me = api.as_(mine["api_key"])
    my_hook = await me.hook("a")
    their_hook = await api.as_(theirs["api_key"]).hook("a")

    def filled(integration, hook):
        there = path.format(i=integration["id"], h=hook["id"])
        return there, {"ids": [hook["id"]]} if isinstance(body, dict) and "ids" in body else body

    async def status(caller, integration, hook):
        there, sent = filled(integration, hook)
        return (await caller(method, there, sent)).status

    assert await status(api.as_(None), mine, my_hook) == nobody
    assert await status(api.as_("gwk_unknown"), mine, my_hook) == nobody
    if foreign is not None:
        before = (await api("GET", "/v1/hooks")).json
        assert await status(me, theirs, their_hook) == foreign
        assert (await api("GET", "/v1/hooks")).json == before
    if own not in (200, 201, 204) or method == "GET":
        assert await status(me, mine, my_hook) == own
        assert await status(api, mine, my_hook) == operator
    else:
        assert await status(me, mine, my_hook) == own
        third = await api.integration("third")
        assert await status(api, third, await api.hook("b", integration=third["id"])) == operator


async def test_a_foreign_id_and_one_that_never_was_are_told_in_the_same_words(api):
    mine, theirs = await api.integration("mine"), await api.integration("theirs")
    me = api.as_(mine["api_key"])
    hook = await api.as_(theirs["api_key"]).hook("a")
    for template, real in (
        ("/v1/integrations/{}", theirs["id"]),
        ("/v1/hooks/{}", hook["id"]),
        ("/v1/hooks?integration={}", theirs["id"]),
    ):
        unreal = real[:-4] + "0000"
        foreign, unknown = await me("GET", template.format(real)), await me("GET", template.format(unreal))
        assert (foreign.status, unknown.status) == (404, 404)
        assert foreign.json["detail"].replace(real, "") == unknown.json["detail"].replace(unreal, "")


async def test_the_list_of_an_integrations_key_holds_its_own_hooks_only(api):
    mine, theirs = await api.integration("mine"), await api.integration("theirs")
    me = api.as_(mine["api_key"])
    await me.hook("a")
    await api.as_(theirs["api_key"]).hook("b")
    assert [hook["name"] for hook in (await me("GET", "/v1/hooks")).json["items"]] == ["a"]
    assert [hook["name"] for hook in (await api("GET", "/v1/hooks")).json["items"]] == ["a", "b"]


async def test_a_bulk_switch_of_an_integrations_key_reaches_its_own_hooks_only(api):
    mine, theirs = await api.integration("mine"), await api.integration("theirs")
    me = api.as_(mine["api_key"])
    own, other = await me.hook("a", types=["search"]), await api.as_(theirs["api_key"]).hook("b", types=["search"])
    reply = await me("POST", "/v1/hooks:enable", {"types": ["search"]})
    assert [hook["id"] for hook in reply.json["items"]] == [own["id"]]
    assert (await api("GET", f"/v1/hooks/{other['id']}")).json["enabled"] is False


async def test_an_operator_acts_for_an_integration_by_its_id(api):
    one = await api.integration("one")
    made = await api("POST", "/v1/hooks", HOOK, params={"integration": one["id"]})
    assert made.json["integration_id"] == one["id"]
    other = await api.integration("other")
    assert (await api("GET", f"/v1/hooks/{made.json['id']}", params={"integration": other["id"]})).status == 404


@pytest.mark.parametrize(("method", "body"), [("POST", HOOK), ("PUT", [HOOK])])
async def test_an_operator_who_declares_hooks_must_say_for_which_integration(api, method, body):
    reply = await api(method, "/v1/hooks", body)
    assert reply.status == 422
    assert [error["field"] for error in reply.json["errors"]] == ["?integration"]


@pytest.mark.parametrize("path", ["/v1/hooks", "/v1/hooks/hk_1", "/v1/hooks?limit=5"])
async def test_an_operator_who_names_an_unknown_integration_gets_404(api, path):
    assert (await api("GET", path, params={"integration": "int_none"})).status == 404


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic b3A6",
        "operator-key",
        "Bearer operator key",
        "Bearer opérateur",
        "Bearer operator-ke",
    ],
)
async def test_what_is_not_a_known_bearer_key_gets_401_with_a_challenge(api, authorization):
    reply = await api.as_(None)("GET", "/v1/hooks", headers={"authorization": authorization})
    assert reply.status == 401
    assert reply.headers["www-authenticate"].startswith("Bearer")
    assert reply.headers["content-type"] == "application/problem+json"


async def test_two_authorization_headers_are_refused_even_if_one_is_right(api):
    headers = [("authorization", "Bearer operator-key"), ("authorization", "Bearer other")]
    response = await api.client.get("/v1/hooks", headers=headers)
    assert response.status == 401


@pytest.mark.parametrize("authorization", ["Bearer operator-key", "bearer operator-key", "BEARER  another-key "])
async def test_every_operator_key_holds_whatever_the_case_of_the_scheme(api, authorization):
    reply = await api.as_(None)("GET", "/v1/integrations", headers={"authorization": authorization})
    assert reply.status == 200


@pytest.mark.parametrize("key", ["", "two words", "clé", "line\nbreak"])
async def test_an_operator_key_that_could_never_be_sent_is_refused_at_start(registry, metrics, key):
    with pytest.raises(ConfigError):
        control_app(registry, operator_keys=[key], metrics=metrics)


async def test_without_operator_keys_nobody_is_the_operator(aiohttp_client, registry, metrics):
    client = await aiohttp_client(control_app(registry, operator_keys=[], metrics=metrics))
    response = await client.get("/v1/integrations", headers={"authorization": "Bearer x"})
    assert response.status == 401
