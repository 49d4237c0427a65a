"""Whatever hooks do: the answer is the last good result, byte for byte, or the error that the operator asked for."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import Envelope, FailurePolicy, HookDraft, HookFailed, IntegrationDraft, Query, Result, Settings
from gateway.model import Reason, Status
from gateway.runtime import open_gateway
from gateway.testing.fault_matrix import merged
from gateway.testing.fault_server import FAULTS, FaultServer, Site
from gateway.transport.client import HttpTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.runtime import Gateway

BEFORE = b'{"rows":[1,2]}'
SHORT_MS = 30
AMPLE_MS = 5_000
# Those that are told apart by the path alone, and do the same each time.
PLAIN = [
    fault
    for fault in FAULTS
    if fault.site is Site.HTTP and not fault.signed and fault.first is None and fault.expected.reason is not Reason.GONE
]
SLOW = [fault for fault in PLAIN if fault.expected.reason is Reason.TIMEOUT]
QUICK = [fault for fault in PLAIN if fault.expected.reason is not Reason.TIMEOUT]

GOOD = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(
    st.tuples(st.one_of(GOOD, st.sampled_from(QUICK), st.sampled_from(SLOW)), st.sampled_from(FailurePolicy)),
    max_size=5,
)


class Chains:
    """A gateway with a server of faults, open for the whole test: each example makes its own hooks."""

    def __init__(self, gateway: Gateway, server: FaultServer, transport: HttpTransport, integration_id: str) -> None:
        self.gateway = gateway
        self.server = server
        self.transport = transport
        self.integration_id = integration_id

    async def check(self, steps, *, spent: bool) -> None:
        """Run the chain of `steps`; `spent`: the budget is used up by a hook in front of them."""
        drafts = []
        if spent:
            drafts.append(HookDraft("spender", "/hang", order=-1, timeout_ms=AMPLE_MS))
        for number, (what, policy) in enumerate(steps):
            good = isinstance(what, str)
            slow = not good and what.expected.reason is Reason.TIMEOUT
            drafts.append(
                HookDraft(
                    f"hook-{number}",
                    f"/add/{what}" if good else what.path,
                    order=number,
                    timeout_ms=SHORT_MS if slow else AMPLE_MS,
                    failure_policy=policy,
                )
            )
        registry = self.gateway.registry
        for hook in await registry.replace_hooks(self.integration_id, drafts):
            await registry.enable(hook.id)
        expected = model(steps, spent=spent)
        try:
            answer = await self.gateway.chain.run(Query("search"), Result(BEFORE))
            found: object = answer.result.body
        except HookFailed as error:
            found = (error.hook, error.reason)
        assert found == expected
        assert self.transport.open_connections == self.transport.idle_connections
        assert self.transport.buffered_bytes == 0
        assert all(bound.in_flight.count == 0 for bound in registry.snapshot.select("search", None, None))


def model(steps, *, spent: bool) -> object:
    """The bytes of the answer, or the hook and the reason of the error."""
    result = BEFORE
    for number, (what, policy) in enumerate(steps):
        if spent:
            if policy is FailurePolicy.FAIL:
                return (f"hook-{number}", Reason.TIMEOUT)
            continue
        if isinstance(what, str):
            result = merged(result, what)
        elif what.expected.status is Status.FAILED:
            if policy is FailurePolicy.FAIL:
                return (f"hook-{number}", what.expected.reason)
        elif what.expected.result is not None:
            result = what.expected.result
    return result


@asynccontextmanager
async def opened(budget_ms: int) -> AsyncIterator[Chains]:
    calls = {"allow_http": True, "allow": ["127.0.0.1"], "require_ownership": False, "budget_ms": budget_ms}
    given_settings = Settings.model_validate(
        {
            "store": {"url": "memory:"},
            "calls": {**calls, "max_reply_bytes": 1_000_000},
            "breaker": {"enabled": False},
        }
    )
    async with FaultServer() as server:
        transport = HttpTransport(server.guard)
        async with open_gateway(given_settings, transport=transport) as gateway:
            envelope = Envelope(failure_policy=FailurePolicy.FAIL)
            made = await gateway.registry.register(IntegrationDraft("faults", server.url, envelope=envelope))
            yield Chains(gateway, server, transport, made.integration.id)
        await transport.aclose()
        await server.no_connections()


def run(loop_factory, budget_ms: int, examples: int, *, spent: bool) -> None:
    """Hypothesis is synchronous: each example runs in the one loop that the gateway lives in."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        place = opened(budget_ms)
        chains = runner.run(place.__aenter__())
        tasks = len(asyncio.all_tasks(runner.get_loop()))

        @settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
        @given(steps=STEPS)
        def never_worse(steps):
            runner.run(chains.check(steps, spent=spent))

        try:
            never_worse()
            runner.run(settled(chains, tasks))
        finally:
            runner.run(place.__aexit__(None, None, None))


async def settled(chains: Chains, tasks: int) -> None:
    """Nothing is left open once the idle connections are closed."""
    chains.server.close_idle()
    await chains.server.no_connections()
    async with asyncio.timeout(10):
        while len(asyncio.all_tasks()) > tasks + 1 or chains.transport.open_connections:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0)


@pytest.mark.parametrize("loop_factory", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_the_answer_is_the_last_good_result_or_the_error_of_the_first_hook_that_must_not_fail(loop_factory):
    run(loop_factory, 60_000, 40, spent=False)


def test_once_the_budget_is_spent_the_answer_is_the_last_good_result_unless_a_hook_must_not_fail():
    run(uvloop.new_event_loop, 30, 25, spent=True)
