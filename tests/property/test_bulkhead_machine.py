"""Whatever its users do and whenever they are cancelled, a bulkhead loses no place and gives none twice."""

from __future__ import annotations

import asyncio

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.resilience.bulkhead import Bulkhead


class User:
    """One user: its task waits to enter, and tells when it is in."""

    def __init__(self, bulkhead: Bulkhead, deadline: float, number: int, order: list[int]) -> None:
        self.number = number
        self.inside = False
        self.sent_away = False
        self._order = order
        self.task = asyncio.ensure_future(self._enter(bulkhead, deadline))

    async def _enter(self, bulkhead: Bulkhead, deadline: float) -> None:
        if await bulkhead.enter(deadline):
            self.inside = True
            self._order.append(self.number)
        else:
            self.sent_away = True


class BulkheadMachine(RuleBasedStateMachine):
    """Users come, leave, are cancelled and sent away, in any order."""

    @initialize(limit=st.integers(1, 3), max_waiting=st.integers(0, 5))
    def begin(self, limit, max_waiting):
        self.loop = asyncio.new_event_loop()
        self.bulkhead = Bulkhead(limit, max_waiting)
        self.max_waiting = max_waiting
        self.users: list[User] = []
        self.direct = 0
        self.order: list[int] = []

    def teardown(self):
        if not hasattr(self, "loop"):
            return
        self.turn()
        for user in [user for user in self.users if user.inside]:
            self.users.remove(user)
            self.bulkhead.leave()
        for _ in range(self.direct):
            self.bulkhead.leave()
        for user in self.users:
            user.task.cancel()
        self.turn()
        for _ in [user for user in self.users if user.inside]:
            self.bulkhead.leave()
        assert (self.bulkhead.in_use, self.bulkhead.waiting) == (0, 0)
        self.loop.close()

    @rule()
    def turn(self):
        """Let everything happen that can."""

        async def some() -> None:
            for _ in range(5):
                await asyncio.sleep(0)

        self.loop.run_until_complete(some())

    @rule(late=st.booleans())
    def enter(self, late):
        async def begin() -> None:
            deadline = self.loop.time() + (0 if late else 3600)
            self.users.append(User(self.bulkhead, deadline, len(self.users), self.order))

        self.loop.run_until_complete(begin())

    @rule()
    def try_enter(self):
        nobody_waits = self.bulkhead.waiting == 0 and self.bulkhead.in_use < self.bulkhead.limit
        assert self.bulkhead.try_enter() == nobody_waits
        self.direct += nobody_waits

    @precondition(lambda self: self.direct)
    @rule()
    def leave_directly(self):
        self.direct -= 1
        self.bulkhead.leave()

    @precondition(lambda self: any(user.inside for user in self.users))
    @rule(data=st.data())
    def leave(self, data):
        user = data.draw(st.sampled_from([user for user in self.users if user.inside]))
        user.inside = False
        self.bulkhead.leave()

    @precondition(lambda self: any(not user.task.done() for user in self.users))
    @rule(data=st.data())
    def cancel(self, data):
        data.draw(st.sampled_from([user for user in self.users if not user.task.done()])).task.cancel()

    @rule(limit=st.integers(1, 4))
    def resize(self, limit):
        self.bulkhead.resize(limit)

    @rule()
    def dismiss(self):
        self.bulkhead.dismiss()

    @rule(data=st.data(), count=st.integers(2, 4))
    def at_once(self, data, count):
        """Several things without a turn of the loop between them: that is where places get lost."""
        for _ in range(count):
            waiting = [user for user in self.users if not user.task.done()]
            inside = [user for user in self.users if user.inside]
            choices = ["dismiss"] + ["cancel"] * bool(waiting) + ["leave"] * bool(inside)
            choices += ["leave_directly"] * bool(self.direct) + ["resize"]
            what = data.draw(st.sampled_from(choices))
            if what == "cancel":
                data.draw(st.sampled_from(waiting)).task.cancel()
            elif what == "leave":
                data.draw(st.sampled_from(inside)).inside = False
                self.bulkhead.leave()
            elif what == "leave_directly":
                self.leave_directly()
            elif what == "resize":
                self.bulkhead.resize(data.draw(st.integers(1, 4)))
            else:
                self.bulkhead.dismiss()

    @invariant()
    def the_queue_is_bounded(self):
        if hasattr(self, "bulkhead"):
            assert 0 <= self.bulkhead.waiting <= self.max_waiting

    @invariant()
    def no_place_is_lost_or_given_twice(self):
        if not hasattr(self, "bulkhead"):
            return
        self.turn()
        inside = self.direct + sum(user.inside for user in self.users)
        assert self.bulkhead.in_use == inside
        assert self.bulkhead.waiting == sum(not user.task.done() for user in self.users)
        assert not (self.bulkhead.waiting and self.bulkhead.in_use < self.bulkhead.limit), "a free place, and a queue"
        assert self.order == sorted(self.order), "somebody overtook"


TestBulkhead = BulkheadMachine.TestCase
TestBulkhead.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
