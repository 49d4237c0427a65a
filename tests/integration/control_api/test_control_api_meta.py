"""What the API tells of the gateway itself, and what every answer carries."""

from __future__ import annotations

import pytest

from gateway.errors import StoreLocked


async def test_the_process_is_alive(api):
    reply = await api.as_(None)("GET", "/healthz")
    assert (reply.status, reply.json) == (200, {"status": "ok"})


async def test_the_gateway_is_ready_and_tells_what_queries_see(api):
    made = await api.integration()
    hook = await api.as_(made["api_key"]).hook()
    await api("POST", f"/v1/hooks/{hook['id']}/enable")
    reply = await api.as_(None)("GET", "/readyz")
    assert (reply.status, reply.json) == (
        200,
        {"status": "ready", "generation": 3, "enabled_hooks": 1, "upstreams": [], "certificates": []},
    )


async def test_the_gateway_is_not_ready_while_its_store_cannot_be_read(api, monkeypatch):
    async def locked():
        raise StoreLocked

    monkeypatch.setattr(api.store, "ping", locked)
    reply = await api.as_(None)("GET", "/readyz")
    assert (reply.status, reply.json["detail"]) == (503, "The database is in use by another process.")
    assert (await api("GET", "/healthz")).status == 200


async def test_metrics_are_in_the_prometheus_text_format(api):
    reply = await api.as_(None)("GET", "/metrics")
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/plain; version=")
    assert b"# TYPE gateway_hook_calls_total counter" in reply.body


async def test_metrics_count_the_answers_of_the_api_by_status(api):
    await api("GET", "/v1/hooks/hk_none")
    await api("GET", "/nowhere")
    reply = await api.as_(None)("GET", "/metrics")
    assert b'gateway_http_requests_total{api="control",status="404"} 2.0' in reply.body


@pytest.mark.parametrize("path", ["/healthz", "/v1/hooks", "/v1/hooks/hk_none", "/nowhere", "/openapi.json"])
async def test_every_answer_forbids_guessing_its_type_and_embedding_and_opens_to_no_other_origin(api, path):
    reply = await api("GET", path, headers={"origin": "https://elsewhere.example"})
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in reply.headers
    assert "aiohttp" not in reply.headers["server"]


async def test_a_preflight_of_a_browser_is_not_granted(api):
    headers = {"origin": "https://elsewhere.example", "access-control-request-method": "POST"}
    reply = await api.as_(None)("OPTIONS", "/v1/hooks", headers=headers)
    assert reply.status == 405
    assert not [name for name in reply.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("path", ["/healthz", "/v1/hooks", "/openapi.json"])
async def test_head_answers_like_get_without_a_body(api, path):
    head, get = await api("HEAD", path), await api("GET", path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]
