"""One attempt: what is sent, where it may go, and what an answer means."""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
from datetime import UTC, datetime

import pytest
import standardwebhooks
import trustme

from gateway.model import SigningSecret
from gateway.model.delivery import DeliveryState
from gateway.model.subscription import ContentType
from gateway.relay.delivery import SenderSettings
from gateway.testing.hook_server import HookServer, Reply
from gateway.wire import signature
from gateway.wire.signature import new_secret


async def test_a_receiver_that_knows_nothing_of_us_can_verify_it(bench):
    secret = new_secret()
    await bench.subscribe(secrets=(SigningSecret(secret, 0.0),))
    published = await bench.publisher.publish("order.created", {"total": 3})
    await bench.go()
    (request,) = bench.server.requests
    at = int(request.header("webhook-timestamp"))
    signature.verify(
        [signature.key_of(secret)],
        message_id=request.header("webhook-id"),
        timestamp=request.header("webhook-timestamp"),
        signature=request.header("webhook-signature"),
        body=request.body,
        now=bench.clock(),
    )
    assert request.header("webhook-id") == published.event.id
    assert at == int(bench.clock())
    oracle = standardwebhooks.Webhook(secret)
    signed = oracle.sign(published.event.id, datetime.fromtimestamp(at, UTC), request.body.decode())
    assert signed in request.header("webhook-signature").split(" ")


async def test_json_is_an_envelope_around_the_data_as_it_was_given(bench):
    await bench.subscribe()
    published = await bench.publisher.publish("order.created", b'{"total": 1.10}')
    await bench.go()
    (request,) = bench.server.requests
    assert request.method == "POST"
    assert request.header("content-type") == "application/json"
    body = json.loads(request.body)
    assert body == {
        "id": published.event.id,
        "type": "order.created",
        "timestamp": "2023-11-14T22:13:20.000Z",
        "data": {"total": 1.1},
    }
    assert b'"data":{"total": 1.10}' in request.body


async def test_a_cloudevent_has_its_attributes(bench):
    await bench.subscribe(content_type=ContentType.CLOUDEVENTS)
    published = await bench.publisher.publish("order.created", [1, 2], subject="order 7")
    await bench.go()
    (request,) = bench.server.requests
    assert request.header("content-type") == "application/cloudevents+json"
    assert json.loads(request.body) == {
        "specversion": "1.0",
        "id": published.event.id,
        "source": "/gateway",
        "type": "order.created",
        "time": "2023-11-14T22:13:20.000Z",
        "subject": "order 7",
        "datacontenttype": "application/json",
        "data": [1, 2],
    }


async def test_during_a_rotation_there_is_a_signature_for_each_secret_that_holds(bench):
    new, old, gone = new_secret(), new_secret(), new_secret()
    secrets = (
        SigningSecret(new, 2.0),
        SigningSecret(old, 1.0, bench.clock() + 60),
        SigningSecret(gone, 0.0, bench.clock() - 1),
    )
    await bench.subscribe(secrets=secrets)
    await bench.publisher.publish("a")
    await bench.go()
    (request,) = bench.server.requests
    at = int(request.header("webhook-timestamp"))
    keys = [signature.key_of(new), signature.key_of(old)]
    assert request.header("webhook-signature") == signature.sign(keys, request.header("webhook-id"), at, request.body)


async def test_extra_headers_and_a_github_signature_are_sent_where_asked_for(bench):
    secret = new_secret()
    secrets = (SigningSecret(secret, 0.0),)
    await bench.subscribe(headers=(("x-team", "billing"),), github_signature=True, secrets=secrets)
    await bench.publisher.publish("order.created")
    await bench.go()
    (request,) = bench.server.requests
    expected = "sha256=" + hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest()
    assert request.header("x-hub-signature-256") == expected
    assert request.header("x-team") == "billing"
    assert request.header("gateway-event") == "order.created"
    assert request.header("gateway-attempt") == "1"
    assert request.header("gateway-delivery") == (await bench.deliveries())[0].id


async def test_the_record_shows_the_request_without_secrets_and_the_beginning_of_the_answer(new_bench):
    async def handler(_request):
        return Reply(500, [], b"x" * 5_000)

    async with new_bench(sender=SenderSettings(timeout=5.0, excerpt_bytes=100)) as bench:
        bench.server.on("/big", handler)
        await bench.subscribe(path="/big", headers=(("authorization", "Bearer of-mine"), ("accept", "mine-too")))
        await bench.publisher.publish("a")
        await bench.go()
        (attempt,) = await bench.attempts()
        shown = dict(attempt.request_headers)
        assert shown["authorization"] == shown["accept"] == shown["webhook-signature"] == "(hidden)"
        assert "of-mine" not in repr(attempt)
        assert "mine-too" not in repr(attempt)
        assert shown["webhook-id"] == bench.got()[0]
        assert (attempt.status, attempt.reason, attempt.excerpt) == (500, "status", b"x" * 100)
        assert attempt.ms > 0


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/status/500", "status"),
        ("/status/404", "status"),
        ("/redirect", "status"),
        ("/hang-up", "connect"),
        ("/garbage", "protocol"),
        ("/hang", "timeout"),
        ("/drip", "timeout"),
    ],
)
async def test_whatever_is_no_success_is_tried_again(new_bench, path, reason):
    async with new_bench(sender=SenderSettings(timeout=0.5 if reason == "timeout" else 10.0)) as bench:
        await bench.subscribe(path=path)
        await bench.publisher.publish("a")
        await bench.relay.step()
        (attempt,) = await bench.attempts()
        (delivery,) = await bench.deliveries()
        assert (attempt.reason, delivery.state) == (reason, DeliveryState.PENDING)
        assert delivery.due == bench.clock() + 5
        assert len(bench.server.requests) == 1


@pytest.mark.parametrize("path", ["/big?size=300000", "/big?size=300000&chunked", "/gzip-bomb"])
async def test_a_success_with_a_body_past_the_cap_is_a_success(bench, path):
    await bench.subscribe(path=path)
    await bench.publisher.publish("a")
    await bench.go()
    (delivery,) = await bench.deliveries()
    assert (delivery.state, delivery.status) == (DeliveryState.DELIVERED, 200)


async def test_no_address_of_ones_own_network_is_connected_to(new_bench):
    async with new_bench(allow=()) as bench:
        await bench.subscribe()
        await bench.publisher.publish("a")
        await bench.go()
        (attempt,) = await bench.attempts()
        assert (attempt.reason, attempt.status) == ("blocked_address", None)
        assert bench.server.accepted == 0


async def test_what_is_redelivered_by_hand_goes_through_the_address_guard_as_well(new_bench):
    async with new_bench(allow=()) as bench:
        await bench.subscribe()
        await bench.publisher.publish("a")
        await bench.go()
        (delivery,) = await bench.deliveries()
        await bench.store.redeliver(delivery.id, now=bench.clock())
        await bench.go()
        assert [attempt.reason for attempt in await bench.attempts()] == ["blocked_address"] * 2
        assert bench.server.accepted == 0


@pytest.mark.parametrize(("allowed", "wanted"), [(True, True), (True, False), (False, True)])
async def test_a_certificate_goes_unverified_only_if_both_the_owner_and_the_operator_want_that(
    new_bench, allowed, wanted
):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("elsewhere.example").configure_cert(context)
    async with (
        HookServer(ssl=context) as server,
        new_bench(sender=SenderSettings(timeout=5.0, allow_insecure_ssl=allowed)) as bench,
    ):
        await bench.subscribe(url=server.url + "/unchanged", insecure_ssl=wanted)
        await bench.publisher.publish("a")
        await bench.go()
        (attempt,) = await bench.attempts()
        assert attempt.reason == (None if allowed and wanted else "tls")
