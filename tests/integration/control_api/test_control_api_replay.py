"""Recorded calls, read and sent again, over the real control API, a real gateway and a real (fake) server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from gateway import HookDraft, IntegrationDraft, Query, Result, Settings, open_gateway
from gateway.service.control import control_app
from gateway.testing.hook_server import HookServer, Reply
from gateway.wire.signature import key_of, verify

OPERATOR = "operator-key-for-tests"
RESULT = {"rows": [{"id": 1, "price": 1.50}], "secret": "s"}
MERGE = ("content-type", "application/merge-patch+json")


@dataclass
class Setup:
    gateway: Any
    server: HookServer
    client: Any
    made: Any

    async def asked(self, handler=None, **fields):
        """The id of a call that a query made to a hook at /hook."""
        if handler is not None:
            self.server.on("/hook", handler)
        draft = HookDraft(name="fx", path="/hook", **fields)
        hook = await self.gateway.registry.create_hook(self.made.integration.id, draft)
        await self.gateway.registry.enable(hook.id)
        await self.gateway.chain.run(Query("search", "air", "acme"), Result(json.dumps(RESULT).encode()))
        return self.server.requests[-1].header("webhook-id")

    async def call(self, method, path, body=None, key=OPERATOR, **params):
        async with self.client.request(
            method, path, json=body, params=params, headers={"authorization": f"Bearer {key}"}
        ) as response:
            return response.status, await response.json(content_type=None)


@pytest.fixture
def options():
    return {"journal": {"bodies": True}}


@pytest.fixture
async def setup(aiohttp_client, options):
    calls = {"allow_http": True, "allow": ["127.0.0.0/8"], "require_ownership": False}
    settings = Settings.model_validate({"store": {"url": "memory:"}, "calls": calls, **options})
    async with HookServer() as server, open_gateway(settings) as gateway:
        made = await gateway.registry.register(IntegrationDraft("fake", server.url))
        app = control_app(gateway.registry, operator_keys=[OPERATOR], metrics=gateway.metrics, insight=gateway.insight)
        yield Setup(gateway, server, await aiohttp_client(app), made)


def answers(*replies):
    left = list(replies)

    async def handler(_request):
        return left.pop(0) if len(left) > 1 else left[0]

    return handler


async def test_a_call_is_read_by_its_id_with_what_was_kept(setup):
    call_id = await setup.asked(answers(Reply(200, [MERGE], b'{"n":1}')))
    status, told = await setup.call("GET", f"/v1/calls/{call_id}", key=setup.made.api_key)
    assert (status, told["call_id"], told["status"]) == (200, call_id, "applied")
    assert told["request"]["body"].encode() == setup.server.requests[0].body
    assert told["reply"]["body"] == '{"n":1}'


async def test_the_same_body_is_sent_freshly_signed_under_a_new_id_and_nothing_is_applied(setup):
    call_id = await setup.asked(answers(Reply(200, [MERGE], b'{"n":1}'), Reply(200, [MERGE], b'{"n":2}')))
    status, told = await setup.call("POST", f"/v1/calls/{call_id}/replay", key=setup.made.api_key)
    assert status == 200, told
    first, again = setup.server.requests
    assert again.body == first.body
    assert again.header("webhook-id") != call_id == told["call_id"]
    verify(
        [key_of(setup.made.secret)],
        message_id=again.header("webhook-id"),
        timestamp=again.header("webhook-timestamp"),
        signature=again.header("webhook-signature"),
        body=again.body,
        now=float(again.header("webhook-timestamp")),
    )
    assert told["diff"] == [{"op": "replace", "path": "/body/n", "value": 2}]
    assert told["changed"]["patch"] == [{"op": "add", "path": "/n", "value": 2}]
    assert (told["outcome"]["status"], told["recorded"]["body"], told["reply"]["body"]) == (
        "applied", '{"n":1}', '{"n":2}',
    )  # fmt: skip
    (entry,) = setup.gateway.insight.journal.entries(told["outcome"]["hook_id"])
    assert entry.call_id == call_id


async def test_a_binary_call_is_sent_as_it_was(setup):
    from gateway.model import Delivery

    call_id = await setup.asked(answers(Reply(204)), delivery=Delivery.BINARY)
    _, told = await setup.call("POST", f"/v1/calls/{call_id}/replay")
    first, again = setup.server.requests
    assert again.body == first.body == json.dumps(RESULT).encode()
    assert [again.header(name) for name in ("content-type", "ce-type", "ce-subject", "ce-hookid")] == [
        first.header(name) for name in ("content-type", "ce-type", "ce-subject", "ce-hookid")
    ]
    assert (told["diff"], told["outcome"]["status"]) == ([], "unchanged")


async def test_status_and_content_type_are_compared_too_and_a_body_that_is_no_json_as_text(setup):
    call_id = await setup.asked(answers(Reply(500, [("content-type", "text/plain")], b"oops"), Reply(204)))
    _, told = await setup.call("POST", f"/v1/calls/{call_id}/replay")
    assert {each["path"]: each["value"] for each in told["diff"]} == {
        "/status": 204, "/content_type": None, "/body": None,
    }  # fmt: skip


async def test_a_patch_that_does_not_fit_is_told_as_for_a_query(setup):
    patch = Reply(200, [("content-type", "application/json-patch+json")], b'[{"op":"remove","path":"/none"}]')
    call_id = await setup.asked(answers(Reply(204), patch))
    _, told = await setup.call("POST", f"/v1/calls/{call_id}/replay")
    assert (told["outcome"]["status"], told["outcome"]["reason"]) == ("failed", "bad_patch")


async def test_a_reply_that_never_came_is_said_not_to_be_compared(setup):
    call_id = await setup.asked(answers(Reply(204)))
    setup.server.on("/hook", setup.server.answer)
    _, told = await setup.call("POST", f"/v1/calls/{call_id}/replay", {"to": "http://127.0.0.1:9/x"})
    assert (told["reply"], told["outcome"]["reason"], told["diff"]) == (None, "connect", None)
    assert "no new reply" in told["diff_note"]


async def test_neither_breaker_nor_hook_is_touched_by_what_comes_back(setup):
    call_id = await setup.asked(answers(Reply(204), Reply(410)))
    for _ in range(30):
        await setup.call("POST", f"/v1/calls/{call_id}/replay")
    (hook,) = setup.gateway.registry.hooks()
    assert setup.gateway.registry.snapshot.get(hook.id) is not None
    answer = await setup.gateway.chain.run(Query("search", "air", "acme"), Result.of(RESULT))
    assert answer.outcomes[0].reason == "gone"  # it was called: no breaker stood before it


async def test_another_body_is_sent_if_one_is_given(setup):
    call_id = await setup.asked(answers(Reply(204)))
    await setup.call("POST", f"/v1/calls/{call_id}/replay", {"body": '{"mine": 1}'})
    assert setup.server.requests[-1].body == b'{"mine": 1}'


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({}, "journal.bodies"),
        ({"journal": {"bodies": True, "max_body_bytes": 100}}, "cut after 100 bytes"),
        ({"journal": {"bodies": True, "redact": ["/result/secret"]}}, "redacted"),
    ],
)
async def test_what_was_not_kept_whole_is_not_sent_again_unless_a_body_is_given(setup, word):
    call_id = await setup.asked(answers(Reply(204)))
    status, told = await setup.call("POST", f"/v1/calls/{call_id}/replay")
    assert status == 409
    assert word in told["detail"]
    assert "--body" in told["detail"]
    assert len(setup.server.requests) == 1
    status, told = await setup.call("POST", f"/v1/calls/{call_id}/replay", {"body": "{}"})
    assert (status, told["outcome"]["status"]) == (200, "unchanged")
    assert setup.server.requests[-1].header("content-type") == "application/cloudevents+json"


@pytest.mark.parametrize("options", [{"journal": {"bodies": True, "redact": ["/result/secret"]}}])
async def test_what_is_redacted_is_not_shown_in_what_comes_back_either(setup):
    call_id = await setup.asked(answers(Reply(200, [MERGE], b'{"secret":"hidden-word"}')))
    _, told = await setup.call("POST", f"/v1/calls/{call_id}/replay", {"body": "{}"})
    assert told["reply"]["status"] == 200
    assert "hidden-word" not in json.dumps(told)


class TestWhoMay:
    async def test_another_integration_learns_nothing_of_a_call(self, setup):
        call_id = await setup.asked(answers(Reply(204)))
        other = await setup.gateway.registry.register(IntegrationDraft("other", setup.server.url))
        for method, path in (("GET", ""), ("POST", "/replay")):
            ours = await setup.call(method, f"/v1/calls/{call_id}{path}", key=other.api_key)
            none = await setup.call(method, f"/v1/calls/{call_id}0{path}", key=other.api_key)
            assert ours[0] == none[0] == 404
            assert ours[1]["detail"].replace(call_id, "") == none[1]["detail"].replace(f"{call_id}0", "")

    async def test_only_the_operator_names_another_origin(self, setup):
        call_id = await setup.asked(answers(Reply(204)))
        async with HookServer() as elsewhere:
            to = {"to": f"{elsewhere.url}/unchanged"}
            assert (await setup.call("POST", f"/v1/calls/{call_id}/replay", to, key=setup.made.api_key))[0] == 403
            assert elsewhere.requests == []
            assert (await setup.call("POST", f"/v1/calls/{call_id}/replay", to))[0] == 200
            assert len(elsewhere.requests) == 1

    async def test_an_integration_names_another_path_of_its_own(self, setup):
        call_id = await setup.asked(answers(Reply(204)))
        to = {"to": f"{setup.server.url}/unchanged"}
        status, told = await setup.call("POST", f"/v1/calls/{call_id}/replay", to, key=setup.made.api_key)
        assert (status, told["request"]["url"]) == (200, to["to"])

    @pytest.mark.parametrize("path", ["/b/x", "/a/../b", "/a/%2e%2E/b", "/ab", "/a/..%2fb"])
    async def test_but_none_beside_its_base_url(self, setup, path):
        call_id = await setup.asked(answers(Reply(204)))
        integration_id = setup.made.integration.id
        await setup.call("PATCH", f"/v1/integrations/{integration_id}", {"base_url": f"{setup.server.url}/a"})
        to = {"to": setup.server.url + path}
        status, _ = await setup.call("POST", f"/v1/calls/{call_id}/replay", to, key=setup.made.api_key)
        assert status in {403, 422}  # dot segments make it no URL that is called
        assert len(setup.server.requests) == 1

    @pytest.mark.parametrize("to", ["http://10.0.0.1/x", "http://169.254.169.254/", "ftp://h/", "http://u@h/", "x"])
    async def test_the_address_guard_holds_for_the_operator_too(self, setup, to):
        call_id = await setup.asked(answers(Reply(204)))
        status, told = await setup.call("POST", f"/v1/calls/{call_id}/replay", {"to": to})
        assert (status, told["errors"][0]["field"]) == (422, "/to")

    async def test_an_integration_that_is_switched_off_replays_nothing(self, setup):
        call_id = await setup.asked(answers(Reply(204)))
        await setup.call("PATCH", f"/v1/integrations/{setup.made.integration.id}", {"enabled": False})
        assert (await setup.call("POST", f"/v1/calls/{call_id}/replay", key=setup.made.api_key))[0] == 409
        assert len(setup.server.requests) == 1
