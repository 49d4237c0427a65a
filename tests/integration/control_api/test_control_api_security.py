"""Ed25519 keys and TLS settings of integrations over the control API."""

from __future__ import annotations

import sys

import pytest
import trustme

from gateway.wire.ed25519 import new_signing_key, public_key_of

AUTHORITY = trustme.CA()
CA = AUTHORITY.cert_pem.bytes().decode()
ISSUED = AUTHORITY.issue_cert("gateway.example")
CERTIFICATE = ISSUED.cert_chain_pems[0].bytes().decode()
KEY = ISSUED.private_key_pem.bytes().decode()
OTHER_KEY = AUTHORITY.issue_cert("other.example").private_key_pem.bytes().decode()
TLS = {"ca_pem": CA, "client_certificate_pem": CERTIFICATE, "client_key_pem": KEY, "server_name": "hooks.internal"}
SHOWN = {"ca_pem": CA, "client_certificate_pem": CERTIFICATE, "server_name": "hooks.internal"}
PUBLIC = public_key_of(new_signing_key())


async def register(api, **fields):
    return await api("POST", "/v1/integrations", {"name": "prices", "base_url": "https://hooks.example.com", **fields})


async def rotate(api, integration_id, **fields):
    path = f"/v1/integrations/{integration_id}/credentials"
    return await api("POST", path, {"what": "signing_key", **fields})


async def test_a_signing_key_is_made_and_only_its_public_part_is_told(api):
    made = (await register(api)).json
    assert made["signing_public_keys"] == []
    reply = await rotate(api, made["id"])
    assert reply.status == 200
    assert reply.headers["cache-control"] == "no-store"
    assert reply.json == {"what": "signing_key", "public_key": reply.json["public_key"], "previous_expires_at": None}
    shown = await api("GET", f"/v1/integrations/{made['id']}")
    assert shown.json["signing_public_keys"] == [{"public_key": reply.json["public_key"], "expires_at": None}]
    (stored,) = api.registry.integration(made["id"]).signing_keys
    assert public_key_of(stored.secret) == reply.json["public_key"]
    for body in (reply.body, shown.body):
        assert b"whsk_" not in body


async def test_during_a_rotation_both_public_keys_are_shown_with_the_end_of_the_old_one(api):
    made = (await register(api)).json
    first = (await rotate(api, made["id"])).json["public_key"]
    second = (await rotate(api, made["id"], grace_seconds=60)).json
    until = "2026-09-21T14:14:20.250Z"
    assert second["previous_expires_at"] == until
    shown = (await api("GET", f"/v1/integrations/{made['id']}")).json["signing_public_keys"]
    assert shown == [
        {"public_key": second["public_key"], "expires_at": None},
        {"public_key": first, "expires_at": until},
    ]


async def test_without_the_extra_a_signing_key_is_refused_with_its_name(api, monkeypatch):
    made = (await register(api)).json
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)
    reply = await rotate(api, made["id"])
    assert (reply.status, reply.json["errors"][0]["field"]) == (422, "/what")
    assert "query-hook-gateway[ed25519]" in reply.json["errors"][0]["detail"]
    reply = await register(api, name="other", reply_public_keys=[PUBLIC])
    assert (reply.status, reply.json["errors"][0]["field"]) == (422, "/reply_public_keys/0")


async def test_keys_for_replies_are_registered_changed_and_taken_away(api):
    made = (await register(api, reply_public_keys=[PUBLIC])).json
    assert made["reply_public_keys"] == [PUBLIC]
    other = public_key_of(new_signing_key())
    path = f"/v1/integrations/{made['id']}"
    assert (await api("PATCH", path, {"reply_public_keys": [other, PUBLIC]})).json["reply_public_keys"] == [
        other,
        PUBLIC,
    ]
    assert (await api("PATCH", path, {"priority": 3})).json["reply_public_keys"] == [other, PUBLIC]
    assert (await api("PATCH", path, {"reply_public_keys": []})).json["reply_public_keys"] == []


@pytest.mark.parametrize("key", ["", "whpk_AAAA", "whsec_" + "A" * 43 + "=", "whpk_" + "A" * 43], ids=range(4))
async def test_a_key_for_replies_that_is_none_is_refused(api, key):
    reply = await register(api, reply_public_keys=[PUBLIC, key])
    assert (reply.status, reply.json["errors"][0]["field"]) == (422, "/reply_public_keys/1")


async def test_tls_settings_are_taken_and_shown_without_the_key(api):
    reply = await register(api, tls=TLS)
    assert (reply.status, reply.json["tls"]) == (201, SHOWN)
    integration = api.registry.integration(reply.json["id"])
    assert integration.client_key_pem == KEY
    answers = [
        reply,
        await api("GET", f"/v1/integrations/{integration.id}"),
        await api("GET", "/v1/integrations"),
        await api("PATCH", f"/v1/integrations/{integration.id}", {"priority": 1}),
    ]
    for shown in [*(answer.body.decode() for answer in answers), repr(integration)]:
        assert KEY.splitlines()[1] not in shown
        assert "client_key_pem" not in shown


async def test_a_change_of_tls_settings_merges(api):
    made = (await register(api, tls=TLS)).json
    path = f"/v1/integrations/{made['id']}"
    reply = await api("PATCH", path, {"tls": {"server_name": None}})
    assert (reply.status, reply.json["tls"]) == (200, {**SHOWN, "server_name": None})
    reply = await api("PATCH", path, {"tls": {"client_certificate_pem": None}})
    assert (reply.status, reply.json["errors"][0]["field"]) == (422, "/tls/client_certificate_pem")
    reply = await api("PATCH", path, {"tls": {"client_certificate_pem": None, "client_key_pem": None}})
    assert reply.json["tls"] == {"ca_pem": CA, "client_certificate_pem": None, "server_name": None}
    assert (await api("PATCH", path, {"tls": None})).json["tls"] is None
    assert api.registry.integration(made["id"]).client_key_pem is None
    reply = await api("PATCH", path, {"tls": {"client_certificate_pem": CERTIFICATE, "client_key_pem": KEY}})
    assert reply.json["tls"]["client_certificate_pem"] == CERTIFICATE
    await api("PATCH", path, {"tls": None})
    assert api.registry.integration(made["id"]).client_key_pem is None


@pytest.mark.parametrize(
    ("field", "tls"),
    [
        ("/tls/ca_pem", {"ca_pem": "nothing"}),
        ("/tls/ca_pem", {"ca_pem": CA + KEY}),
        ("/tls/client_key_pem", {"client_certificate_pem": CERTIFICATE}),
        ("/tls/client_certificate_pem", {"client_key_pem": KEY}),
        ("/tls/client_key_pem", {"client_certificate_pem": CERTIFICATE, "client_key_pem": OTHER_KEY}),
        ("/tls/server_name", {"server_name": "not a name"}),
        ("/tls/insecure", {"insecure": True}),
    ],
)
async def test_tls_settings_that_cannot_be_used_are_refused_by_field_and_the_key_is_not_echoed(api, field, tls):
    reply = await register(api, tls=tls)
    assert (reply.status, reply.json["errors"][0]["field"]) == (422, field)
    for key in (KEY, OTHER_KEY):
        assert key.splitlines()[1] not in reply.body.decode()
    assert api.registry.integrations() == []


async def test_tls_settings_with_plain_http_are_refused(api):
    reply = await register(api, base_url="http://hooks.example.com", tls={"ca_pem": CA})
    assert reply.status == 422
    assert "/tls" in [error["field"] for error in reply.json["errors"]]
    made = (await register(api, tls={"ca_pem": CA})).json
    reply = await api("PATCH", f"/v1/integrations/{made['id']}", {"base_url": "http://hooks.example.com"})
    assert reply.status == 422
    assert any("take those away first" in error["detail"] for error in reply.json["errors"])


async def test_without_health_checks_an_integration_has_no_health(api):
    assert (await register(api)).json["health"] is None
