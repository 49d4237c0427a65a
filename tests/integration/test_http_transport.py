"""What the project's own transport promises beyond the exam: its pools, its resolver, its counts."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest

from gateway.errors import AddressBlocked, CallError, ConfigError, ConnectFailed, DnsFailed, TimedOut
from gateway.testing.hook_server import HookServer
from gateway.transport import AddressGuard, Limits, parse_endpoint
from gateway.transport.client import HttpTransport
from gateway.transport.resolver import Resolver

LOOPBACK = AddressGuard(["127.0.0.0/8"], allow_http=True)


class FixedResolver:
    """Answers every name with the addresses it was given, in order, one list per look-up."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0

    async def resolve(self, host, port):
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)) for address in answer]

    async def aclose(self):
        pass


async def call(transport, url, *, seconds=20.0, pool="hook"):
    deadline = asyncio.get_running_loop().time() + seconds
    endpoint = parse_endpoint(url, pool=pool)
    return await transport.exchange(endpoint, "POST", [], b"{}", deadline=deadline, limits=Limits())


@pytest.fixture
async def server():
    async with HookServer() as server:
        yield server


async def closed(transport):
    async with asyncio.timeout(10):
        while transport.open_connections:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)


async def test_the_counts_follow_the_connections(server):
    transport = HttpTransport(LOOPBACK)
    assert (transport.open_connections, transport.idle_connections) == (0, 0)
    waiting = [asyncio.create_task(call(transport, f"{server.url}/slow")) for _ in range(3)]
    await server.arrived(3)
    assert (transport.open_connections, transport.idle_connections) == (3, 0)
    server.release()
    await asyncio.gather(*waiting)
    assert (transport.open_connections, transport.idle_connections) == (3, 3)
    await call(transport, f"{server.url}/unchanged")
    assert (transport.open_connections, transport.idle_connections) == (3, 3)
    server.close_idle()
    await closed(transport)
    assert transport.idle_connections == 0
    await transport.aclose()


@pytest.mark.parametrize("path", ["/hang", "/drip"])
async def test_a_cancelled_call_leaves_no_connection_behind(server, path):
    transport = HttpTransport(LOOPBACK)
    waiting = asyncio.create_task(call(transport, server.url + path))
    await server.arrived()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await closed(transport)
    await server.no_connections()
    await transport.aclose()


async def test_no_more_connections_are_kept_than_the_pool_and_the_whole_may_keep(server):
    transport = HttpTransport(LOOPBACK, max_idle_per_pool=2, max_idle=3)
    waiting = [asyncio.create_task(call(transport, f"{server.url}/slow", pool=f"hook-{i // 4}")) for i in range(8)]
    await server.arrived(8)
    server.release()
    await asyncio.gather(*waiting)
    assert transport.idle_connections == 3
    await asyncio.gather(*(call(transport, f"{server.url}/unchanged", pool="hook-2") for _ in range(2)))
    assert transport.idle_connections == 3
    await transport.aclose()
    assert (transport.open_connections, transport.idle_connections) == (0, 0)


async def test_a_connection_that_is_idle_for_too_long_is_closed(server):
    transport = HttpTransport(LOOPBACK, idle_seconds=0.02)
    await call(transport, f"{server.url}/unchanged")
    await server.no_connections()
    await closed(transport)
    assert transport.idle_connections == 0
    await call(transport, f"{server.url}/unchanged")
    assert server.accepted == 2
    await transport.aclose()


async def test_a_name_whose_address_changes_to_a_private_one_is_refused_at_the_next_connection(server):
    """DNS rebinding: the judgement is about the address that is connected to, not about an earlier answer."""
    resolver = FixedResolver(["127.0.0.1"], ["127.0.0.2"])
    transport = HttpTransport(AddressGuard(["127.0.0.1"], allow_http=True), resolver=resolver)
    url = f"http://hook.example:{server.port}/until-close"
    assert (await call(transport, url)).status == 200
    with pytest.raises(AddressBlocked, match=r"127\.0\.0\.2.*hook\.example"):
        await call(transport, url)
    assert (server.accepted, resolver.asked) == (1, 2)
    await transport.aclose()


async def test_of_several_addresses_only_the_permitted_ones_are_tried(server):
    resolver = FixedResolver(["10.255.255.1", "169.254.169.254", "127.0.0.1"])
    transport = HttpTransport(LOOPBACK, resolver=resolver)
    assert (await call(transport, f"http://hook.example:{server.port}/unchanged")).status == 204
    await transport.aclose()


async def test_the_host_header_names_the_host_and_not_the_address(server):
    transport = HttpTransport(LOOPBACK, resolver=FixedResolver(["127.0.0.1"]))
    await call(transport, f"http://hook.example:{server.port}/unchanged")
    assert server.requests[0].header("host") == f"hook.example:{server.port}"
    await transport.aclose()


async def test_the_deadline_covers_a_resolver_that_hangs_and_cancelling_leaves_nothing():
    class HangingResolver(FixedResolver):
        async def resolve(self, host, port):
            await asyncio.Event().wait()

    transport = HttpTransport(LOOPBACK, resolver=HangingResolver())
    with pytest.raises(TimedOut):
        await call(transport, "http://hook.example/", seconds=0.02)
    waiting = asyncio.create_task(call(transport, "http://hook.example/"))
    await asyncio.sleep(0)
    assert transport.open_connections == 1
    await transport.aclose()
    with pytest.raises(ConnectFailed):
        await waiting
    assert transport.open_connections == 0


async def test_a_fault_of_the_gateway_itself_is_a_call_error_too():
    class BrokenResolver(FixedResolver):
        async def resolve(self, host, port):
            raise KeyError(host)

    transport = HttpTransport(LOOPBACK, resolver=BrokenResolver())
    with pytest.raises(CallError, match="fault of the gateway"):
        await call(transport, "http://hook.example/")
    assert transport.open_connections == 0
    await transport.aclose()


async def test_the_resolver_keeps_answers_for_a_while_and_asks_once_for_many():
    now = 0.0
    asked = []

    class Counting(Resolver):
        async def _look_up(self, host, port):
            asked.append(host)
            return await super()._look_up(host, port)

    resolver = Counting(10.0, now=lambda: now)
    answers = await asyncio.gather(*(resolver.resolve("localhost", 80) for _ in range(5)))
    assert all(answer == answers[0] for answer in answers)
    await resolver.resolve("localhost", 80)
    assert asked == ["localhost"]
    now = 10.5
    await resolver.resolve("localhost", 80)
    assert asked == ["localhost", "localhost"]
    await resolver.aclose()


async def test_a_call_that_gives_up_leaves_the_look_up_to_the_others():
    proceed = asyncio.Event()

    class Slow(Resolver):
        async def _look_up(self, host, port):
            await proceed.wait()
            return await super()._look_up(host, port)

    resolver = Slow()
    first, second = (asyncio.create_task(resolver.resolve("localhost", 80)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    proceed.set()
    assert await second
    proceed.clear()
    third = asyncio.create_task(resolver.resolve("no-such-host.invalid", 80))
    await asyncio.sleep(0)
    await resolver.aclose()
    with pytest.raises(DnsFailed):
        await third


def test_a_tls_context_below_1_2_is_a_configuration_error():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.raises(ConfigError, match=r"TLS 1\.2"):
        HttpTransport(LOOPBACK, ssl_context=context)
