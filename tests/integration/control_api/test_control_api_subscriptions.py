"""Subscriptions over HTTP: making, reading, changing and removing them, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import OwnershipRefused
from gateway.model.delivery import Attempt, Cause, DeliveryState
from gateway.model.subscription import Pause
from gateway.stores import AuditQuery
from gateway.stores.events import Completion

BODY: dict[str, Any] = {"name": "audit-trail", "events": ["order.*"], "config": {"url": "https://example.com/events"}}


async def subscribed(api, **more):
    reply = await api("POST", "/v1/subscriptions", {**BODY, **more})
    assert reply.status == 201, reply.body
    return reply.json


async def test_a_subscription_is_made_with_a_secret_that_is_shown_once_and_is_pinged(api, events):
    reply = await api("POST", "/v1/subscriptions", BODY)
    assert reply.status == 201
    made = reply.json
    assert reply.headers["location"] == f"/v1/subscriptions/{made['id']}"
    assert reply.headers["etag"] == '"1"'
    assert made["secret"].startswith("whsec_")
    assert made["config"] == {
        "url": "https://example.com/events", "content_type": "application/json", "insecure_ssl": False,
        "secret": made["secret"],
    }  # fmt: skip
    assert (made["events"], made["active"], made["state"], made["integration_id"]) == (
        ["order.*"],
        True,
        "active",
        None,
    )

    again = await api("GET", f"/v1/subscriptions/{made['id']}")
    assert "secret" not in again.json
    assert "secret" not in again.json["config"]
    assert made["secret"] not in (await api("GET", "/v1/subscriptions")).body.decode()
    assert (await events.subscription(made["id"])).secrets[0].secret == made["secret"]

    (ping,) = (await api("GET", f"/v1/subscriptions/{made['id']}/deliveries")).json["items"]
    assert ping["event_type"] == "gateway.ping"
    (claimed,) = await events.claim(now=api.clock(), lease_until=api.clock() + 1, limit=10)
    assert (claimed.event.id, claimed.cause) == (ping["event_id"], Cause.PING)


async def test_a_secret_that_is_given_is_used_and_not_repeated(api, events):
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    reply = await api("POST", "/v1/subscriptions", {**BODY, "config": {**BODY["config"], "secret": secret}})
    assert reply.status == 201
    assert (reply.json["secret"], reply.json["config"]["secret"]) == (None, None)
    assert secret not in reply.body.decode()
    assert (await events.subscription(reply.json["id"])).secrets[0].secret == secret


async def test_everything_that_can_be_said_of_a_subscription_is_kept(api):
    body: dict[str, Any] = {
        "name": "all of it", "events": ["a.*", "*"], "active": False, "filter": "data.total > 1.0 && event.type != 'x'",
        "config": {"url": "https://example.com/?a=b", "content_type": "application/cloudevents+json"},
        "headers": {"X-Team": "billing"}, "ordered": True, "github_signature": True, "max_concurrency": 3,
    }  # fmt: skip
    made = await subscribed(api, **body)
    read = (await api("GET", f"/v1/subscriptions/{made['id']}")).json
    assert read == {
        **body, "config": {**body["config"], "insecure_ssl": False}, "id": made["id"], "integration_id": None,
        "state": "paused", "reason": "switched off by its owner", "paused_at": made["paused_at"],
        "next_probe_at": None, "version": 1, "created_at": made["created_at"], "updated_at": made["updated_at"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "/name"),
        ({"name": 7}, "/name"),
        ({"events": []}, "/events"),
        ({"events": ["order.cre*"]}, "/events/0"),
        ({"events": "order.*"}, "/events"),
        ({"config": {}}, "/config/url"),
        ({"config": {"url": "http://example.com"}}, "/config/url"),
        ({"config": {"url": "https://127.0.0.1/x"}}, "/config/url"),
        ({"config": {"url": "https://[::ffff:169.254.169.254]/x"}}, "/config/url"),
        ({"config": {"url": "https://example.com", "content_type": "text/plain"}}, "/config/content_type"),
        ({"config": {"url": "https://example.com", "secret": "hunter2"}}, "/config/secret"),
        ({"config": {"url": "https://example.com", "insecure_ssl": True}}, "/config/insecure_ssl"),
        ({"config": {"url": "https://example.com", "insecure_ssl": "1"}}, "/config/insecure_ssl"),
        ({"filter": "data.total >"}, "/filter"),
        ({"filter": "no_such.thing == 1"}, "/filter"),
        ({"filter": "1 + 1"}, "/filter"),
        ({"headers": {"x": "a\r\nb: c"}}, "/headers/x"),
        ({"headers": {"Webhook-Id": "a"}}, "/headers/Webhook-Id"),
        ({"headers": {"transfer-encoding": "chunked"}}, "/headers/transfer-encoding"),
        ({"headers": {"x": 1}}, "/headers/x"),
        ({"headers": ["x: 1"]}, "/headers"),
        ({"max_concurrency": 0}, "/max_concurrency"),
        ({"activ": True}, "/activ"),
        ({"id": "sub_1"}, "/id"),
    ],
)
async def test_what_cannot_be_subscribed_with_is_refused_by_name(api, events, change, field):
    reply = await api("POST", "/v1/subscriptions", {**BODY, **change})
    assert reply.status == 422
    assert [each["field"] for each in reply.json["errors"]] == [field]
    assert "hunter2" not in reply.body.decode()
    made = await subscribed(api)
    if set(change) - {"activ", "id"} and change != {"config": {}}:
        changed = await api("PATCH", f"/v1/subscriptions/{made['id']}", change)
        assert (changed.status, [each["field"] for each in changed.json["errors"]]) == (422, [field])
        assert (await events.subscription(made["id"])).version == 1


async def test_headers_that_may_be_credentials_are_not_shown(api):
    made = await subscribed(api, headers={"Authorization": "Bearer abc", "x-api-key": "def", "x-team": "billing"})
    assert made["headers"] == {"Authorization": "(hidden)", "x-api-key": "(hidden)", "x-team": "billing"}
    read = await api("GET", f"/v1/subscriptions/{made['id']}")
    assert "abc" not in read.body.decode()


async def test_a_subscription_is_changed_field_by_field(api, events):
    made = await subscribed(api, headers={"x-a": "1"}, filter="data.n > 1")
    path = f"/v1/subscriptions/{made['id']}"
    reply = await api(
        "PATCH", path, {"config": {"content_type": "application/cloudevents+json"}, "headers": {"x-b": "2"}}
    )
    assert reply.status == 200
    assert reply.headers["etag"] == '"2"'
    assert reply.json["config"] == {
        **BODY["config"],
        "content_type": "application/cloudevents+json",
        "insecure_ssl": False,
    }
    assert reply.json["headers"] == {"x-a": "1", "x-b": "2"}
    reply = await api("PATCH", path, {"filter": None, "headers": {"X-A": None}, "events": ["*"]})
    assert (reply.json["filter"], reply.json["headers"], reply.json["events"]) == (None, {"x-b": "2"}, ["*"])
    assert (await events.subscription(made["id"])).secrets[0].secret == made["secret"]
    new = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    reply = await api("PATCH", path, {"config": {"secret": new}})
    assert new not in reply.body.decode()
    assert [each.secret for each in (await events.subscription(made["id"])).secrets] == [new]


async def test_a_change_that_changes_nothing_makes_no_version(api):
    made = await subscribed(api)
    reply = await api("PATCH", f"/v1/subscriptions/{made['id']}", {"name": BODY["name"], "active": True})
    assert (reply.status, reply.json["version"]) == (200, 1)


async def test_changes_and_removals_heed_the_version(api):
    made = await subscribed(api)
    path = f"/v1/subscriptions/{made['id']}"
    assert (await api("PATCH", path, {"name": "b"}, headers={"if-match": '"1"'})).status == 200
    late = await api("PATCH", path, {"name": "c"}, headers={"if-match": '"1"'})
    assert (late.status, late.json["title"]) == (412, "Precondition Failed")
    assert (await api("DELETE", path, headers={"if-match": '"1"'})).status == 412
    assert (await api("GET", path, headers={"if-none-match": '"2"'})).status == 304
    assert (await api("GET", path, headers={"if-none-match": '"1"'})).json["name"] == "b"
    assert (await api("DELETE", path, headers={"if-match": '"2"'})).status == 204
    assert (await api("GET", path)).status == 404
    assert (await api("DELETE", path)).status == 404


async def test_what_happens_while_a_subscription_is_switched_off_is_kept_in_order(api, events):
    made = await subscribed(api, events=["order.*"])
    path = f"/v1/subscriptions/{made['id']}"
    await events.claim(now=api.clock(), lease_until=api.clock() + 1, limit=10)  # the ping
    off = await api("PATCH", path, {"active": False})
    assert (off.json["active"], off.json["state"], off.json["reason"]) == (False, "paused", "switched off by its owner")
    for n in range(3):
        told = await api("POST", "/v1/events", {"event": "order.created", "data": {"n": n}})
        assert (told.status, told.json["deliveries"]) == (202, 1)
    api.clock.now += 60
    assert await events.claim(now=api.clock(), lease_until=api.clock() + 1, limit=10) == []
    on = await api("PATCH", path, {"active": True})
    assert (on.json["active"], on.json["state"], on.json["reason"]) == (True, "active", None)
    came = []
    while claimed := await events.claim(now=api.clock(), lease_until=api.clock() + 1, limit=10):
        came += [each.event.data for each in claimed if each.event.type == "order.created"]
        done = Attempt(api.clock(), status=204)
        completions = [Completion(each.delivery.id, each.token, done, DeliveryState.DELIVERED) for each in claimed]
        await events.finish(completions, now=api.clock())
    assert came == [b'{"n":0}', b'{"n":1}', b'{"n":2}']


async def test_a_pause_of_the_gateway_s_own_is_shown_and_ended_by_switching_on(api, events):
    made = await subscribed(api)
    await events.pause(made["id"], Pause(api.clock(), "it answered with status 500", api.clock() + 60))
    path = f"/v1/subscriptions/{made['id']}"
    shown = (await api("GET", path)).json
    assert (shown["active"], shown["state"], shown["reason"]) == (True, "paused", "it answered with status 500")
    assert shown["next_probe_at"] is not None
    on = (await api("PATCH", path, {"active": True})).json
    assert (on["state"], on["reason"], on["next_probe_at"]) == ("active", None, None)


async def test_a_new_secret_signs_beside_the_old_one_for_the_grace(api, events):
    made = await subscribed(api)
    reply = await api("POST", f"/v1/subscriptions/{made['id']}/secret", {"grace_seconds": 60})
    assert reply.status == 200
    assert reply.json["secret"].startswith("whsec_")
    assert reply.json["secret"] != made["secret"]
    kept = (await events.subscription(made["id"])).secrets
    assert [each.secret for each in kept] == [reply.json["secret"], made["secret"]]
    assert kept[1].expires_at == api.clock() + 60
    at_once = await api("POST", f"/v1/subscriptions/{made['id']}/secret", {"grace_seconds": 0})
    assert at_once.json["previous_expires_at"] is None
    assert len((await events.subscription(made["id"])).secrets) == 1
    assert (await api("POST", f"/v1/subscriptions/{made['id']}/secret", {"grace_seconds": -1})).status == 422


async def test_subscriptions_are_listed_in_pages(api):
    made = {(await subscribed(api, name=f"s{n}"))["id"] for n in range(5)}
    found, cursor = [], None
    while True:
        params = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = (await api("GET", "/v1/subscriptions", params=params)).json
        found += [each["id"] for each in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(found) == 5
    assert set(found) == made
    assert (await api("GET", "/v1/subscriptions", params={"cursor": "?"})).status == 422


async def test_an_integration_has_subscriptions_of_its_own_and_sees_no_others(api):
    mine, theirs = await api.integration("mine"), await api.integration("theirs")
    me, them = api.as_(mine["api_key"]), api.as_(theirs["api_key"])
    own = await subscribed(me, name="own")
    assert own["integration_id"] == mine["id"]
    other = await subscribed(them, name="other")
    operators = await subscribed(api, name="operators")
    assert [each["name"] for each in (await me("GET", "/v1/subscriptions")).json["items"]] == ["own"]
    listed = (await api("GET", "/v1/subscriptions")).json["items"]
    assert {each["name"] for each in listed} == {"own", "other", "operators"}
    narrowed = await api("GET", "/v1/subscriptions", params={"integration": mine["id"]})
    assert [each["name"] for each in narrowed.json["items"]] == ["own"]
    for foreign in (other["id"], operators["id"], "sub_0000000000000000"):
        path = f"/v1/subscriptions/{foreign}"
        for method, there, body in (
            ("GET", path, None),
            ("PATCH", path, {"active": False}),
            ("DELETE", path, None),
            ("POST", f"{path}/ping", None),
            ("POST", f"{path}/secret", None),
            ("GET", f"{path}/deliveries", None),
            ("POST", f"{path}/recover", {"since": "2026-01-01T00:00:00Z"}),
            ("GET", f"{path}/recoveries/rec_1", None),
        ):
            reply = await me(method, there, body)
            assert reply.status == 404, (method, there)
            assert reply.json["detail"] == f"There is no subscription '{foreign}'."


async def test_an_operator_subscribes_on_behalf_of_an_integration(api):
    mine = await api.integration("mine")
    reply = await api("POST", "/v1/subscriptions", BODY, params={"integration": mine["id"]})
    assert (reply.status, reply.json["integration_id"]) == (201, mine["id"])
    assert (await api("POST", "/v1/subscriptions", BODY, params={"integration": "int_0"})).status == 404


async def test_subscriptions_go_with_their_integration(api, events):
    mine = await api.integration("mine")
    own = await subscribed(api.as_(mine["api_key"]))
    kept = await subscribed(api)
    assert (await api("DELETE", f"/v1/integrations/{mine['id']}")).status == 204
    assert await events.subscription(own["id"]) is None
    assert await events.subscription(kept["id"]) is not None


class Asked:
    """Addresses that agree or not; remembers which were asked."""

    def __init__(self):
        self.urls = []
        self.agree = True

    async def check(self, endpoint):
        self.urls.append(endpoint.url)
        if not self.agree:
            raise OwnershipRefused(f"OPTIONS {endpoint.url} was answered without WebHook-Allowed-Origin")


class TestOwnership:
    @pytest.fixture
    def ownership(self):
        return Asked()

    async def test_an_address_that_does_not_agree_gets_nothing(self, api, events, ownership):
        ownership.agree = False
        reply = await api("POST", "/v1/subscriptions", BODY)
        assert reply.status == 409
        assert "WebHook-Allowed-Origin" in reply.json["detail"]
        assert (await api("GET", "/v1/subscriptions")).json["items"] == []

    async def test_a_new_address_is_asked_and_an_old_one_is_not(self, api, events, ownership):
        made = await subscribed(api)
        path = f"/v1/subscriptions/{made['id']}"
        assert (await api("PATCH", path, {"name": "b", "active": False})).status == 200
        assert ownership.urls == ["https://example.com/events"]
        ownership.agree = False
        assert (await api("PATCH", path, {"config": {"url": "https://example.org/"}})).status == 409
        assert (await api("GET", path)).json["config"]["url"] == "https://example.com/events"
        ownership.agree = True
        assert (await api("PATCH", path, {"config": {"url": "https://example.org/"}})).status == 200
        assert (await events.subscription(made["id"])).owned_url == "https://example.org/"


async def test_the_audit_log_tells_who_changed_what_of_subscriptions_and_no_secret(api, store):
    mine = await api.integration("mine")
    me = api.as_(mine["api_key"])
    config = {"url": "https://example.com/events?token=t0ken"}
    made = await subscribed(me, config=config, headers={"x-key": "k3y"})
    path = f"/v1/subscriptions/{made['id']}"
    await me("PATCH", path, {"name": "b", "headers": {"x-key": "k4y"}})
    await api("PATCH", path, {"active": False})
    await api("PATCH", path, {"active": True})
    secret = (await me("POST", f"{path}/secret")).json["secret"]
    await me("DELETE", path)
    entries = (await api("GET", "/v1/audit", params={"subscription": made["id"]})).json["items"]
    assert [(each["action"], each["who"]["kind"]) for each in reversed(entries)] == [
        ("subscription.created", "integration"),
        ("subscription.changed", "integration"),
        ("subscription.switched_off", "operator"),
        ("subscription.switched_on", "operator"),
        ("subscription.rotated", "integration"),
        ("subscription.removed", "integration"),
    ]
    assert {(each["integration"], each["hook_id"], each["subscription_id"]) for each in entries} == {
        ("mine", None, made["id"])
    }
    changed = entries[-2]
    assert changed["before"] == {"name": "audit-trail", "headers": "(hidden)"}
    assert changed["after"] == {"name": "b", "headers": "(hidden)"}
    assert (await me("GET", "/v1/audit")).json["items"][0]["action"] == "subscription.removed"
    everything = repr(await store.audit(AuditQuery()))
    for hidden in (made["secret"], secret, "t0ken", "k3y", "k4y"):
        assert hidden not in everything


async def test_an_operator_s_own_subscription_is_nobody_else_s_in_the_audit_log(api):
    mine = await api.integration("mine")
    await subscribed(api)
    newest = (await api("GET", "/v1/audit")).json["items"][0]
    assert (newest["action"], newest["integration_id"], newest["integration"]) == ("subscription.created", None, None)
    seen = (await api.as_(mine["api_key"])("GET", "/v1/audit")).json["items"]
    assert "subscription.created" not in [each["action"] for each in seen]
