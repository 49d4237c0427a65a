"""Results through the chain of hooks, over real HTTP to a real (fake) integration server."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from gateway import (
    Delivery,
    Envelope,
    FailurePolicy,
    Gateway,
    HookDraft,
    HookFailed,
    IntegrationDraft,
    Query,
    QueryRejected,
    Result,
    Settings,
    open_gateway,
)
from gateway.model import Mode
from gateway.testing.hook_server import HookServer, Reply
from gateway.wire import signature

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.testing.hook_server import Request

BEFORE = b'{"rows": [1.50, 2]}'
Told = tuple[str, str, str | None]
TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
QUERY = Query("search", "air", "acme", {"q": "lisbon"})
ANYTHING = Envelope(failure_policy=FailurePolicy.FAIL, may_reject=True)


class Set:
    """An open gateway with one integration whose server is `server`."""

    def __init__(self, gateway: Gateway, server: HookServer, integration_id: str, secret: str) -> None:
        self.gateway = gateway
        self.server = server
        self.integration_id = integration_id
        self.secret = secret

    async def hook(self, path: str, name: str | None = None, **fields: Any) -> str:
        """Make and enable a hook at `path`; return its id."""
        name = name or path.strip("/").replace("/", "-")
        registry = self.gateway.registry
        hook = await registry.create_hook(self.integration_id, HookDraft(name=name, path=path, **fields))
        await registry.enable(hook.id)
        return hook.id

    async def ask(
        self, query: Query = QUERY, result: bytes = BEFORE
    ) -> tuple[bytes, list[tuple[str, str, str | None]]]:
        """The answer's bytes, and for each hook its name, status and reason."""
        answer = await self.gateway.chain.run(query, Result(result))
        return answer.result.body, [(o.hook, o.status.value, o.reason and o.reason.value) for o in answer.outcomes]

    def idle(self) -> bool:
        """Whether nothing is in flight any more."""
        snapshot = self.gateway.registry.snapshot
        return all(hook.in_flight.count == 0 for hook in snapshot.select(QUERY.type, QUERY.capability, QUERY.tenant))


@asynccontextmanager
async def opened(envelope: Envelope = ANYTHING, **calls: Any) -> AsyncIterator[Set]:
    given = {"allow_http": True, "allow": ["127.0.0.0/8"], "require_ownership": False, **calls}
    settings = Settings(store={"url": "memory:"}, calls=given)
    async with HookServer() as server, open_gateway(settings) as gateway:
        made = await gateway.registry.register(IntegrationDraft("fake", server.url, envelope=envelope))
        yield Set(gateway, server, made.integration.id, made.secret)


async def until(fulfilled: Callable[[], bool]) -> None:
    """Let the event loop run until this is so."""
    async with asyncio.timeout(5):
        while not fulfilled():  # noqa: ASYNC110  # the registry has no event to wait for
            await asyncio.sleep(0)


@pytest.fixture
async def setup() -> AsyncIterator[Set]:
    async with opened() as it:
        yield it


# ---------------------------------------------------------------- what goes over the wire


async def test_a_structured_call_is_a_signed_cloudevent_with_the_query_and_the_result(setup: Set) -> None:
    hook_id = await setup.hook("/unchanged")
    await setup.ask(
        Query(
            "search",
            "air",
            "acme",
            {"q": 1},
            {"u": 2},
            id="q_7",
            traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01",
            tracestate="k=v",
        )
    )
    (request,) = setup.server.requests
    assert (request.method, request.target) == ("POST", "/unchanged")
    assert request.header("content-type") == "application/cloudevents+json"
    assert request.header("gateway-depth") == "1"
    assert 900 <= int(request.header("gateway-timeout-ms") or 0) <= 1000
    assert (request.header("traceparent") or "").startswith("00-" + "a" * 32)
    assert request.header("tracestate") == "k=v"
    assert request.header("cookie") is None
    accepted = request.header("accept") or ""
    assert accepted.split(", ") == [
        "application/json",
        *(f"application/{form}+json" for form in ("json-patch", "merge-patch", "problem")),
    ]
    event = orjson.loads(request.body)
    assert event["id"] == request.header("webhook-id")
    assert (event["type"], event["subject"], event["hookid"]) == ("query.result.search", "q_7", hook_id)
    assert event["data"]["query"] == {
        "type": "search",
        "capability": "air",
        "tenant": "acme",
        "params": {"q": 1},
        "context": {"u": 2},
    }
    assert BEFORE in request.body
    signature.verify(
        [signature.key_of(setup.secret)],
        message_id=request.header("webhook-id"),
        timestamp=request.header("webhook-timestamp"),
        signature=request.header("webhook-signature"),
        body=request.body,
        now=time.time(),
    )


async def test_a_binary_call_carries_exactly_the_result(setup: Set) -> None:
    await setup.hook("/unchanged", delivery=Delivery.BINARY)
    await setup.ask()
    (request,) = setup.server.requests
    assert request.body == BEFORE
    assert request.header("content-type") == "application/json"
    assert request.header("ce-type") == "query.result.search"
    assert request.header("ce-capability") == "air"


async def test_the_calls_of_one_query_are_spans_of_one_trace(setup: Set) -> None:
    await setup.hook("/unchanged", "a")
    await setup.hook("/unchanged", "b")
    await setup.ask()
    await setup.ask()
    traces = [(request.header("traceparent") or "").split("-")[1:3] for request in setup.server.requests]
    assert traces[0][0] == traces[1][0] != traces[2][0] == traces[3][0]
    assert len({span for _, span in traces}) == 4


async def test_each_call_has_an_id_of_its_own(setup: Set) -> None:
    await setup.hook("/unchanged")
    await setup.ask()
    await setup.ask()
    assert len({request.header("webhook-id") for request in setup.server.requests}) == 2


async def test_during_a_rotation_calls_are_signed_with_both_secrets_and_then_with_the_new_one(setup: Set) -> None:
    await setup.hook("/unchanged")
    rotated = await setup.gateway.registry.rotate(setup.integration_id, "secret", grace_seconds=60)
    await setup.ask()
    await setup.gateway.registry.rotate(setup.integration_id, "secret", grace_seconds=0)
    await setup.ask()
    first, second = (request.header("webhook-signature") or "" for request in setup.server.requests)
    assert len(first.split(" ")) == 2
    assert len(second.split(" ")) == 1
    for secret in (setup.secret, rotated.value):
        request = setup.server.requests[0]
        signature.verify(
            [signature.key_of(secret)],
            message_id=request.header("webhook-id"),
            timestamp=request.header("webhook-timestamp"),
            signature=first,
            body=request.body,
            now=time.time(),
        )


# ---------------------------------------------------------------- the chain


async def test_hooks_run_by_priority_then_order_then_name_and_each_sees_the_one_before(setup: Set) -> None:
    registry = setup.gateway.registry

    async def append(request: Request) -> Reply:
        rows = orjson.loads(request.body)["data"]["result"]["rows"]
        return Reply.json(orjson.dumps({"rows": [*rows, request.path]}))

    for path in ("/b2", "/a2", "/z1"):
        setup.server.on(path, append)
        await setup.hook(path, order=int(path[-1]))
    other = await registry.register(IntegrationDraft("aaa", setup.server.url, priority=-1))
    setup.server.on("/late", append)
    first = await registry.register(IntegrationDraft("zzz", setup.server.url, priority=5))
    setup.server.on("/early", append)
    for made, path in ((other, "/late"), (first, "/early")):
        hook = await registry.create_hook(made.integration.id, HookDraft(path[1:], path))
        await registry.enable(hook.id)
    body, outcomes = await setup.ask(result=b'{"rows":[]}')
    assert orjson.loads(body)["rows"] == ["/early", "/z1", "/a2", "/b2", "/late"]
    assert [name for name, *_ in outcomes] == ["early", "z1", "a2", "b2", "late"]


@pytest.mark.parametrize(
    ("path", "expected", "status", "reason"),
    [
        ("/unchanged", BEFORE, "unchanged", None),
        ("/replace", b'{"replaced":true}', "applied", None),
        ("/json-patch", b'{"rows":[1.50,2],"patched":true}', "applied", None),
        ("/merge-patch", b'{"rows":[1.50,2],"merged":true}', "applied", None),
        ("/gone", BEFORE, "failed", "gone"),
        ("/status/500", BEFORE, "failed", "status"),
        ("/redirect", BEFORE, "failed", "status"),
        ("/hang-up", BEFORE, "failed", "connect"),
        ("/cut-head", BEFORE, "failed", "protocol"),
        ("/cut-body", BEFORE, "failed", "protocol"),
        ("/garbage", BEFORE, "failed", "protocol"),
        ("/empty-200", BEFORE, "failed", "bad_json"),
        ("/bad-json", BEFORE, "failed", "bad_json"),
        ("/wrong-type", BEFORE, "failed", "content_type"),
        ("/long-header", BEFORE, "failed", "too_large"),
        ("/big?size=20000", BEFORE, "failed", "too_large"),
        ("/hang", BEFORE, "failed", "timeout"),
    ],
)
async def test_a_reply_makes_this_result_and_this_outcome(
    path: str, expected: bytes, status: str, reason: str | None
) -> None:
    async with opened(max_reply_bytes=10_000) as setup:
        await setup.hook(path, "it", timeout_ms=100 if reason == "timeout" else 2000)
        assert await setup.ask() == (expected, [("it", status, reason)])
        assert setup.idle()


async def test_a_failed_hook_in_the_middle_leaves_the_last_good_result_to_the_next(setup: Set) -> None:
    await setup.hook("/merge-patch", order=1)
    await setup.hook("/garbage", order=2)
    await setup.hook("/json-patch", order=3)
    body, outcomes = await setup.ask()
    assert body == b'{"rows":[1.50,2],"merged":true,"patched":true}'
    assert [status for _, status, _ in outcomes] == ["applied", "failed", "applied"]


async def test_a_refused_connection_is_a_failure_to_connect(setup: Set) -> None:
    await setup.hook("/replace", "it")
    async with HookServer() as gone:
        url = gone.url
    await setup.gateway.registry.change_integration(setup.integration_id, {"base_url": url})
    assert await setup.ask() == (BEFORE, [("it", "failed", "connect")])


async def test_outcomes_tell_times_bytes_and_whether_the_result_changed(setup: Set) -> None:
    hook_id = await setup.hook("/replace")
    answer = await setup.gateway.chain.run(QUERY, Result(BEFORE))
    (outcome,) = answer.outcomes
    assert outcome.changed
    assert answer.changed
    assert (outcome.hook, outcome.integration, outcome.hook_id) == ("replace", "fake", hook_id)
    assert outcome.generation == setup.gateway.registry.hook(hook_id).generation
    assert outcome.bytes_out == len(setup.server.requests[0].body)
    assert outcome.bytes_in == len(answer.result.body)
    assert 0 < outcome.milliseconds < 1000


# ---------------------------------------------------------------- policies and limits


async def test_with_the_policy_fail_a_failure_is_an_error_that_carries_the_outcomes(setup: Set) -> None:
    await setup.hook("/replace", order=1)
    await setup.hook("/status/500", order=2, failure_policy=FailurePolicy.FAIL)
    await setup.hook("/unchanged", order=3)
    with pytest.raises(HookFailed) as caught:
        await setup.ask()
    assert (caught.value.hook, caught.value.reason, caught.value.status) == ("status-500", "status", 502)
    assert [outcome.hook for outcome in caught.value.outcomes] == ["replace", "status-500"]
    assert setup.idle()


async def test_with_the_policy_fail_a_timeout_is_the_gateway_timeout(setup: Set) -> None:
    await setup.hook("/hang", timeout_ms=50, failure_policy=FailurePolicy.FAIL)
    with pytest.raises(HookFailed) as caught:
        await setup.ask()
    assert caught.value.status == 504


async def test_a_rejection_is_honoured_where_the_envelope_allows_it(setup: Set) -> None:
    await setup.hook("/reject")
    with pytest.raises(QueryRejected) as caught:
        await setup.ask()
    assert caught.value.problem["title"] == "This query is not allowed."
    assert [outcome.status.value for outcome in caught.value.outcomes] == ["rejected"]


async def test_a_rejection_is_a_failure_where_the_envelope_does_not_allow_it() -> None:
    async with opened(Envelope()) as setup:
        await setup.hook("/reject")
        assert await setup.ask() == (BEFORE, [("reject", "failed", "rejected_not_allowed")])


async def test_once_the_budget_is_spent_the_others_are_skipped() -> None:
    async with opened(budget_ms=1000) as setup:
        await setup.hook("/merge-patch", order=1)
        await setup.hook("/hang", order=2)
        await setup.hook("/replace", order=3)
        await setup.hook("/json-patch", order=4)
        body, outcomes = await setup.ask()
        assert body == b'{"rows":[1.50,2],"merged":true}'
        assert outcomes[1:] == [
            ("hang", "failed", "timeout"),
            ("replace", "skipped", "budget"),
            ("json-patch", "skipped", "budget"),
        ]
        assert len(setup.server.requests) == 2


async def test_a_hook_that_must_not_fail_fails_when_the_budget_is_spent_before_its_turn() -> None:
    async with opened(budget_ms=50) as setup:
        await setup.hook("/hang", order=1)
        await setup.hook("/replace", order=2, failure_policy=FailurePolicy.FAIL)
        with pytest.raises(HookFailed) as caught:
            await setup.ask()
        assert (caught.value.hook, caught.value.status) == ("replace", 504)


async def test_past_the_depth_of_nested_calls_hooks_are_skipped(setup: Set) -> None:
    await setup.hook("/replace")
    assert (await setup.ask(Query("search", depth=2)))[1] == [("replace", "applied", None)]
    assert setup.server.requests[0].header("gateway-depth") == "3"
    assert await setup.ask(Query("search", depth=3)) == (BEFORE, [("replace", "skipped", "depth")])


async def test_a_result_over_the_limit_is_not_sent() -> None:
    async with opened(max_result_bytes=10) as setup:
        await setup.hook("/replace")
        assert await setup.ask() == (BEFORE, [("replace", "skipped", "size")])
        assert setup.server.requests == []


async def test_what_a_hook_that_must_not_fail_cannot_be_sent_is_not_answered_without_it() -> None:
    async with opened(max_result_bytes=10) as setup:
        await setup.hook("/replace", failure_policy=FailurePolicy.FAIL)
        with pytest.raises(HookFailed) as caught:
            await setup.ask()
        assert (caught.value.reason, caught.value.status) == ("size", 502)
        assert [(each.status, each.fatal) for each in caught.value.outcomes] == [("failed", True)]
        with pytest.raises(HookFailed) as caught:
            await setup.ask(Query("search", depth=3))
        assert caught.value.reason == "depth"
        assert setup.server.requests == []


@pytest.mark.parametrize("fields", [{"condition": 'query.tenant != "staff"'}, {"mode": Mode.SHADOW}])
async def test_but_it_is_where_that_hook_is_not_meant_for_the_query_or_not_in_its_path(fields: Any) -> None:
    async with opened(max_result_bytes=10) as setup:
        await setup.hook("/replace", failure_policy=FailurePolicy.FAIL, **fields)
        assert await setup.ask(Query("search", tenant="staff")) == (BEFORE, [("replace", "skipped", "size")])


async def test_a_hook_that_asks_for_a_pause_is_not_called_until_then(setup: Set) -> None:
    async def busy(_: Request) -> Reply:
        return Reply(503, [("retry-after", "30")])

    setup.server.on("/busy", busy)
    await setup.hook("/busy")
    assert (await setup.ask())[1] == [("busy", "failed", "status")]
    assert (await setup.ask())[1] == [("busy", "failed", "breaker_open")]
    assert len(setup.server.requests) == 1


async def test_a_hook_that_is_gone_is_disabled_with_that_reason(setup: Set) -> None:
    hook_id = await setup.hook("/gone")
    await setup.ask()
    registry = setup.gateway.registry
    await until(lambda: not registry.hook(hook_id).enabled)
    assert registry.hook(hook_id).reason == "it answered 410 Gone"
    assert await setup.ask() == (BEFORE, [])


async def test_a_hook_that_tells_many_calls_at_once_that_it_is_gone_is_disabled_and_logged_once(
    setup: Set, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", "gateway")
    hook_id = await setup.hook("/gone")
    await asyncio.gather(*(setup.ask() for _ in range(10)))
    registry = setup.gateway.registry
    await until(lambda: not registry.hook(hook_id).enabled)
    await registry.enable(hook_id)  # after every change that was asked for before
    assert [str(record.msg).split()[0] for record in caplog.records].count("hook.gone") == 1


async def test_cancelling_the_query_cancels_the_call_in_flight_and_leaves_nothing(setup: Set) -> None:
    await setup.hook("/hang")
    await setup.hook("/replace")
    before = asyncio.all_tasks()
    query = asyncio.create_task(setup.gateway.chain.run(QUERY, Result(BEFORE)))
    await setup.server.arrived()
    assert not setup.idle()
    query.cancel()
    with pytest.raises(asyncio.CancelledError):
        await query
    await setup.server.no_connections()
    assert setup.idle()
    assert {task for task in asyncio.all_tasks() - before if "_serve" not in repr(task)} == set()


async def test_params_that_are_no_json_are_a_failure_of_the_call_not_of_the_query(setup: Set) -> None:
    await setup.hook("/replace")
    assert await setup.ask(Query("search", params=object())) == (BEFORE, [("replace", "failed", "protocol")])


async def test_a_watcher_that_breaks_does_not_disturb_the_query(setup: Set) -> None:
    from gateway.observe.observer import Observers
    from gateway.pipeline import HookChain

    class Broken:
        def outcome(self, query: Query, outcome: object) -> None:
            raise ZeroDivisionError

        def chain_finished(self, seconds: float) -> None:
            raise ZeroDivisionError

    await setup.hook("/replace")
    chain = setup.gateway.chain
    told: list[object] = []

    class Working:
        def outcome(self, query: Query, outcome: object) -> None:
            told.append(outcome)

    broken = HookChain(lambda: setup.gateway.registry.snapshot, chain._guard, observer=Observers(Broken(), Working()))
    answer = await broken.run(QUERY, Result(BEFORE))
    assert answer.result.body == b'{"replaced":true}'
    assert told == list(answer.outcomes), "nor the watchers after it"
    assert broken.under_way == 0


# ---------------------------------------------------------------- signed replies


async def test_signed_replies_are_verified_against_the_request(setup: Set) -> None:
    await setup.gateway.registry.change_integration(setup.integration_id, {"envelope": {"signed_replies": True}})
    kept: list[tuple[str, str]] = []

    async def signing(request: Request) -> Reply:
        body, ident, at = b'{"signed":true}', request.header("webhook-id") or "", int(time.time())
        key = signature.key_of(setup.secret)
        kept[:] = [
            ("content-type", "application/json"),
            ("webhook-id", ident),
            ("webhook-timestamp", str(at)),
            ("webhook-signature", signature.sign([key], ident, at, body)),
        ]
        return Reply(200, list(kept), body)

    async def replaying(_: Request) -> Reply:
        return Reply(200, list(kept), b'{"signed":true}')

    setup.server.on("/signed", signing)
    setup.server.on("/replayed", replaying)
    await setup.hook("/signed", order=1)
    await setup.hook("/replayed", order=2)
    await setup.hook("/replace", order=3)
    await setup.hook("/unchanged", order=4)
    assert await setup.ask() == (
        b'{"signed":true}',
        [
            ("signed", "applied", None),
            ("replayed", "failed", "signature"),
            ("replace", "failed", "signature"),
            ("unchanged", "failed", "signature"),
        ],
    )


# ---------------------------------------------------------------- enablement


async def test_a_query_that_starts_after_disable_does_not_call_the_hook(setup: Set) -> None:
    hook_id = await setup.hook("/replace")
    await setup.gateway.registry.disable(hook_id)
    assert await setup.ask() == (BEFORE, [])
    await setup.gateway.registry.enable(hook_id)
    assert (await setup.ask())[0] == b'{"replaced":true}'


async def test_disable_with_drain_returns_once_no_call_is_in_flight(setup: Set) -> None:
    hook_id = await setup.hook("/slow")
    query = asyncio.create_task(setup.gateway.chain.run(QUERY, Result(BEFORE)))
    await setup.server.arrived()
    drained = asyncio.create_task(setup.gateway.registry.disable(hook_id, drain=True))
    await until(lambda: not setup.gateway.registry.hook(hook_id).enabled)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not drained.done()
    setup.server.release()
    hook = await drained
    assert query.done() or setup.gateway.registry.snapshot.get(hook_id) is None
    assert not hook.enabled
    await query


async def test_a_drain_waits_for_a_call_that_was_in_flight_when_an_earlier_disable_returned(
    setup: Set,
) -> None:
    hook_id = await setup.hook("/slow")
    query = asyncio.create_task(setup.gateway.chain.run(QUERY, Result(BEFORE)))
    await setup.server.arrived()
    await setup.gateway.registry.disable(hook_id)
    assert not query.done()
    drained = asyncio.create_task(setup.gateway.registry.disable(hook_id, drain=True))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not drained.done()
    setup.server.release()
    await drained
    await query


async def test_drain_waits_for_a_query_that_has_not_come_to_the_hook_yet(setup: Set) -> None:
    await setup.hook("/slow", order=1)
    hook_id = await setup.hook("/replace", order=2)
    query = asyncio.create_task(setup.gateway.chain.run(QUERY, Result(BEFORE)))
    await setup.server.arrived()
    drained = asyncio.create_task(setup.gateway.registry.disable(hook_id, drain=True))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not drained.done()
    setup.server.release()
    await drained
    assert [request.path for request in setup.server.requests] == ["/slow", "/replace"]
    await query


# ---------------------------------------------------------------- ownership


async def test_the_first_enable_asks_the_address_whether_it_wants_to_be_called() -> None:
    async with opened(require_ownership=True) as setup:
        hook_id = await setup.hook("/unchanged")
        assert [(r.method, r.path) for r in setup.server.requests] == [("OPTIONS", "/unchanged")]
        assert setup.server.requests[0].header("webhook-request-origin") == "gateway"
        await setup.gateway.registry.disable(hook_id)
        await setup.gateway.registry.enable(hook_id)
        assert len(setup.server.requests) == 1
        await setup.gateway.registry.change_hook(hook_id, {"path": "/replace"})
        assert [(r.method, r.path) for r in setup.server.requests][1:] == [("OPTIONS", "/replace")]


async def test_an_address_that_does_not_want_to_be_called_is_not_enabled() -> None:
    from gateway.errors import OwnershipRefused

    async with opened(require_ownership=True) as setup:
        setup.server.allow_origin = "someone-else.example"
        with pytest.raises(OwnershipRefused, match=r"someone-else\.example"):
            await setup.hook("/unchanged")
        setup.server.allow_origin = None
        (hook,) = setup.gateway.registry.hooks()
        with pytest.raises(OwnershipRefused, match="405"):
            await setup.gateway.registry.enable(hook.id)
        assert not setup.gateway.registry.hook(hook.id).enabled
        assert await setup.ask() == (BEFORE, [])


async def test_a_hook_is_called_only_for_queries_that_meet_its_condition() -> None:
    async with opened() as setup:
        await setup.hook("/replace", condition='query.tenant == "acme" && size(result.rows) > 1')
        assert (await setup.ask())[1] == [("replace", "applied", None)]
        assert await setup.ask(result=b'{"rows": [1]}') == (b'{"rows": [1]}', [("replace", "skipped", "condition")])
        assert await setup.ask(replace(QUERY, tenant="other")) == (BEFORE, [("replace", "skipped", "condition")])
        assert len(setup.server.requests) == 1


async def test_a_condition_without_an_answer_fails_the_query_only_if_the_hook_must_not_fail() -> None:
    async with opened() as setup:
        hook_id = await setup.hook("/replace", condition="query.params.missing == 1")
        assert await setup.ask() == (BEFORE, [("replace", "skipped", "condition")])
        await setup.gateway.registry.change_hook(hook_id, {"failure_policy": FailurePolicy.FAIL})
        with pytest.raises(HookFailed) as caught:
            await setup.ask()
        assert (caught.value.reason, setup.server.requests) == ("contract", [])
