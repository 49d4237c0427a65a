"""Integrations are asked whether they are well; the hooks of one that is not are spared until it is again."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import orjson
import pytest
import trustme

from gateway.errors import StoreError
from gateway.model import Envelope, HookState, TlsSettings
from gateway.observe.metrics import GatewayMetrics
from gateway.registry import HealthMonitor, HealthSettings, HookDraft, IntegrationDraft, Registry, RegistryRules
from gateway.stores.memory import MemoryStore
from gateway.stores.opening import open_store
from gateway.testing.clock import ManualClock
from gateway.testing.hook_server import HookServer, Reply
from gateway.transport import AddressGuard
from gateway.transport.client import HttpTransport
from gateway.wire import signature
from gateway.wire.ed25519 import PublicKey

INTERVAL = 10.0
DOWN_AFTER = 30.0
GUARD = AddressGuard(["127.0.0.0/8"], allow_http=True)


class Watch:
    """A registry with a health monitor, on a clock that is moved by hand."""

    def __init__(self, registry, monitor, clock, metrics):
        self.registry = registry
        self.monitor = monitor
        self.clock = clock
        self.metrics = metrics

    async def integration(self, url, name="prices", **fields):
        draft = IntegrationDraft(name, url, **{"health_path": "/health", **fields})
        return await self.registry.register(draft)

    async def hook(self, integration, name="hook"):
        hook = await self.registry.create_hook(integration.id, HookDraft(name, f"/{name}"))
        return await self.registry.enable(hook.id)

    async def polls(self, count=1):
        """Let so many intervals pass, asking each time."""
        for _ in range(count):
            self.clock.advance(INTERVAL * 1.2)
            await self.monitor.step()

    def state(self, hook):
        return self.registry.hook(hook.id).state

    def called(self):
        return self.registry.snapshot.ids

    def lines(self):
        text = self.metrics.render().decode()
        return {line for line in text.splitlines() if line.startswith("gateway_health") and "_created" not in line}


@asynccontextmanager
async def watched(store=None, *, chance=lambda: 0.0):
    clock = ManualClock()
    transport = HttpTransport(GUARD)
    metrics = GatewayMetrics()
    settings = HealthSettings(interval=INTERVAL, timeout=5.0, down_after=DOWN_AFTER)
    async with Registry.open(store or MemoryStore(), RegistryRules(GUARD), now=clock) as registry:
        monitor = HealthMonitor(registry, transport, settings, metrics, now=clock, monotonic=clock, chance=chance)
        yield Watch(registry, monitor, clock, metrics)
    await transport.aclose()


class Server(HookServer):
    """Answers health checks as it should, or with what `answer_with` makes of the request."""

    answer_with = None

    async def answer(self, request):
        if request.path != "/health":
            return await super().answer(request)
        if self.answer_with is not None:
            return self.answer_with(request)
        return Reply.json(orjson.dumps({"id": orjson.loads(request.body)["id"], "more": 1}))


def broken(_request):
    return Reply(500)


@pytest.fixture
async def server():
    async with Server() as it:
        yield it


async def test_the_question_is_signed_like_a_call_and_a_good_answer_is_up(server):
    async with watched() as watch:
        made = await watch.integration(server.url)
        rotated = await watch.registry.rotate(made.integration.id, "signing_key", grace_seconds=0)
        await watch.hook(made.integration)
        assert watch.monitor.of(made.integration.id).status == "unknown"
        await watch.polls()
        (request,) = server.requests
        body = orjson.loads(request.body)
        assert (request.method, request.path) == ("POST", "/health")
        assert body == {"id": request.header("webhook-id"), "name": "prices", "timestamp": int(watch.clock())}
        for keys in (
            {"keys": [signature.key_of(made.secret)]},
            {"keys": [], "public_keys": [PublicKey(rotated.value)]},
        ):
            signature.verify(
                **keys,
                message_id=request.header("webhook-id"),
                timestamp=request.header("webhook-timestamp"),
                signature=request.header("webhook-signature"),
                body=request.body,
                now=watch.clock(),
            )
        health = watch.monitor.of(made.integration.id)
        assert (health.status, health.checked_at, health.detail) == ("up", watch.clock(), None)
        assert 'gateway_health_up{integration="prices"} 1.0' in watch.lines()


async def test_an_integration_is_asked_only_while_a_hook_of_it_is_enabled(server):
    async with watched() as watch:
        made = await watch.integration(server.url)
        other = await watch.integration(server.url, "without", health_path=None)
        await watch.hook(other.integration)
        await watch.polls(2)
        assert server.requests == []
        hook = await watch.hook(made.integration)
        await watch.polls(2)
        assert len(server.requests) == 2
        await watch.monitor.step()
        assert len(server.requests) == 2  # not before the interval has passed
        await watch.registry.disable(hook.id)
        await watch.polls(2)
        assert len(server.requests) == 2
        assert watch.monitor.of(made.integration.id).status == "unknown"
        assert watch.lines() - {line for line in watch.lines() if line.startswith("#")} == set()
        await watch.registry.enable(hook.id)
        await watch.registry.change_integration(made.integration.id, {"enabled": False})
        await watch.polls(2)
        assert len(server.requests) == 2


async def test_hooks_are_suspended_after_failures_for_a_while_and_return_by_themselves(server):
    async with watched() as watch:
        made = await watch.integration(server.url)
        hooks = [await watch.hook(made.integration, name) for name in ("one", "two")]
        off = await watch.hook(made.integration, "off")
        await watch.registry.disable(off.id, reason="by hand")
        other = await watch.hook((await watch.integration(server.url, "other", health_path=None)).integration)
        await watch.polls()
        server.answer_with = broken
        await watch.polls(3)
        assert watch.monitor.of(made.integration.id).status == "up"  # 24 s of failures so far
        assert watch.called() == {*(hook.id for hook in hooks), other.id}
        before = watch.registry.generation
        await watch.polls()
        health = watch.monitor.of(made.integration.id)
        assert (health.status, health.detail) == ("down", "it answered with status 500; it takes 200")
        assert [watch.state(hook) for hook in hooks] == [HookState.SUSPENDED] * 2
        assert "status 500" in watch.registry.hook(hooks[0].id).suspended
        assert watch.registry.generation == before + 1
        assert watch.called() == {other.id}
        assert watch.state(off) is HookState.DISABLED
        assert 'gateway_health_up{integration="prices"} 0.0' in watch.lines()
        await watch.polls(2)
        assert watch.registry.generation == before + 1  # nothing is changed again and again
        server.answer_with = None
        await watch.polls()
        assert watch.monitor.of(made.integration.id).status == "up"
        assert [watch.state(hook) for hook in hooks] == [HookState.ENABLED] * 2
        assert watch.called() == {*(hook.id for hook in hooks), other.id}
        assert watch.registry.hook(hooks[0].id).suspended is None
        assert watch.state(off) is HookState.DISABLED
        assert {
            'gateway_health_polls_total{answer="good",integration="prices"} 2.0',
            'gateway_health_polls_total{answer="bad",integration="prices"} 6.0',
        } <= watch.lines()


async def test_a_single_failure_changes_nothing(server):
    async with watched() as watch:
        hook = await watch.hook((await watch.integration(server.url)).integration)
        for _ in range(5):
            server.answer_with = None
            await watch.polls()
            server.answer_with = broken
            await watch.polls(2)
        assert watch.state(hook) is HookState.ENABLED


async def suspended(watch, server):
    made = await watch.integration(server.url)
    hook = await watch.hook(made.integration)
    server.answer_with = broken
    await watch.polls(5)
    assert watch.state(hook) is HookState.SUSPENDED
    return made.integration, hook


async def test_the_owner_can_disable_a_suspended_hook_and_renew_its_lease(server):
    async with watched() as watch:
        integration, hook = await suspended(watch, server)
        renewed = await watch.registry.enable(hook.id, lease_seconds=60)
        assert (renewed.state, renewed.lease_expires_at) == (HookState.SUSPENDED, watch.clock() + 60)
        assert watch.called() == set()
        await watch.polls()
        disabled = await watch.registry.disable(hook.id, reason="by hand")
        assert (disabled.state, disabled.suspended, disabled.reason) == (HookState.DISABLED, None, "by hand")
        server.answer_with = None
        await watch.polls(2)
        assert watch.state(hook) is HookState.DISABLED
        assert (await watch.registry.enable(hook.id)).state is HookState.ENABLED
        assert watch.called() == {hook.id}
        assert watch.registry.integration(integration.id).enabled


async def test_a_hook_that_is_enabled_while_its_integration_is_down_is_suspended_too(server):
    async with watched() as watch:
        integration, _ = await suspended(watch, server)
        late = await watch.hook(integration, "late")
        await watch.polls()
        assert watch.state(late) is HookState.SUSPENDED


async def test_hooks_return_when_the_health_path_is_taken_away(server):
    async with watched() as watch:
        integration, hook = await suspended(watch, server)
        await watch.registry.change_integration(integration.id, {"health_path": None})
        await watch.monitor.step()
        assert watch.state(hook) is HookState.ENABLED
        assert watch.called() == {hook.id}


async def test_suspension_lasts_over_a_restart_and_ends_with_the_first_good_answer(server, tmp_path):
    url = f"sqlite:///{tmp_path}/gateway.db"
    async with open_store(url) as store, watched(store) as watch:
        _, hook = await suspended(watch, server)
    async with open_store(url) as store, watched(store) as watch:
        assert watch.state(hook) is HookState.SUSPENDED
        assert watch.called() == set()
        server.answer_with = None
        await watch.polls()
        assert watch.called() == {hook.id}


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (lambda _: Reply(204), "status 204"),
        (lambda _: Reply.json(b"{"), "not JSON"),
        (lambda _: Reply.json(b'["msg_1"]'), "id that was sent"),
        (lambda _: Reply.json(b'{"id": "msg_1"}'), "id that was sent"),
        (lambda _: Reply(302, [("location", "http://127.0.0.1:1/")]), "status 302"),
        (lambda _: Reply.json(b'"' + b"x" * 100_000 + b'"'), "too_large"),
    ],
)
async def test_another_answer_is_a_bad_one(server, answer, detail):
    async with watched() as watch:
        made = await watch.integration(server.url)
        await watch.hook(made.integration)
        server.answer_with = answer
        await watch.polls()
        health = watch.monitor.of(made.integration.id)
        assert health.status == "unknown"
        assert detail in health.detail


async def test_an_old_answer_is_a_bad_one_the_next_time(server):
    kept = []

    def replayed(request):
        kept.append(Reply.json(orjson.dumps({"id": orjson.loads(request.body)["id"]})))
        return kept[0]

    async with watched() as watch:
        made = await watch.integration(server.url)
        hook = await watch.hook(made.integration)
        server.answer_with = replayed
        await watch.polls()
        assert watch.monitor.of(made.integration.id).status == "up"
        await watch.polls(5)
        assert watch.state(hook) is HookState.SUSPENDED


async def test_where_replies_must_be_signed_so_must_be_these_answers(server):
    async with watched() as watch:
        made = await watch.integration(server.url, envelope=Envelope(signed_replies=True))
        await watch.hook(made.integration)
        await watch.polls()
        assert "signature" in watch.monitor.of(made.integration.id).detail

        def signing(request):
            ident, body = request.header("webhook-id"), orjson.dumps({"id": request.header("webhook-id")})
            at = int(watch.clock())
            signed = signature.sign([signature.key_of(made.secret)], ident, at, body)
            headers = [("webhook-id", ident), ("webhook-timestamp", str(at)), ("webhook-signature", signed)]
            return Reply(200, headers, body)

        server.answer_with = signing
        await watch.polls()
        assert watch.monitor.of(made.integration.id).status == "up"


async def test_the_address_guard_holds_for_health_checks_too():
    async with watched() as watch:
        made = await watch.integration("https://10.1.2.3.nip.example")
        await watch.hook(made.integration)
        await watch.registry._writer.write(lambda tables, at: _with_base_url(tables, made, "http://169.254.169.254"))
        await watch.polls()
        assert "blocked_address" in watch.monitor.of(made.integration.id).detail


def _with_base_url(tables, made, base_url):
    from dataclasses import replace

    from gateway.registry.tables import Plan

    changed = replace(tables.integrations[made.integration.id], base_url=base_url)
    return Plan(put_integrations=(changed,)), None


async def test_an_integrations_own_authority_holds_for_health_checks_too():
    authority = trustme.CA()
    import ssl

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with Server(ssl=context) as server, watched() as watch:
        tls = TlsSettings(ca_pem=authority.cert_pem.bytes().decode())
        private = await watch.integration(server.url, tls=tls)
        public = await watch.integration(server.url, "public")
        for made in (private, public):
            await watch.hook(made.integration)
        await watch.polls()
        assert watch.monitor.of(private.integration.id).status == "up"
        assert watch.monitor.of(public.integration.id).detail.startswith("tls: ")


async def test_integrations_are_not_all_asked_at_the_same_moment(server):
    chances = iter([0.0, 0.5, 0.9] + [0.5] * 100)
    async with watched(chance=lambda: next(chances)) as watch:
        for name in ("a", "b", "c"):
            await watch.hook((await watch.integration(server.url, name)).integration)
        asked = []
        await watch.monitor.step()
        asked.append(len(server.requests))
        for seconds in (4.9, 0.2, 3.8, 0.2):
            watch.clock.advance(seconds)
            await watch.monitor.step()
            asked.append(len(server.requests))
        assert asked == [1, 1, 2, 2, 3]


async def test_a_store_that_fails_does_not_end_the_watch(server):
    class Failing(MemoryStore):
        fails = False

        async def commit(self, change):
            if self.fails:
                raise StoreError("The store is gone.")
            await super().commit(change)

    store = Failing()
    async with watched(store) as watch:
        hook = await watch.hook((await watch.integration(server.url)).integration)
        server.answer_with = broken
        store.fails = True
        await watch.polls(6)
        assert watch.state(hook) is HookState.ENABLED
        store.fails = False
        await watch.polls()
        assert watch.state(hook) is HookState.SUSPENDED


async def test_the_watch_is_one_task_that_ends_with_its_context(server):
    async with watched() as watch:
        await watch.hook((await watch.integration(server.url)).integration)
        before = asyncio.all_tasks()
        async with watch.monitor.watching():
            await server.arrived()
        assert asyncio.all_tasks() == before


async def test_an_open_gateway_watches(server):
    from gateway import Settings, open_gateway

    settings = Settings(
        store={"url": "memory:"},
        calls={"allow_http": True, "allow": ["127.0.0.0/8"], "require_ownership": False},
        health={"interval_seconds": 1},
    )
    async with open_gateway(settings) as gateway:
        made = await gateway.registry.register(IntegrationDraft("prices", server.url, health_path="/health"))
        hook = await gateway.registry.create_hook(made.integration.id, HookDraft("hook", "/unchanged"))
        await gateway.registry.enable(hook.id)
        await server.arrived()
        assert server.requests[0].path == "/health"
        assert gateway.health.of(made.integration.id).status in {"unknown", "up"}
