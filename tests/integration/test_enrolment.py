"""A receiver's hooks are enabled while it lives, whatever happens to the gateway in the meantime."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from gateway import IntegrationDraft, Settings, open_gateway
from gateway.errors import ConfigError
from gateway.receiver import HookReceiver
from gateway.receiver.enrolment import Enrolment
from gateway.receiver.metrics import ReceiverMetrics
from gateway.service.serving import listening
from gateway.testing.clock import ManualClock

if TYPE_CHECKING:
    from gateway.receiver.control.hooks import HookRequest

OPERATOR = "an-operator-key-for-tests"
DECLARED: list[HookRequest] = [{"name": "a", "path": "/a"}, {"name": "b", "path": "/b"}]


def settings(**calls):
    return Settings.model_validate(
        {
            "store": {"url": "memory:"},
            "calls": {"allow_http": True, "allow": ["127.0.0.0/8"], "require_ownership": False, **calls},
            "control": {"listen": "127.0.0.1:0"},
        }
    )


@asynccontextmanager
async def enrolling(*, lease=30.0, **calls):
    clock = ManualClock()
    async with open_gateway(settings(**calls), now=clock) as gateway, listening(gateway, [OPERATOR]) as (url, _):
        registered = await gateway.registry.register(IntegrationDraft("example", "http://127.0.0.1:1"))
        enrolment = Enrolment(
            url, registered.api_key, lambda: DECLARED, ReceiverMetrics(), lease_seconds=lease, chance=lambda: 0.5
        )
        async with enrolment._client:
            yield gateway, enrolment, clock


def states(gateway):
    return {hook.name: hook.enabled for hook in gateway.registry.hooks()}


async def test_hooks_are_declared_enabled_and_renewed_three_times_per_lease():
    async with enrolling() as (gateway, enrolment, clock):
        assert await enrolment.step() == 10.0
        assert states(gateway) == {"a": True, "b": True}
        first = [hook.lease_expires_at for hook in gateway.registry.hooks()]
        clock.advance(10)
        assert await enrolment.step() == 10.0
        assert [hook.lease_expires_at - 10 for hook in gateway.registry.hooks()] == first
        assert enrolment.state == "enrolled"


async def test_without_a_lease_it_is_only_looked_after():
    async with enrolling(lease=None) as (gateway, enrolment, _):
        assert await enrolment.step() == 60.0
        assert {hook.lease_expires_at for hook in gateway.registry.hooks()} == {None}


async def test_a_lease_that_ended_because_the_gateway_was_not_reached_is_taken_again():
    async with enrolling() as (gateway, enrolment, clock):
        await enrolment.step()
        clock.advance(31)
        await gateway.registry.expire_leases()
        assert states(gateway) == {"a": False, "b": False}
        await enrolment.step()
        assert states(gateway) == {"a": True, "b": True}


async def test_a_hook_that_someone_disabled_stays_so():
    async with enrolling() as (gateway, enrolment, _):
        await enrolment.step()
        hook = next(hook for hook in gateway.registry.hooks() if hook.name == "a")
        await gateway.registry.disable(hook.id, reason="it misbehaves")
        await enrolment.step()
        assert states(gateway) == {"a": False, "b": True}
        assert enrolment.state == "enrolled; disabled by someone else: a"


async def test_hooks_that_were_removed_are_declared_again():
    async with enrolling() as (gateway, enrolment, _):
        await enrolment.step()
        await gateway.registry.replace_hooks(gateway.registry.integrations()[0].id, [])
        await enrolment.step()
        assert states(gateway) == {"a": True, "b": True}


async def test_a_gateway_that_cannot_be_reached_is_asked_again_after_growing_waits():
    enrolment = Enrolment("http://127.0.0.1:1", "key", lambda: DECLARED, ReceiverMetrics(), chance=lambda: 1.0)
    async with enrolment._client:
        waits = [await enrolment.step() for _ in range(11)]
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert waits[-1] == 30.0
    assert enrolment.state.startswith("not enrolled: The gateway at http://127.0.0.1:1 could not be reached")


async def test_an_address_that_does_not_answer_yet_is_tried_again():
    async with enrolling(require_ownership=True) as (gateway, enrolment, _):
        assert await enrolment.step() < 1
        assert states(gateway) == {"a": False, "b": False}
        assert "OPTIONS" in enrolment.state


async def test_a_hook_without_a_handler_is_told_of_at_the_start():
    receiver = HookReceiver(["whsec_" + "A" * 44])
    receiver.hook({"name": "idle", "path": "/idle"})
    receiver.enrol("http://127.0.0.1:1", "key")
    with pytest.raises(ConfigError, match="'idle' has no handler"):
        async with receiver.living():
            pass
