"""An open gateway shows in its metrics what its registry holds and what its servers answered."""

from __future__ import annotations

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.config import Settings
from gateway.model import Outcome, Query, Status
from gateway.registry import HookDraft, IntegrationDraft
from gateway.runtime import open_gateway
from gateway.service.serving import listening
from gateway.testing.clock import ManualClock

KEY = "an-operator-key-1"


async def scrape(url):
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as response:
        text = await response.text()
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def settings():
    return Settings(
        store={"url": "memory:"},
        listen="127.0.0.1:0",
        control={"listen": "127.0.0.1:0"},
        calls={"require_ownership": False},
        upstream="http://127.0.0.1:1",
    )


async def test_generation_and_enabled_hooks_follow_the_registry_and_removed_hooks_leave(settings):
    clock = ManualClock()
    async with open_gateway(settings, now=clock) as gateway, listening(gateway, [KEY]) as (url, _):
        registry = gateway.registry
        made = await registry.register(IntegrationDraft(name="acme", base_url="https://hooks.example"))
        hooks = [await registry.create_hook(made.integration.id, HookDraft(name=n, path="/")) for n in ("fx", "geo")]
        await registry.enable(hooks[0].id, lease_seconds=60)
        for hook in hooks:
            gateway.metrics.outcome(Query("a"), Outcome(hook.name, "acme", Status.UNCHANGED, hook_id=hook.id))
        found = await scrape(url)
        assert found["gateway_snapshot_generation",] == registry.generation
        assert found["gateway_hooks_enabled",] == 1
        assert found["gateway_hook_calls_total", "", "acme", "geo", "unchanged"] == 1
        await registry.remove_hook(hooks[1].id)
        clock.advance(61)
        await registry.expire_leases()
        found = await scrape(url)
        assert found["gateway_hooks_enabled",] == 0
        assert not [key for key in found if "geo" in key]
        assert [key for key in found if "fx" in key]


async def test_answers_are_counted_by_api_and_status(settings):
    async with open_gateway(settings) as gateway, listening(gateway, [KEY]) as (url, gateway_url):
        async with aiohttp.ClientSession() as session:
            for address in (f"{gateway_url}/anything", f"{url}/v1/integrations", f"{url}/healthz"):
                async with session.get(address):
                    pass
        found = await scrape(url)
    assert found["gateway_http_requests_total", "502", "gateway"] == 1
    assert found["gateway_http_requests_total", "401", "control"] == 1
    assert found["gateway_http_requests_total", "200", "control"] >= 1
