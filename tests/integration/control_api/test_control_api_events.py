"""Publishing over HTTP, and seeing and repeating what was delivered."""

from __future__ import annotations

import json

import jsonschema_rs
import pytest

from gateway.model.delivery import Attempt, Cause, DeliveryState
from gateway.relay.catalogue import CATALOGUE
from gateway.stores.events import Completion

SUBSCRIPTION = {"name": "audit-trail", "events": ["order.*"], "config": {"url": "https://example.com/events"}}


async def subscribed(api, **more):
    reply = await api("POST", "/v1/subscriptions", {**SUBSCRIPTION, **more})
    assert reply.status == 201, reply.body
    return reply.json


async def delivered(api, events, state=DeliveryState.DELIVERED, **attempt):
    """Let a relay attempt everything that can be attempted now."""
    claims = await events.claim(now=api.clock(), lease_until=api.clock() + 30, limit=100)
    made = Attempt(api.clock(), ms=12.5, **attempt)
    await events.finish([Completion(each.delivery.id, each.token, made, state) for each in claims], now=api.clock())
    return claims


async def test_an_event_is_published_to_whoever_subscribed(api, events):
    await subscribed(api)
    await subscribed(api, name="other", events=["invoice.*"])
    await delivered(api, events, status=204)
    reply = await api("POST", "/v1/events", {"event": "order.created", "data": {"n": 1}, "key": "o1", "subject": "s"})
    assert reply.status == 202
    told = reply.json
    assert reply.headers["location"] == f"/v1/events/{told['id']}"
    assert (told["type"], told["data"], told["key"], told["subject"]) == ("order.created", {"n": 1}, "o1", "s")
    assert (told["deliveries"], told["new"], told["integration_id"]) == (1, True, None)
    (claimed,) = await delivered(api, events, status=204)
    assert (claimed.event.id, claimed.event.data) == (told["id"], b'{"n":1}')
    read = await api("GET", f"/v1/events/{told['id']}")
    assert read.json == {name: value for name, value in told.items() if name not in {"deliveries", "new"}}


async def test_the_type_may_be_called_as_cloudevents_does(api):
    reply = await api("POST", "/v1/events", {"type": "order.created", "data": [1]})
    assert (reply.status, reply.json["type"], reply.json["deliveries"]) == (202, "order.created", 0)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"data": 1}, ""),
        ({"event": "a", "type": "a"}, ""),
        ({"event": "order created"}, "/event"),
        ({"type": "order created"}, "/type"),
        ({"event": ""}, "/event"),
        ({"event": 7}, "/event"),
        ({"event": "a..b"}, "/event"),
        ({"event": "x" * 201}, "/event"),
        ({"event": "gateway.hook.disabled"}, "/event"),
        ({"type": "gateway.anything"}, "/type"),
        ({"event": "a", "key": ""}, "/key"),
        ({"event": "a", "key": "a\nb"}, "/key"),
        ({"event": "a", "subject": "x" * 201}, "/subject"),
        ({"event": "a", "payload": {}}, "/payload"),
    ],
)
async def test_what_cannot_be_published_is_refused_by_name(api, events, body, field):
    reply = await api("POST", "/v1/events", body)
    assert (reply.status, [each["field"] for each in reply.json["errors"]]) == (422, [field]), reply.body
    assert (await api("GET", "/v1/events")).json["items"] == []


async def test_publishing_twice_with_the_same_key_makes_one_event(api, events):
    await subscribed(api)
    body = {"event": "order.created", "data": {"n": 1}}
    first = await api("POST", "/v1/events", body, headers={"Idempotency-Key": "abc"})
    again = await api("POST", "/v1/events", body, headers={"Idempotency-Key": "abc"})
    assert (first.status, again.status) == (202, 202)
    assert again.json == {**first.json, "new": False}
    assert len((await api("GET", "/v1/events")).json["items"]) == 2  # with the ping
    other = await api("POST", "/v1/events", {**body, "data": {"n": 2}}, headers={"Idempotency-Key": "abc"})
    assert other.status == 422
    assert "idempotency key" in other.json["detail"]


async def test_an_idempotency_key_belongs_to_who_publishes(api):
    mine = await api.integration("mine")
    body = {"event": "order.created", "data": 1}
    first = await api("POST", "/v1/events", body, headers={"Idempotency-Key": "abc"})
    other = await api.as_(mine["api_key"])("POST", "/v1/events", body, headers={"Idempotency-Key": "abc"})
    assert (other.status, other.json["new"]) == (202, True)
    assert other.json["id"] != first.json["id"]


@pytest.mark.parametrize("key", ["", " ", "a\tb", "x" * 201, "ä"])
async def test_an_idempotency_key_that_is_none_is_refused(api, key):
    reply = await api("POST", "/v1/events", {"event": "a"}, headers={"Idempotency-Key": key})
    assert (reply.status, "Idempotency-Key" in reply.json["detail"]) == (400, True)


async def test_many_events_are_published_in_one_step_and_in_order(api, events):
    await subscribed(api)
    await delivered(api, events, status=204)
    body = [{"event": "order.created", "data": {"n": n}} for n in range(3)] + [{"type": "invoice.sent"}]
    reply = await api("POST", "/v1/events:bulk", body, headers={"Idempotency-Key": "batch"})
    assert reply.status == 202
    assert [each["deliveries"] for each in reply.json["items"]] == [1, 1, 1, 0]
    again = await api("POST", "/v1/events:bulk", body, headers={"Idempotency-Key": "batch"})
    assert [each["id"] for each in again.json["items"]] == [each["id"] for each in reply.json["items"]]
    assert {each["new"] for each in again.json["items"]} == {False}
    assert [each.event.data for each in await delivered(api, events)] == [b'{"n":0}', b'{"n":1}', b'{"n":2}']


async def test_of_many_events_one_that_is_wrong_stops_all_of_them(api):
    body = [{"event": "a", "idempotency_key": "1"}, {"event": "gateway.x"}, {"type": "b c"}]
    reply = await api("POST", "/v1/events:bulk", body)
    assert (reply.status, [each["field"] for each in reply.json["errors"]]) == (422, ["/1/event", "/2/type"])
    assert (await api("GET", "/v1/events")).json["items"] == []
    assert (await api("POST", "/v1/events:bulk", [])).status == 422
    one = await api("POST", "/v1/events:bulk", [{"event": "gateway.x"}])
    assert (one.status, [each["field"] for each in one.json["errors"]]) == (422, ["/0/event"])


async def test_what_an_integration_publishes_reaches_it_and_the_operator_and_no_other(api, events):
    mine, theirs = await api.integration("mine"), await api.integration("theirs")
    me, them = api.as_(mine["api_key"]), api.as_(theirs["api_key"])
    ids = {(await subscribed(each))["id"]: name for each, name in ((api, "operator"), (me, "me"), (them, "them"))}
    await delivered(api, events, status=204)
    told = await me("POST", "/v1/events", {"event": "order.created"})
    assert (told.json["deliveries"], told.json["integration_id"]) == (2, mine["id"])
    assert told.json["source"] == f"/integrations/{mine['id']}"
    reached = {ids[each.subscription.id] for each in await delivered(api, events, status=204)}
    assert reached == {"operator", "me"}
    assert (await them("GET", f"/v1/events/{told.json['id']}")).status == 404
    assert told.json["id"] not in [each["id"] for each in (await them("GET", "/v1/events")).json["items"]]
    assert told.json["id"] in [each["id"] for each in (await me("GET", "/v1/events")).json["items"]]
    for_it = await api("POST", "/v1/events", {"event": "order.created"}, params={"integration": theirs["id"]})
    assert for_it.json["integration_id"] == theirs["id"]


async def test_a_filter_decides_on_the_data(api, events):
    await subscribed(api, filter="data.total > 100.0 && event.type == 'order.created'")
    totals = {}
    for total in (50.0, 150.0):
        reply = await api("POST", "/v1/events", {"event": "order.created", "data": {"total": total}})
        totals[total] = reply.json["deliveries"]
    assert totals == {50.0: 0, 150.0: 1}


async def test_events_are_listed_newest_first_and_followed_oldest_first(api):
    for n in range(5):
        await api("POST", "/v1/events", {"event": "a", "data": n})
    page = (await api("GET", "/v1/events", params={"limit": "2"})).json
    assert [each["data"] for each in page["items"]] == [4, 3]
    rest = (await api("GET", "/v1/events", params={"limit": "50", "cursor": page["next_cursor"]})).json
    assert ([each["data"] for each in rest["items"]], rest["next_cursor"]) == ([2, 1, 0], None)
    at = rest["items"][0]["sequence"]
    later = (await api("GET", "/v1/events", params={"after": str(at)})).json
    assert ([each["data"] for each in later["items"]], later["next_cursor"]) == ([3, 4], None)
    assert [
        each["data"] for each in (await api("GET", "/v1/events", params={"after": "0", "limit": "1"})).json["items"]
    ] == [0]
    assert (await api("GET", "/v1/events", params={"after": "x"})).status == 422
    assert (await api("GET", "/v1/events", params={"after": "1", "cursor": "2"})).status == 422
    assert (await api("GET", "/v1/events", params={"cursor": "x"})).status == 422


async def test_every_type_of_event_has_a_schema_and_an_example_that_fits_it(api):
    mine = await api.integration("mine")
    reply = await api.as_(mine["api_key"])("GET", "/v1/event-types")
    assert reply.status == 200
    assert [each["name"] for each in reply.json["items"]] == sorted(CATALOGUE)
    for each in reply.json["items"]:
        assert each["description"]
        jsonschema_rs.validator_for(each["schema"]).validate(each["example"])


# ---------------------------------------------------------------- deliveries


async def test_a_delivery_is_shown_with_every_attempt_at_it(api, events):
    made = await subscribed(api, headers={"Authorization": "Bearer t0ken"})
    await delivered(api, events, status=204)
    told = (await api("POST", "/v1/events", {"event": "order.created", "data": {"n": 1}})).json
    headers = (("content-type", "application/json"), ("webhook-signature", "(hidden)"))
    await delivered(
        api, events, DeliveryState.PENDING, status=500, reason="status", detail="it answered with status 500",
        request_headers=headers, excerpt=b"oh \xff no",
    )  # fmt: skip
    await delivered(api, events, status=204, request_headers=headers)
    path = f"/v1/subscriptions/{made['id']}/deliveries"
    newest = (await api("GET", path)).json["items"][0]
    assert (newest["state"], newest["attempt_count"], newest["status"], newest["event_id"]) == (
        "delivered", 2, 204, told["id"],
    )  # fmt: skip
    whole = (await api("GET", f"/v1/deliveries/{newest['id']}")).json
    assert whole["event"]["data"] == {"n": 1}
    first, second = whole["attempts"]
    assert (first["number"], first["status"], first["reason"], first["ms"]) == (1, 500, "status", 12.5)
    assert first["response_excerpt"] == "oh � no"
    assert first["request_headers"] == dict(headers)
    assert (second["number"], second["status"], second["reason"], second["cause"]) == (2, 204, None, "schedule")


async def test_deliveries_are_found_by_state_event_and_time_in_pages(api, events):
    made = await subscribed(api)
    await delivered(api, events, status=204)
    path = f"/v1/subscriptions/{made['id']}/deliveries"
    ids = []
    for n in range(4):
        api.clock.now += 60
        ids.append((await api("POST", "/v1/events", {"event": "order.created", "data": n})).json["id"])
        state = DeliveryState.DEAD if n % 2 else DeliveryState.DELIVERED
        await delivered(api, events, state, reason="status" if n % 2 else None)

    async def found(**params):
        reply = await api("GET", path, params=params)
        assert reply.status == 200, reply.body
        return [ids.index(each["event_id"]) for each in reply.json["items"] if each["event_id"] in ids]

    assert await found() == [3, 2, 1, 0]
    assert await found(state="dead") == [3, 1]
    assert await found(state="pending") == []
    assert await found(event=ids[2]) == [2]
    assert await found(event="evt_0") == []
    since = (await api("GET", f"/v1/events/{ids[2]}")).json["time"]
    assert await found(since=since) == [3, 2]
    assert await found(until=since) == [1, 0]
    page = (await api("GET", path, params={"limit": "2"})).json
    following = (await api("GET", path, params={"limit": "1", "cursor": page["next_cursor"]})).json
    assert [each["event_id"] for each in following["items"]] == [ids[1]]
    for wrong in ({"state": "lost"}, {"since": "yesterday"}, {"cursor": "x"}, {"limit": "0"}, {"stat": "dead"}):
        assert (await api("GET", path, params=wrong)).status == 422, wrong


async def test_any_delivery_can_be_sent_again_with_the_same_event(api, events):
    made = await subscribed(api)
    await delivered(api, events, status=204)
    told = (await api("POST", "/v1/events", {"event": "order.created"})).json
    await delivered(api, events, status=204)
    (newest, _) = (await api("GET", f"/v1/subscriptions/{made['id']}/deliveries")).json["items"]
    again = await api("POST", f"/v1/deliveries/{newest['id']}/redeliver")
    assert (again.status, again.json["state"], again.json["id"]) == (202, "pending", newest["id"])
    (claimed,) = await events.claim(now=api.clock(), lease_until=api.clock() + 30, limit=10)
    assert (claimed.event.id, claimed.cause) == (told["id"], Cause.REDELIVER)
    busy = await api("POST", f"/v1/deliveries/{newest['id']}/redeliver")
    assert (busy.status, "under way" in busy.json["detail"]) == (409, True)


async def test_what_was_given_up_since_a_time_is_sent_again_with_progress(api, events):
    made = await subscribed(api)
    await delivered(api, events, status=204)
    times = []
    for _ in range(4):
        api.clock.now += 60
        times.append((await api("POST", "/v1/events", {"event": "order.created"})).json["time"])
        await delivered(api, events, DeliveryState.DEAD, reason="status")
    path = f"/v1/subscriptions/{made['id']}/recover"
    begun = await api("POST", path, {"since": times[1]})
    assert begun.status == 202
    assert (begun.json["total"], begun.json["requeued"], begun.json["done"]) == (3, 0, False)
    at = begun.headers["location"]
    assert at == f"/v1/subscriptions/{made['id']}/recoveries/{begun.json['id']}"
    await events.recover(2, now=api.clock())
    assert (await api("GET", at)).json == {**begun.json, "requeued": 2}
    await events.recover(2, now=api.clock())
    assert (await api("GET", at)).json == {**begun.json, "requeued": 3, "done": True}
    assert len(await delivered(api, events, status=204)) == 3
    for wrong in ({}, {"since": "yesterday"}, {"since": 5}, {"since": "2100-01-01T00:00:00Z"}):
        reply = await api("POST", path, wrong)
        assert (reply.status, reply.json["errors"][0]["field"]) == (422, "/since")


async def test_a_ping_is_a_delivery_that_can_be_followed(api, events):
    made = await subscribed(api)
    await delivered(api, events, status=204)
    reply = await api("POST", f"/v1/subscriptions/{made['id']}/ping")
    assert (reply.status, reply.json["event_type"], reply.json["state"]) == (202, "gateway.ping", "pending")
    (claimed,) = await delivered(api, events, status=204)
    assert json.loads(claimed.event.data) == {"subscription": {"id": made["id"], "name": made["name"]}}
    followed = (await api("GET", reply.headers["location"])).json
    assert (followed["state"], followed["attempts"][0]["cause"]) == ("delivered", "schedule")


async def test_the_deliveries_of_others_are_not_there(api, events):
    mine, theirs = await api.integration("mine"), await api.integration("theirs")
    me, them = api.as_(mine["api_key"]), api.as_(theirs["api_key"])
    other = await subscribed(them)
    (ping,) = (await them("GET", f"/v1/subscriptions/{other['id']}/deliveries")).json["items"]
    for foreign in (ping["id"], "dlv_00000000ffff", "x", "dlv_"):
        for method, path in (("GET", f"/v1/deliveries/{foreign}"), ("POST", f"/v1/deliveries/{foreign}/redeliver")):
            reply = await me(method, path)
            assert (reply.status, reply.json["detail"]) == (404, f"There is no delivery '{foreign}'.")
    own = await subscribed(me)
    begun = await them("POST", f"/v1/subscriptions/{other['id']}/recover", {"since": "2026-01-01T00:00:00Z"})
    foreign = await me("GET", f"/v1/subscriptions/{own['id']}/recoveries/{begun.json['id']}")
    assert foreign.status == 404
