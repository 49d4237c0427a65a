"""The memory of incomplete replies is bounded, and no pool takes the room of the others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BuffersFull
from gateway.transport.buffers import STEP, ReplyBuffers


def filled(buffers: ReplyBuffers, pool: str) -> int:
    """Take steps for `pool` until there is no more; how many it got."""
    count = 0
    while True:
        try:
            buffers.take(pool, STEP)
        except BuffersFull:
            return count
        count += 1


def test_one_pool_gets_half_of_all_and_two_a_third_each():
    buffers = ReplyBuffers(60 * STEP)
    assert filled(buffers, "a") == 30
    buffers = ReplyBuffers(60 * STEP)
    for _ in range(20):
        buffers.take("a", STEP)
        buffers.take("b", STEP)
    assert (filled(buffers, "a"), filled(buffers, "b")) == (0, 0)


def test_a_pool_that_takes_all_it_can_leaves_room_for_the_next():
    buffers = ReplyBuffers(64 * STEP)
    filled(buffers, "hostile")
    assert filled(buffers, "good") == 16


@given(steps=st.lists(st.tuples(st.sampled_from("abc"), st.integers(-5, 5)), max_size=60))
def test_the_total_is_never_exceeded_and_all_comes_back(steps):
    buffers = ReplyBuffers(20)
    held = dict.fromkeys("abc", 0)
    for pool, size in steps:
        if size > 0:
            try:
                buffers.take(pool, size)
            except BuffersFull:
                continue
            held[pool] += size
        elif 0 < -size <= held[pool]:
            buffers.give_back(pool, -size)
            held[pool] += size
        assert buffers.free == 20 - sum(held.values()) >= 0
    for pool, size in held.items():
        if size:
            buffers.give_back(pool, size)
    assert buffers.free == 20
    with pytest.raises(BuffersFull):
        buffers.take("a", 11)
