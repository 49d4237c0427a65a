"""How a served gateway ends: not ready at once, drained within bounds, and at once if someone insists."""

from __future__ import annotations

import asyncio
import datetime as dt

import aiohttp
import pytest
import trustme

from gateway import Settings, open_gateway
from gateway.errors import StoreError
from gateway.service.ending import Ending, drain
from gateway.service.problem import Refused
from gateway.service.readiness import KnownUpstream, Readiness
from gateway.service.serving import listening


class Served:
    """Something in flight that lasts until it is told to end."""

    def __init__(self):
        self.asked: list[float] = []
        self.ended = asyncio.Event()
        self.begun = asyncio.Event()
        self.parting = False

    def end_connections(self):
        self.parting = True

    async def drain(self, seconds):
        self.asked.append(seconds)
        self.begun.set()
        if seconds == 0:
            return 3
        await self.ended.wait()
        return 0


async def test_what_is_in_flight_is_waited_for():
    served, ending = Served(), Ending()
    draining = asyncio.create_task(drain(served, ending, ready_delay=0, seconds=20))
    await served.begun.wait()
    assert not draining.done()
    served.ended.set()
    assert await draining == 0
    assert (served.asked, served.parting) == ([20], False)


async def test_who_insists_ends_the_wait_at_once(monkeypatch):
    monkeypatch.setattr("gateway.service.ending._end_hard", lambda: None)
    served, ending = Served(), Ending()
    ending.ask()
    draining = asyncio.create_task(drain(served, ending, ready_delay=0, seconds=20))
    await served.begun.wait()
    ending.ask()
    assert await draining == 3
    assert served.asked == [20, 0]


async def test_who_insists_ends_the_time_that_load_balancers_are_given_too(monkeypatch):
    monkeypatch.setattr("gateway.service.ending._end_hard", lambda: None)
    served, ending = Served(), Ending()
    ending.ask()
    draining = asyncio.create_task(drain(served, ending, ready_delay=3600, seconds=20))
    await asyncio.sleep(0)
    assert (served.asked, served.parting) == ([], True), "clients are told to part while there is time"
    ending.ask()
    assert await draining == 3
    assert served.asked == [0]


UP, DOWN, UNKNOWN = (
    KnownUpstream(f"http://{state}", state, "refused" if state == "down" else None)
    for state in ("up", "down", "unknown")
)


@pytest.mark.parametrize(
    ("upstreams", "ready"),
    [((), True), ((UP, DOWN), True), ((UNKNOWN, DOWN), True), ((DOWN,), False), ((DOWN, DOWN), False)],
)
async def test_no_work_is_wanted_while_every_upstream_is_down(upstreams, ready):
    readiness = Readiness()
    readiness.upstreams = lambda: upstreams
    if ready:
        assert (await readiness()).upstreams == upstreams
    else:
        with pytest.raises(Refused, match=r"No upstream can be reached \(http://down: refused") as refused:
            await readiness()
        assert refused.value.status == 503


async def test_no_work_is_wanted_while_the_store_cannot_be_read_or_while_draining():
    async def broken():
        raise StoreError("locked")

    with pytest.raises(StoreError, match="locked"):
        await Readiness(broken)()
    readiness = Readiness()
    readiness.draining = True
    with pytest.raises(Refused, match="The gateway is draining"):
        await readiness()


async def test_an_expired_certificate_is_told_but_is_no_reason_to_send_nothing(tmp_path):
    dates = {"not_before": dt.datetime(2001, 1, 1, tzinfo=dt.UTC), "not_after": dt.datetime(2002, 1, 1, tzinfo=dt.UTC)}
    authority = trustme.CA()
    both = tmp_path / "both.pem"
    both.write_bytes(authority.issue_cert("127.0.0.1", **dates).private_key_and_cert_chain_pem.bytes())
    settings = Settings.model_validate(
        {"store": {"url": "memory:"}, "control": {"listen": "127.0.0.1:0", "tls_certificate": str(both)}}
    )
    async with (
        open_gateway(settings) as gateway,
        listening(gateway, ["operator-key-for-tests"]) as (control, _),
        aiohttp.ClientSession() as client,
        client.get(f"{control}/readyz", ssl=False) as response,
    ):
        told = await response.json()
    assert (response.status, told["upstreams"]) == (200, [])
    assert told["certificates"] == [{"of": "control", "not_after": None, "expired": True}]
