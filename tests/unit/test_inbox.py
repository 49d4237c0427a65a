"""An inbox: what it takes in, and how its worker deals with it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading

import pytest

from gateway.errors import HandlingFailed, InboxError
from gateway.receiver import Inbox
from gateway.receiver.inbox import InboxCounts, MemoryInboxStore, State, WorkerSettings
from gateway.receiver.inbox.sqlite import SqliteInboxStore
from gateway.receiver.inbox.worker import InboxWorker
from gateway.receiver.messages import Headers, Request
from gateway.testing.clock import ManualClock
from gateway.testing.inbox_exam import NOW, message
from gateway.wire.keyring import KeyRing
from gateway.wire.signature import new_secret

SECRET = new_secret()
KEYS = KeyRing([(SECRET, None)])
BODY = b'{"id": "evt_1", "type": "order.created", "data": {"n": 1}}'


def signed(body=BODY, ident="evt_1", at=NOW, **more):
    return {
        "webhook-id": ident,
        "webhook-timestamp": str(int(at)),
        "webhook-signature": KEYS.sign(ident, int(at), body, at),
        "content-type": "application/json",
        **more,
    }


@pytest.fixture
def clock():
    return ManualClock(NOW)


@pytest.fixture
def store():
    return MemoryInboxStore()


@pytest.fixture
def inbox(store, clock):
    return Inbox(store, [SECRET], now=clock)


def posted(headers, body=BODY, method="POST", path="/"):
    return Request(method, path, Headers(headers), body, 0.0)


# ---------------------------------------------------------------- letting in


def test_an_authentic_message_is_kept_and_acknowledged_with_a_signed_202(inbox, store):
    reply = inbox(
        signed(**{"X-Gateway-Event": "order.created", "x-hub-signature-256": "s", "authorization": "b"}), BODY
    )
    assert (reply.status, reply.body) == (202, b"")
    KEYS.verify(reply.header, b"", now=NOW, expected_id="evt_1")
    kept = store.find("evt_1")
    assert (kept.body, kept.state, kept.received_at, kept.type) == (BODY, State.NEW, NOW, "order.created")
    assert kept.value()["data"] == {"n": 1}
    assert dict(kept.headers) == {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(NOW)),
        "content-type": "application/json",
        "x-gateway-event": "order.created",
    }


def test_a_message_that_comes_again_is_acknowledged_and_kept_once(inbox, store, clock):
    assert inbox(signed(), BODY).status == 202
    clock.advance(100)
    assert inbox(signed(at=clock()), BODY).status == 202
    assert store.counts() == InboxCounts(new=1)


def test_what_is_not_authentic_is_refused_and_not_kept(inbox, store):
    headers = signed()
    for given, body in (({}, b""), (headers, BODY + b" "), ({**headers, "webhook-id": "evt_2"}, BODY), ({}, b"\xff")):
        assert inbox(given, body).status == 401
    assert inbox(signed(at=NOW - 301), BODY).status == 401
    assert inbox({}, b"x" * 2_000_000).status == 413
    assert inbox({}, b"", method="PUT").status == 405
    assert store.counts() == InboxCounts()


def test_the_ownership_handshake_is_answered(inbox):
    reply = inbox({"WebHook-Request-Origin": "gateway"}, b"")
    assert (reply.status, reply.header("webhook-allowed-origin")) == (200, "gateway")


def test_a_message_that_cannot_be_kept_is_not_acknowledged(tmp_path, clock):
    inbox = Inbox(tmp_path / "none" / "inbox.db", [SECRET], now=clock)
    reply = inbox(signed(), BODY)
    assert (reply.status, reply.header("retry-after")) == (503, "5")


@pytest.mark.parametrize(
    ("body", "headers", "kind"),
    [
        (BODY, {}, "order.created"),
        (b'{"type": 5}', {}, None),
        (b"[]", {}, None),
        (b"\xff", {}, None),
        (b"{}", {"ce-type": "a.b"}, "a.b"),
    ],
)
def test_the_type_is_that_of_cloudevents_or_of_standard_webhooks(inbox, store, body, headers, kind):
    inbox(signed(body, **headers), body)
    assert store.find("evt_1").type == kind


async def test_whoever_watches_gets_counts_and_metrics(inbox):
    await inbox.answer(posted(signed()))
    await inbox.answer(posted(signed()))
    await inbox.answer(posted({}))
    state = json.loads((await inbox.answer(posted({}, b"", "GET", "/healthz"))).body)
    assert state == {"status": "ok", "messages": {"new": 1, "processed": 0, "failed": 0}, "working": False}
    text = (await inbox.answer(posted({}, b"", "GET", "/metrics"))).body.decode()
    for line in (
        'inbox_received_total{what="new"} 1.0',
        'inbox_received_total{what="known"} 1.0',
        'inbox_received_total{what="refused"} 1.0',
        'inbox_messages{state="new"} 1.0',
    ):
        assert line in text
    assert (await inbox.answer(posted({}, b"", "GET", "/nothing"))).status == 404


# ---------------------------------------------------------------- handling


def worker(store, clock, handler, **settings):
    went = []
    made = InboxWorker(
        store, lambda _: handler, WorkerSettings(**settings), went=went.append, now=clock, chance=lambda: 1.0
    )
    return made, went


async def test_a_message_is_processed_once_by_a_function_or_a_coroutine(store, clock):
    seen = []

    async def later(message):
        await asyncio.sleep(0)
        seen.append(message.id)

    for ident, handler in (("a", lambda message: seen.append(message.id)), ("b", later), ("c", None)):
        store.add(message(ident))
        made, went = worker(store, clock, handler)
        assert (await made.step(9), await made.step(9), went) == (1, 0, ["processed"])
    assert seen == ["a", "b"]
    assert store.counts() == InboxCounts(processed=3)


async def test_a_failed_attempt_is_repeated_after_waits_that_double_until_it_has_failed(store, clock):
    store.add(message("a"))
    calls = []

    async def handler(given):
        calls.append(clock() - NOW)
        raise KeyError("x")

    made, went = worker(store, clock, handler, max_attempts=4, longest_wait=3.0)
    for _ in range(40):
        await made.step(1)
        clock.advance(0.5)
    assert calls == [0.0, 1.0, 3.0, 6.0]
    assert went == ["again"] * 3 + ["failed"]
    found = store.find("a")
    assert (found.state, found.error) == (State.FAILED, "KeyError: 'x'")
    store.replay("a", clock())
    await made.step(1)
    assert len(calls) == 5


async def test_a_handler_can_say_that_trying_again_is_of_no_use(store, clock):
    store.add(message("a"))

    def handler(given):
        raise HandlingFailed("there is no such customer")

    made, went = worker(store, clock, handler)
    await made.step(1)
    assert (went, store.find("a").error) == (["failed"], "there is no such customer")


async def test_a_coroutine_that_takes_too_long_is_cancelled_and_tried_again(store, clock):
    store.add(message("a"))

    async def handler(given):
        await asyncio.Event().wait()

    made, went = worker(store, clock, handler, timeout=0.01)
    await made.step(1)
    assert (went, store.find("a").error) == (["again"], "it took too long")


async def test_a_message_whose_handler_ends_the_process_each_time_fails_at_last(store, clock):
    store.add(message("a"))
    for _ in range(3):  # claimed, and never heard of again
        assert store.claim(clock(), 10, 1)
        clock.advance(11)
    made, went = worker(store, clock, lambda given: None, max_attempts=3)
    await made.step(1)
    assert went == ["failed"]
    assert store.find("a").error == "its handler began 3 times and never came to an end"


async def test_who_lost_the_lease_has_no_say(store, clock):
    store.add(message("a"))

    async def handler(given):
        clock.advance(1000)
        assert store.claim(clock(), 10, 1)

    made, went = worker(store, clock, handler)
    await made.step(1)
    assert (went, store.find("a").state) == (["lost_lease"], State.NEW)


async def test_a_message_is_handled_as_soon_as_it_has_come(inbox, store):
    handled = asyncio.Event()

    @inbox.on("order.created")
    async def created(message):
        handled.set()

    async with inbox.living(), asyncio.timeout(10):
        await inbox.answer(posted(signed()))
        await handled.wait()
    assert store.counts() == InboxCounts(processed=1)


async def test_at_the_end_what_is_under_way_may_end_and_is_let_go_of_otherwise(store, clock):
    began, release = asyncio.Event(), asyncio.Event()
    store.add(message("a"))

    async def handler(given):
        began.set()
        await release.wait()

    made, _ = worker(store, clock, handler, stop_seconds=5.0)
    async with made.working(), asyncio.timeout(10):
        await began.wait()
        release.set()
    assert store.find("a").state is State.PROCESSED

    store.add(message("b"))
    began.clear()
    release.clear()
    made, _ = worker(store, clock, handler, stop_seconds=0.01)
    async with made.working(), asyncio.timeout(10):
        await began.wait()
    found = store.find("b")
    assert (found.state, found.lease_until, found.error) == (State.NEW, None, "the worker was stopped")


async def test_types_without_a_handler_of_their_own_go_to_the_one_for_all(inbox, store):
    seen = []
    inbox.on("order.created", "order.changed")(lambda message: seen.append(("own", message.id)))
    inbox.on()(lambda message: seen.append(("all", message.id)))
    other = BODY.replace(b"created", b"removed")
    async with inbox.living():
        await inbox.answer(posted(signed()))
        await inbox.answer(posted(signed(other, "evt_2"), other))
        async with asyncio.timeout(10):
            while store.counts().processed < 2:  # noqa: ASYNC110  handlers run in threads
                await asyncio.sleep(0.005)
    assert sorted(seen) == [("all", "evt_2"), ("own", "evt_1")]


async def test_processed_messages_are_forgotten_when_they_are_old(store, clock):
    store.add(message("a"))
    made, _ = worker(store, clock, lambda given: None, keep=100.0)
    await made.step(1)
    await made._prune()
    assert store.counts() == InboxCounts(processed=1)
    clock.advance(3601)
    await made._prune()
    assert store.counts() == InboxCounts()


# ---------------------------------------------------------------- the file


def test_the_file_of_something_else_is_not_touched(tmp_path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE x (y)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(InboxError, match="is a database of something else"):
        SqliteInboxStore(path)
    path.write_text("not a database at all, but long enough to be looked at as one by anybody who tries")
    with pytest.raises(InboxError, match="NOTADB"):
        SqliteInboxStore(path)
    assert before[:16] == b"SQLite format 3\0"


def test_two_processes_take_turns(tmp_path):
    """Two stores on one file, from threads at once: nothing is lost, and nothing is in the way."""
    one, two = SqliteInboxStore(tmp_path / "inbox.db"), SqliteInboxStore(tmp_path / "inbox.db")

    def add(store, beginning):
        for number in range(50):
            assert store.add(message(f"{beginning}{number}"))

    threads = [threading.Thread(target=add, args=each) for each in ((one, "a"), (two, "b"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert one.counts() == InboxCounts(new=100)
    first = {each.id for each in one.claim(NOW, 10, 60)}
    second = {each.id for each in two.claim(NOW, 10, 60)}
    assert (len(first), len(second), first & second) == (60, 40, set())
    one.close()
    two.close()
    with pytest.raises(InboxError):
        one.add(message("c"))


def test_a_file_that_another_process_holds_is_waited_for_and_then_named(tmp_path):
    one = SqliteInboxStore(tmp_path / "inbox.db")
    two = SqliteInboxStore(tmp_path / "inbox.db", busy_seconds=0.01)
    with one._turn(), pytest.raises(InboxError, match="is locked by another process"):
        two.add(message("a"))
    assert two.add(message("a"))
    one.close()
    two.close()


def test_the_file_can_be_read_by_its_owner_only(tmp_path):
    SqliteInboxStore(tmp_path / "inbox.db").close()
    assert (tmp_path / "inbox.db").stat().st_mode & 0o777 == 0o600
