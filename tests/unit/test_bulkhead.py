"""Who gets in, who waits, and who is sent away."""

from __future__ import annotations

import asyncio

import pytest

from gateway.resilience.bulkhead import Bulkhead, Places


def soon() -> float:
    return asyncio.get_running_loop().time() + 60


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_up_to_the_limit_enter_at_once():
    bulkhead = Bulkhead(2, 0)
    assert [bulkhead.try_enter() for _ in range(3)] == [True, True, False]
    bulkhead.leave()
    assert await bulkhead.enter(soon())


async def test_those_who_wait_enter_in_the_order_of_their_arrival():
    bulkhead = Bulkhead(1, 10)
    assert bulkhead.try_enter()
    order: list[int] = []

    async def user(number: int) -> None:
        assert await bulkhead.enter(soon())
        order.append(number)
        bulkhead.leave()

    users = [asyncio.create_task(user(n)) for n in range(5)]
    await turns()
    assert bulkhead.waiting == 5
    bulkhead.leave()
    assert not bulkhead.try_enter(), "nobody overtakes"
    await asyncio.gather(*users)
    assert order == [0, 1, 2, 3, 4]
    assert (bulkhead.in_use, bulkhead.waiting) == (0, 0)


async def test_past_the_queue_limit_one_is_sent_away_at_once():
    bulkhead = Bulkhead(1, 1)
    bulkhead.try_enter()
    waiting = asyncio.create_task(bulkhead.enter(soon()))
    await turns()
    assert await bulkhead.enter(soon()) is False
    bulkhead.leave()
    assert await waiting


async def test_the_wait_ends_with_the_deadline():
    bulkhead = Bulkhead(1, 1)
    bulkhead.try_enter()
    assert await bulkhead.enter(asyncio.get_running_loop().time()) is False
    assert (bulkhead.in_use, bulkhead.waiting) == (1, 0)


async def test_who_is_cancelled_while_waiting_takes_no_place():
    bulkhead = Bulkhead(1, 2)
    bulkhead.try_enter()
    first, second = asyncio.create_task(bulkhead.enter(soon())), asyncio.create_task(bulkhead.enter(soon()))
    await turns()
    first.cancel()
    bulkhead.leave()  # before the cancelled one has run
    assert await second
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (bulkhead.in_use, bulkhead.waiting) == (1, 0)


async def test_who_is_cancelled_in_the_very_turn_of_getting_in_passes_the_place_on():
    bulkhead = Bulkhead(1, 2)
    bulkhead.try_enter()
    first, second = asyncio.create_task(bulkhead.enter(soon())), asyncio.create_task(bulkhead.enter(soon()))
    await turns()
    bulkhead.leave()  # the place is the first one's now
    first.cancel()
    assert await second
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (bulkhead.in_use, bulkhead.waiting) == (1, 0)


async def test_dismissing_sends_away_those_who_wait_but_not_those_who_are_in():
    bulkhead = Bulkhead(1, 5)
    bulkhead.try_enter()
    waiting = [asyncio.create_task(bulkhead.enter(soon())) for _ in range(3)]
    await turns()
    bulkhead.dismiss()
    assert await asyncio.gather(*waiting) == [False, False, False]
    assert (bulkhead.in_use, bulkhead.waiting) == (1, 0)


async def test_a_higher_limit_lets_in_at_once_and_a_lower_one_as_places_become_free():
    bulkhead = Bulkhead(1, 5)
    bulkhead.try_enter()
    waiting = [asyncio.create_task(bulkhead.enter(soon())) for _ in range(3)]
    await turns()
    bulkhead.resize(3)
    await turns()
    assert (bulkhead.in_use, bulkhead.waiting) == (3, 1)
    bulkhead.resize(1)
    for in_use, left in ((2, 1), (1, 1), (1, 0)):
        bulkhead.leave()
        await turns()
        assert (bulkhead.in_use, bulkhead.waiting) == (in_use, left)
    assert all(await asyncio.gather(*waiting))


async def test_no_timer_is_left_behind():
    loop = asyncio.get_running_loop()
    before = len([t for t in loop._scheduled if not t.cancelled()]) if hasattr(loop, "_scheduled") else 0
    bulkhead = Bulkhead(1, 5)
    bulkhead.try_enter()
    waiting = asyncio.create_task(bulkhead.enter(soon()))
    await turns()
    bulkhead.leave()
    assert await waiting
    after = len([t for t in loop._scheduled if not t.cancelled()]) if hasattr(loop, "_scheduled") else 0
    assert after == before


def both(own: int, total: int) -> tuple[Bulkhead, Bulkhead, Places]:
    one, other = Bulkhead(own, 10), Bulkhead(total, 10)
    return one, other, Places(one, other)


@pytest.mark.parametrize("limits", [(1, 2), (2, 1)])
def test_two_are_entered_together_or_neither_is(limits: tuple[int, int]):
    own, total, places = both(*limits)
    assert [places.try_enter() for _ in range(2)] == [True, False]
    assert (own.in_use, total.in_use) == (1, 1)
    places.leave()
    assert (own.in_use, total.in_use) == (0, 0)


@pytest.mark.parametrize("limits", [(1, 2), (2, 1)])
async def test_who_leaves_two_lets_in_who_waits_for_either(limits: tuple[int, int]):
    own, total, places = both(*limits)
    assert places.try_enter()
    waiting = asyncio.create_task(places.enter(soon()))
    await turns()
    places.leave()
    assert not places.try_enter(), "nobody overtakes"
    assert await waiting
    places.leave()
    assert (own.in_use, total.in_use) == (0, 0)


async def test_who_waits_for_the_second_in_vain_keeps_no_place_in_the_first():
    own, total, places = both(2, 1)
    assert places.try_enter()
    assert not await places.enter(asyncio.get_running_loop().time())
    waiting = asyncio.create_task(places.enter(soon()))
    await turns()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert (own.in_use, total.in_use, total.waiting) == (1, 1, 0)
