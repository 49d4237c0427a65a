"""A Hypothesis state machine that compares any event store with a naive model.

In the test file of a store:

    class MyMachine(EventStoreMachine):
        durable = True

        def open_store(self, place):
            return open_my_store(place / "events")

    TestMyMachine = MyMachine.TestCase

The clock goes forth and back, relays die with what they claimed, report late or twice, and subscriptions change all
the while. Nothing is lost, nothing is claimed twice, order is kept, and each attempt is on record once.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.errors import Conflict, NotFound, StaleGeneration
from gateway.model.delivery import Attempt, Cause, DeliveryState
from gateway.model.subscription import Pause, Subscription
from gateway.stores.events import Completion, DeliveryQuery, Publication
from gateway.testing.event_records import NOW, event, subscription
from gateway.testing.event_store_model import CLAIMED, DEAD, Endpoint, EventStoreModel

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from contextlib import AbstractAsyncContextManager

    from gateway.stores.events import Claimed, EventStore

T = TypeVar("T")

# Few of each, so that they meet often.
_SUBSCRIPTIONS = st.sampled_from(("a", "b", "c"))
_KEYS = st.sampled_from((None, "k", "l"))
_EVENTS = st.integers(0, 30).map("e{}".format)
_SECONDS = st.sampled_from((0.5, 1.0, 5.0, 30.0, 61.0))
_CHANGES = st.fixed_dictionaries(
    {
        "ordered": st.booleans(),
        "max_concurrency": st.integers(1, 4),
        "active": st.sampled_from((True, True, True, False)),
    }
)


class EventStoreMachine(RuleBasedStateMachine):
    """Random publishers, relays and owners on a store: it must do what the model says."""

    durable: ClassVar[bool] = True

    def open_store(self, place: Path) -> AbstractAsyncContextManager[EventStore]:
        """The store that lives in the directory `place`, open until the context ends."""
        raise LookupError(f"{type(self).__name__} must override open_store({place.name!r})")

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._place = tempfile.TemporaryDirectory()
        self._context = AsyncExitStack()
        self._model = EventStoreModel()
        self._claims: list[Claimed] = []
        self._made = 0
        self._now = NOW
        self._store = self._open()

    def _open(self) -> EventStore:
        return self._run(self._context.enter_async_context(self.open_store(Path(self._place.name))))

    def _run(self, what: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(what)

    def teardown(self) -> None:
        """Close the store."""
        self._run(self._context.aclose())
        self._runner.close()
        self._place.cleanup()

    @initialize(ordered=st.booleans(), max_concurrency=st.integers(1, 4), count=st.integers(3, 9))
    def begin(self, ordered: bool, max_concurrency: int, count: int) -> None:  # noqa: FBT001  drawn
        """Someone subscribed, and something happened."""
        for key in "ab":
            self._subscribe(key, {"ordered": ordered, "max_concurrency": max_concurrency, "active": True})
        self._publish([(f"first{n}", None, None) for n in range(count)])

    @rule(seconds=st.sampled_from((0.5, 1.0, 10.0, 61.0, 3600.0, -1.0, -61.0, -3600.0)))
    def time_passes(self, seconds: float) -> None:
        """The clock goes on, or is set back."""
        self._now += seconds

    # ------------------------------------------------------------ subscriptions

    @rule(key=_SUBSCRIPTIONS, fields=_CHANGES)
    def subscribe_or_change(self, key: str, fields: dict[str, Any]) -> None:
        """A new subscription (whose id is its own for ever), or other settings of one."""
        self._subscribe(key, fields)

    def _subscribe(self, key: str, fields: dict[str, Any]) -> None:
        endpoint = next((e for e in self._model.endpoints.values() if e.subscription.name == key), None)
        if endpoint is None:
            self._made += 1
            made = subscription(f"{key}{self._made}", name=key, **fields)
            self._run(self._store.add_subscription(made))
            self._model.endpoints[made.id] = Endpoint(made)
            return
        changed = replace(endpoint.subscription, version=endpoint.subscription.version + 1, **fields)
        self._run(self._store.change_subscription(changed))
        endpoint.subscription = changed

    @precondition(lambda self: self._model.endpoints)
    @rule(data=st.data(), probe=st.none() | _SECONDS, resume=st.sampled_from((True, True, False)))
    def pause_or_resume(self, data: st.DataObject, probe: float | None, resume: bool) -> None:  # noqa: FBT001  drawn
        """Pause a subscription, with or without a probe, or resume it."""
        endpoint = data.draw(st.sampled_from(list(self._model.endpoints.values())))
        key, version = endpoint.subscription.id, endpoint.subscription.version
        if resume:
            found = self._run(self._store.resume(key, self._now))
            expected: Subscription = endpoint.subscription
            if expected.paused is not None:
                expected = replace(expected, paused=None, version=version + 1, updated_at=self._now)
            endpoint.failures, endpoint.failing_since, endpoint.hold_until = 0, None, 0.0
        else:
            pause = Pause(self._now, "why", None if probe is None else self._now + probe)
            found = self._run(self._store.pause(key, pause))
            expected = replace(endpoint.subscription, paused=pause, version=version + 1, updated_at=self._now)
            endpoint.next_probe = pause.probe_at
        assert found == expected
        endpoint.subscription = found

    @precondition(lambda self: len(self._model.endpoints) > 1)
    @rule(data=st.data())
    def unsubscribe(self, data: st.DataObject) -> None:
        """Remove a subscription; what a relay has of it is of no interest any more."""
        key = data.draw(st.sampled_from(sorted(self._model.endpoints)))
        assert self._run(self._store.remove_subscription(key))
        self._model.removed(key)
        self._claims = [each for each in self._claims if each.subscription.id != key]

    # ------------------------------------------------------------ publishing

    @rule(made=st.lists(st.tuples(_EVENTS, _KEYS, st.none() | st.sampled_from("xy")), min_size=1, max_size=5))
    def publish(self, made: list[tuple[str, str | None, str | None]]) -> None:
        """Publish some events to everyone, some of them again."""
        self._publish(made)

    @rule(made=st.lists(st.tuples(_EVENTS, _KEYS, st.none()), max_size=2))
    def publish_too_late(self, made: list[tuple[str, str | None, str | None]]) -> None:
        """What was matched against subscriptions as they were before is refused."""
        try:
            self._publish(made, off=1)
        except StaleGeneration:
            return
        raise AssertionError("published although the subscriptions were changed")

    def _publish(self, made: list[tuple[str, str | None, str | None]], off: int = 0) -> None:
        everyone = (*self._model.endpoints, "nobody")
        publications = [Publication(event(name, key=key, idempotency_key=once), everyone) for name, key, once in made]
        version = self._run(self._store.subscription_changes(0)).version - off
        answers = self._run(self._store.publish(publications, version=version, now=self._now))
        for publication, answer in zip(publications, answers, strict=True):
            query = DeliveryQuery(event_id=answer.event.id, limit=1000)
            found = self._run(self._store.deliveries(query)) if answer.new else []
            self._model.published(publication, answer, found[::-1], self._now)

    # ------------------------------------------------------------ delivering

    @rule(limit=st.sampled_from((1, 2, 3, 5, 20)), lease=_SECONDS)
    def claim(self, limit: int, lease: float) -> None:
        """A relay takes what it can get. Some never come back to it."""
        until = self._now + lease
        claims = self._run(self._store.claim(now=self._now, lease_until=until, limit=limit))
        self._model.expire(self._now)
        self._model.claimed(claims, self._now, until, limit)
        self._claims += claims

    @precondition(lambda self: self._claims)
    @rule(
        data=st.data(),
        state=st.sampled_from([state for state in DeliveryState if state is not CLAIMED]),
        well=st.booleans(),
        counts=st.booleans(),
        wait=_SECONDS,
        hold=st.none() | _SECONDS,
        keep=st.booleans(),
    )
    def finish(self, data: st.DataObject, state: DeliveryState, keep: bool, **how: Any) -> None:  # noqa: FBT001  drawn
        """Relays report, in time or late; some report twice."""
        claims = data.draw(st.lists(st.sampled_from(self._claims), min_size=1, max_size=4, unique_by=id))
        completions = [
            Completion(
                each.delivery.id,
                each.token,
                Attempt(self._now, 1.5, 200 if how["well"] else 500, None if how["well"] else "status"),
                state,
                due=self._now + how["wait"],
                counts=how["counts"],
                hold_until=None if how["hold"] is None else self._now + how["hold"],
            )
            for each in claims
        ]
        answers = self._run(self._store.finish(completions, now=self._now))
        expected = [self._model.finished(completion, self._now) for completion in completions]
        assert [answer.held for answer in answers] == expected
        if not keep:
            self._claims = [each for each in self._claims if each not in claims]

    @precondition(lambda self: self._claims)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """A relay gives back what it has, perhaps no longer."""
        claims = data.draw(st.lists(st.sampled_from(self._claims), min_size=1, max_size=4, unique_by=id))
        self._run(self._store.release(claims))
        for each in claims:
            self._model.released(each)

    @precondition(lambda self: self._model.deliveries)
    @rule(data=st.data())
    def redeliver(self, data: st.DataObject) -> None:
        """Someone asks for a delivery again."""
        known = data.draw(st.sampled_from(self._model.deliveries))
        try:
            again = self._run(self._store.redeliver(known.now.id, now=self._now))
        except Conflict:
            assert known.now.state is CLAIMED
            return
        self._model.requeued(known, Cause.REDELIVER, self._now)
        assert again == known.now

    @precondition(lambda self: self._model.endpoints)
    @rule(data=st.data(), back=st.sampled_from((0.0, 10.0, 4000.0)), step=st.integers(1, 3))
    def recover(self, data: st.DataObject, back: float, step: int) -> None:
        """Someone asks for all dead letters since a time."""
        key, since = data.draw(st.sampled_from(sorted(self._model.endpoints))), self._now - back
        dead = [k for k in self._model.deliveries if k.now.state is DEAD and k.now.subscription_id == key]
        wanted = [known for known in dead if known.now.created_at >= since]
        started = self._run(self._store.start_recovery(key, since=since, now=self._now))
        assert started.total == len(wanted)
        while self._run(self._store.recover(step, now=self._now)) is not None:
            pass
        for known in wanted:
            self._model.requeued(known, Cause.RECOVER, self._now)
        done = self._run(self._store.recovery(started.id))
        assert done == replace(started, requeued=len(wanted), done=True)

    @rule(age=st.sampled_from((0.0, 10.0, 4000.0)), dead_age=st.sampled_from((0.0, 4000.0)), limit=st.integers(1, 9))
    def purge(self, age: float, dead_age: float, limit: int) -> None:
        """What is old is forgotten, step by step."""
        before, dead_before = self._now - age, self._now - dead_age
        while self._run(self._store.purge(before=before, dead_before=dead_before, limit=limit)):
            pass
        self._model.purged(before, dead_before)

    @precondition(lambda self: self.durable)
    @rule()
    def reopen(self) -> None:
        """Close the store and open it again."""
        self._run(self._context.aclose())
        self._store = self._open()

    # ------------------------------------------------------------ what must hold

    @invariant()
    def both_hold_the_same(self) -> None:
        """Deliveries, attempts, figures and subscriptions are as the model has them."""
        found = self._run(self._store.deliveries(DeliveryQuery(limit=10_000)))
        assert found[::-1] == [known.now for known in self._model.deliveries]
        assert self._run(self._store.backlog()) == self._model.backlog()
        for known in self._model.deliveries:
            told = self._run(self._store.attempts(known.now.id))
            assert [(a.number, a.reason) for a in told] == [
                (number, a.reason) for number, a in enumerate(known.reports.values(), start=1)
            ]

    @invariant()
    def whoever_sleeps_until_the_next_is_due_misses_nothing(self) -> None:
        """If something can be claimed now, the store says so."""
        due = self._run(self._store.next_due(self._now))
        if any(self._model.claimable(self._now).values()):
            assert due == self._now

    @invariant()
    def what_is_not_there_is_not_found(self) -> None:
        """Unknown ids are no error of another kind."""
        try:
            self._run(self._store.redeliver("dlv_none", now=self._now))
        except NotFound:
            return
        raise AssertionError("redelivered what is not there")
