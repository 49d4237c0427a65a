"""Ids do not repeat."""

from __future__ import annotations

import os

from gateway.model.ids import message_id, random_id


def test_ids_do_not_repeat_in_a_child_process_either() -> None:
    mine = {message_id() for _ in range(100)}
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, "\n".join(message_id() for _ in range(100)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        theirs = set(pipe.read().split("\n"))
    os.waitpid(child, 0)
    assert len(mine) == len(theirs) == 100
    assert mine.isdisjoint(theirs)
    assert mine.isdisjoint(message_id() for _ in range(100))


def test_ids_of_things_that_last_are_random_and_of_one_form() -> None:
    made = {random_id("hk") for _ in range(1_000)}
    assert len(made) == 1_000
    assert {len(one) for one in made} == {19}
    assert all(one.startswith("hk_") and one[3:].isalnum() for one in made)
