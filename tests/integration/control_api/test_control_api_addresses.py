"""Through the control API, no spelling of an internal address can be registered."""

from __future__ import annotations

import pytest

from gateway.testing.transport_reach import SPELLINGS_OF_LOOPBACK

REFUSED = [
    *(f"https://{host}" for host in SPELLINGS_OF_LOOPBACK),
    "https://10.0.0.1",
    "https://169.254.169.254/latest",
    "https://[fd00:ec2::254]",
    "https://[64:ff9b::a9fe:a9fe]",
    "https://[2002:a9fe:a9fe::1]",
    "https://[::ffff:169.254.169.254]",
    "https://192.168.1.1:8443",
    "https://100.64.0.1",
    "https://224.0.0.1",
    "https://user@hooks.example.com",
    "https://hooks.example.com@169.254.169.254",
    "https://user:secret@hooks.example.com",
    "https://hooks.example.com\\@169.254.169.254",
    "http://hooks.example.com",
    "ftp://hooks.example.com",
    "https://hooks.example.com:0",
    "https://hooks.example.com:65536",
    "https://ｌｏｃａｌｈｏｓｔ",
    "https://xn--",
]


@pytest.mark.parametrize("url", REFUSED)
async def test_an_address_that_calls_may_not_go_to_is_refused_at_registration_and_at_a_change(api, url):
    reply = await api("POST", "/v1/integrations", {"name": "inside", "base_url": url})
    assert reply.status == 422
    assert [error["field"] for error in reply.json["errors"]] == ["/base_url"]
    made = (await api("POST", "/v1/integrations", {"name": "outside", "base_url": "https://hooks.example.com"})).json
    reply = await api("PATCH", f"/v1/integrations/{made['id']}", {"base_url": url})
    assert reply.status == 422
    assert (await api("GET", f"/v1/integrations/{made['id']}")).json["base_url"] == "https://hooks.example.com"


@pytest.mark.parametrize(
    "url", ["https://hooks.example.com.", "https://bücher.example", "https://8.8.8.8:8443", "https://[2606:4700::1111]"]
)
async def test_a_public_address_or_a_name_is_registered_and_judged_again_at_each_connect(api, url):
    assert (await api("POST", "/v1/integrations", {"name": "outside", "base_url": url})).status == 201
