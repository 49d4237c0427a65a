"""The link between two processes: in order, both ways, and broken off by whoever does not keep to what was agreed."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from gateway.errors import NotFound
from gateway.service.workers.link import MAX_FRAME_BYTES, Link, LinkBroken, Refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class Say(msgspec.Struct, tag=True, frozen=True):
    """One message."""

    what: str


@asynccontextmanager
async def linked(received: Callable[[Any], Any]) -> AsyncIterator[tuple[Link, Link]]:
    """Two ends; the second hands what it gets to `received`."""
    one, other = socket.socketpair()
    ends = Link(Say, lambda _: None), Link(Say, received)
    await ends[0].open(one)
    await ends[1].open(other)
    try:
        yield ends
    finally:
        for each in ends:
            each.close()
        for each in ends:
            await each.closed.wait()


async def test_messages_come_in_order_and_an_answer_that_takes_time_holds_up_none() -> None:
    seen: list[str] = []
    late = asyncio.Event()

    async def slowly(text: str) -> str:
        await late.wait()
        return text

    def received(message: Say) -> Any:
        seen.append(message.what)
        return slowly("slow") if message.what == "slow" else message.what.upper()

    async with linked(received) as (one, _):
        slow = one.ask(Say("slow"), str)
        one.tell(Say("told"))
        assert await one.ask(Say("quick"), str) == "QUICK"
        assert seen == ["slow", "told", "quick"]
        assert not slow.done()
        late.set()
        assert await slow == "slow"


async def test_what_cannot_be_done_is_told_in_a_sentence() -> None:
    def received(_message: Say) -> None:
        raise NotFound("There is no such thing.")

    async with linked(received) as (one, _):
        with pytest.raises(Refused, match="There is no such thing"):
            await one.ask(Say("anything"), str)


async def test_whoever_waits_for_an_answer_hears_that_the_other_is_gone() -> None:
    async with linked(lambda _: asyncio.get_running_loop().create_future()) as (one, other):
        waiting = one.ask(Say("anything"), str)
        other.close()
        with pytest.raises(LinkBroken):
            await waiting
        with pytest.raises(LinkBroken):
            await one.ask(Say("more"), str)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x00\x00\x03\x93\x00\x00",  # a frame that ends too soon
        (MAX_FRAME_BYTES + 1).to_bytes(4, "big"),
        b"\x00\x00\x00\x04abcd",
        b"\x00\x00\x00\x0d" + msgspec.msgpack.encode((0, 0, {"type": "Other"})),
    ],
)
async def test_what_is_no_message_breaks_the_link(sent: bytes) -> None:
    one, other = socket.socketpair()
    link = Link(Say, lambda _: pytest.fail("nothing was said"))
    await link.open(other)
    with one:
        one.sendall(sent)
        async with asyncio.timeout(30):
            await link.closed.wait()
