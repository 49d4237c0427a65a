"""A database of notifications that is shared, full, locked, damaged or not ours: nothing is lost or half done."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from dataclasses import replace

import pytest

from gateway.errors import (
    Conflict,
    StaleGeneration,
    StoreCorrupt,
    StoreError,
    StoreLocked,
    StoreReadOnly,
    StoreSealed,
    StoreTooNew,
)
from gateway.stores import EncryptionKeys, open_event_store, open_store
from gateway.stores.events import DeliveryQuery, EventQuery, Publication
from gateway.stores.sqlite_events import open_sqlite_events
from gateway.testing.event_records import (
    FULL_SUBSCRIPTION,
    NOW,
    claim,
    event,
    failed,
    names,
    publish,
    publish_all,
    subscription,
    succeeded,
    version_of,
)

OLD, NEW = (EncryptionKeys(bytes([n]) * 32) for n in (1, 2))
SECRETS = [*(each.secret for each in FULL_SUBSCRIPTION.secrets), "Bearer of-somebody"]


@pytest.fixture
def path(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "gateway-events.db"


def sql(path, *statements):
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        return [db.execute(statement).fetchall() for statement in statements][-1]


def contents(path):
    """What is in the files that hold data."""
    ends = ("-shm", ".lock", ".turn")
    return {entry.name: entry.read_bytes() for entry in path.parent.iterdir() if not entry.name.endswith(ends)}


async def refusal(path, kind, **options):
    """The sentence with which opening is refused; every file is as before."""
    before = contents(path)
    with pytest.raises(kind) as caught:
        async with open_sqlite_events(path, **options):
            pass
    assert type(caught.value) is kind
    assert contents(path) == before
    return caught.value.detail


def run_on_writer(store, work):
    return store._write(work)


async def test_the_notifications_lie_beside_the_registry(tmp_path):
    url = f"sqlite:///{tmp_path / 'my.gateway.db'}"
    async with open_store(url), open_event_store(url) as store:
        await publish(store, one=None)
        modes = {entry.name: entry.stat().st_mode & 0o777 for entry in tmp_path.iterdir()}
    assert {"my.gateway.db", "my.gateway-events.db", "my.gateway-events.db-wal"} < modes.keys()
    assert set(modes.values()) == {0o600}


async def test_a_closed_database_is_one_whole_file(path):
    async with open_sqlite_events(path) as store:
        await publish(store, one=None)
    assert sorted(contents(path)) == [path.name]
    assert sql(path, "PRAGMA integrity_check") == [("ok",)]


async def test_every_commit_is_synced_to_the_disk(path):
    async with open_sqlite_events(path) as store:
        assert await run_on_writer(store, lambda db: db.execute("PRAGMA synchronous").fetchone()) == (2,)
        assert await run_on_writer(store, lambda db: db.execute("PRAGMA journal_mode").fetchone()) == ("wal",)


# ---------------------------------------------------------------- several processes

WORKER = """
import asyncio, json, sys
from pathlib import Path
from gateway.stores.sqlite_events import open_sqlite_events
from gateway.testing.event_records import NOW, claim, names, publish, succeeded

async def main(path, me, count):
    got = []
    async with open_sqlite_events(Path(path), busy_seconds=60) as store:
        print("open", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        for n in range(count):
            await publish(store, "a", "b", **{f"{me}-{n}": "k"})
            claims = await claim(store, limit=3)
            await store.finish([succeeded(each) for each in claims], now=NOW)
            got += [(each.subscription.id, each.event.id) for each in claims]
    print(json.dumps(got))

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


async def subscribe(path, *subscriptions):
    async with open_sqlite_events(path) as store:
        for each in subscriptions:
            await store.add_subscription(each)


async def events_and_deliveries(path):
    async with open_sqlite_events(path) as store:
        everything = await store.events(EventQuery(limit=100_000)), await store.deliveries(DeliveryQuery(limit=100_000))
    return [each.id for each in everything[0]], [each.event_id for each in everything[1]]


async def what_is_left(path):
    found = []
    async with open_sqlite_events(path) as store:
        while claims := await claim(store):
            await store.finish([succeeded(each) for each in claims], now=NOW)
            found += [(each.subscription.id, each.event.id) for each in claims]
    return found


def test_processes_that_publish_and_claim_at_once_share_everything_and_damage_nothing(path):
    count = 40
    asyncio.run(subscribe(path, subscription("a"), subscription("b", ordered=True)))
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(path), str(n), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(3)
    ]
    for worker in workers:
        assert worker.stdout.readline() == "open\n"
    got = []
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        out, _ = worker.communicate(timeout=120)
        assert worker.returncode == 0
        got += [tuple(each) for each in json.loads(out)]
    got += asyncio.run(what_is_left(path))
    assert Counter(got) == {(key, f"{n}-{e}"): 1 for key in "ab" for n in range(3) for e in range(count)}
    assert sql(path, "PRAGMA integrity_check") == [("ok",)]


async def test_who_writes_again_and_again_keeps_nobody_out(path):
    async with open_sqlite_events(path) as busy, open_sqlite_events(path) as other:
        stop = asyncio.Event()
        written = 0

        async def write():
            nonlocal written
            while not stop.is_set():
                await publish_all(busy, {f"busy-{written}": None})
                written += 1

        writers = [asyncio.ensure_future(write()) for _ in range(4)]
        for n in range(5):
            await publish_all(other, {f"other-{n}": None})
        stop.set()
        await asyncio.gather(*writers)
        assert len(await other.events(EventQuery(limit=10_000))) == len(await busy.events(EventQuery(limit=10_000)))


async def test_a_process_that_hangs_while_it_writes_is_named_and_nothing_is_lost(path):
    async with open_sqlite_events(path) as hanging, open_sqlite_events(path, busy_seconds=0) as store:
        with hanging._files.turns.held():
            with pytest.raises(StoreLocked, match=r"nothing was changed\. See whether a gateway or relay on it hangs"):
                await publish(store, one=None)
            await store.ping()
        await publish(store, one=None)
        assert await hanging.event("one") is not None


async def test_a_program_that_holds_the_database_makes_publishing_fail_and_later_work(path):
    async with open_sqlite_events(path, busy_seconds=0) as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreLocked, match="nothing was changed"):
                await publish(store, one=None)
            assert await store.event("one") is None
        await publish(store, one=None)


async def test_what_one_process_changes_the_others_go_by_at_once(path):
    async with open_sqlite_events(path) as one, open_sqlite_events(path) as other:
        await one.add_subscription(subscription("a"))
        await publish(one, "a", e1=None, e2=None)
        (first,) = await claim(one, limit=1)
        await other.change_subscription(changed := replace(first.subscription, url="https://new.example", version=2))
        with pytest.raises(StaleGeneration):
            await one.publish([Publication(event("late"), ("a",))], version=1, now=NOW)
        (second,) = await claim(one, limit=1)
        assert second.subscription == changed
        await other.change_subscription(replace(changed, ordered=True, version=3))
        await publish(one, "a", e3=None, e4=None)
        assert names(await claim(one)) == ["e3"]
        await other.remove_subscription("a")
        assert [each.deliveries for each in await publish(one, "a", e5=None)] == [0]


KILLED = """
import asyncio, sys
from pathlib import Path
from gateway.stores.sqlite_events import open_sqlite_events
from gateway.testing.event_records import publish

async def main(path, me):
    async with open_sqlite_events(Path(path)) as store:
        async def write(w):
            n = 0
            while True:
                await publish(store, "a", **{f"{me}-{w}-{n}": None})
                print(f"{me}-{w}-{n}", flush=True)
                n += 1
        await asyncio.gather(*(write(w) for w in range(8)))

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


def test_what_was_acknowledged_before_a_kill_is_there(path):
    asyncio.run(subscribe(path, subscription("a")))
    told = []
    for me in range(3):
        child = subprocess.Popen([sys.executable, "-c", KILLED, str(path), str(me)], stdout=subprocess.PIPE, text=True)
        told += [child.stdout.readline().strip() for _ in range(50 + 13 * me)]
        child.kill()
        told += child.communicate(timeout=30)[0].split()
    events, deliveries = asyncio.run(events_and_deliveries(path))
    assert [name for name in told if name not in events] == []
    assert sorted(events) == sorted(deliveries)
    assert sql(path, "PRAGMA integrity_check") == [("ok",)]


# ---------------------------------------------------------------- sharing a transaction


async def test_what_fails_does_not_take_its_companions_with_it(path):
    async with open_sqlite_events(path) as store:
        await store.add_subscription(subscription("a"))
        answers = await asyncio.gather(
            publish(store, "a", one=None),
            store.add_subscription(subscription("a")),
            store.publish([Publication(event("stale"))], version=99, now=NOW),
            publish_all(store, {"\ud800": None}),
            publish(store, "a", two=None),
            return_exceptions=True,
        )
        assert isinstance(answers[1], Conflict)
        assert isinstance(answers[2], StoreError)
        assert "cannot hold such a value" in str(answers[3])
        assert names(await claim(store)) == ["one", "two"]


async def test_a_bulk_that_fails_half_way_leaves_nothing(path):
    async with open_sqlite_events(path) as store:
        await store.add_subscription(subscription("a"))
        with pytest.raises(StoreError, match="cannot hold such a value"):
            await publish_all(store, {"one": None, "\ud800": None}, "a")
        assert (await store.events(EventQuery()), await claim(store)) == ([], [])


async def test_a_publication_that_is_cancelled_before_its_turn_is_not_made(path):
    async with open_sqlite_events(path) as store:
        version = await version_of(store)
        with store._files.turns.held():
            first, second = (
                asyncio.ensure_future(store.publish([Publication(event(name))], version=version, now=NOW))
                for name in ("first", "second")
            )
            for _ in range(3):
                await asyncio.sleep(0)
            second.cancel()
            await asyncio.gather(second, return_exceptions=True)
        await first
        await store.purge(before=0, dead_before=0, limit=1)
        assert [each.id for each in await store.events(EventQuery())][-1] == "first"


# ---------------------------------------------------------------- a full disk


async def test_a_full_disk_changes_nothing_and_later_publications_work(path):
    big = [Publication(event(f"e{n}", data=b"x" * 10_000), ("a",)) for n in range(100)]
    async with open_sqlite_events(path) as store:
        await store.add_subscription(subscription("a"))
        await publish(store, "a", before=None)
        version = await version_of(store)
        (pages,) = await run_on_writer(store, lambda db: db.execute("PRAGMA page_count").fetchone())
        await run_on_writer(store, lambda db: db.execute(f"PRAGMA max_page_count = {pages + 3}").fetchone())
        large = store.publish(big, version=version, now=NOW)
        small = store.publish([Publication(event("small"), ("a",))], version=version, now=NOW)
        answers = await asyncio.gather(large, small, return_exceptions=True)
        assert "no room left for the database" in str(answers[0])
        assert isinstance(answers[1], list)
        (kept, *_) = await claim(store)
        await store.finish([succeeded(kept)], now=NOW)
        await run_on_writer(store, lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchone())
        assert len(await store.publish(big, version=version, now=NOW)) == 100
        assert (await store.backlog("a"))[0].waiting + (await store.backlog("a"))[0].claimed == 101


LIMITED = """
import asyncio, resource, sys
from pathlib import Path
from gateway.errors import StoreError
from gateway.stores.events import EventQuery
from gateway.stores.sqlite_events import open_sqlite_events
from gateway.testing.event_records import publish

async def main(path):
    async with open_sqlite_events(Path(path)) as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
        told = 0
        try:
            while True:
                await publish(store, **{f"e{told}": None})
                told += 1
        except StoreError as error:
            print(error.detail)
        assert len(await store.events(EventQuery(limit=100_000))) == told
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await publish(store, **{f"e{told}": None})
        print(told + 1)

asyncio.run(main(sys.argv[1]))
"""


def test_a_file_that_may_not_grow_loses_nothing_that_was_told(path):
    asyncio.run(subscribe(path))
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path), "400000"], capture_output=True, text=True, timeout=60, check=True
    )
    detail, count = done.stdout.splitlines()
    assert re.search("nothing was changed|no room", detail)
    events, _ = asyncio.run(events_and_deliveries(path))
    assert len(events) == int(count) > 1


# ---------------------------------------------------------------- files that cannot be used


async def fill(path, keys=None):
    async with open_sqlite_events(path, keys=keys) as store:
        await store.add_subscription(FULL_SUBSCRIPTION)
        await publish(store, "sub-full", one=None)


async def test_a_read_only_file_is_refused(path):
    await fill(path)
    path.chmod(0o400)
    assert "the file is read-only" in await refusal(path, StoreReadOnly)


@pytest.mark.parametrize("text", [b"hello world, no database\n" * 100, b"SQLite format 2\0" + bytes(5000)])
async def test_a_file_that_is_no_database_is_left_alone(path, text):
    path.write_bytes(text)
    assert "is not an SQLite database. The file was not touched." in await refusal(path, StoreCorrupt)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


async def test_the_registrys_file_is_not_taken_for_this_one(path):
    async with open_store(f"sqlite:///{path}"):
        pass
    assert "is an SQLite database of something else" in await refusal(path, StoreCorrupt)


async def test_a_newer_schema_is_refused(path):
    await fill(path)
    sql(path, "INSERT INTO schema_migration VALUES (99, 'future', 'x')")
    assert "was written by a newer version of the gateway (schema 99" in await refusal(path, StoreTooNew)


async def test_a_damaged_record_is_refused_with_a_sentence(path):
    await fill(path)
    sql(path, "UPDATE subscription SET sealed = '{}'", "UPDATE delivery SET state = 9, cause = 'x'")
    async with open_sqlite_events(path) as store:
        for call in (store.subscription("sub-full"), store.deliveries(DeliveryQuery())):
            with pytest.raises(StoreCorrupt, match="damaged"):
                await call


async def test_a_closed_store_says_so(path):
    async with open_sqlite_events(path) as store:
        pass
    for call in (store.ping, lambda: publish_all(store, {}), lambda: claim(store)):
        with pytest.raises(StoreError, match=r"The store is closed\."):
            await call()


async def test_an_opening_that_is_cancelled_leaves_the_database_free(path):
    await fill(path)
    for turns in range(4):
        opening = asyncio.ensure_future(open_sqlite_events(path).__aenter__())
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        async with open_sqlite_events(path) as store:
            await store.ping()


# ---------------------------------------------------------------- secrets at rest


def shows_a_secret(path):
    return [s for s in SECRETS if any(s.encode() in data for data in contents(path).values())]


async def test_with_a_key_no_secret_and_no_header_is_in_the_file(path):
    await fill(path, OLD)
    assert shows_a_secret(path) == []
    async with open_sqlite_events(path, keys=OLD) as store:
        assert await store.subscription("sub-full") == FULL_SUBSCRIPTION
        assert store.resealed == 0


async def test_a_new_key_encrypts_anew_and_leaves_no_trace_of_what_was_plain(path):
    await fill(path)
    assert shows_a_secret(path) == SECRETS
    async with open_sqlite_events(path, keys=OLD) as store:
        assert store.resealed == 1
        assert shows_a_secret(path) == []
    async with open_sqlite_events(path, keys=replace(NEW, previous=(OLD.current,))) as store:
        assert store.resealed == 1
    async with open_sqlite_events(path, keys=NEW) as store:
        assert await store.subscription("sub-full") == FULL_SUBSCRIPTION
    assert shows_a_secret(path) == []


@pytest.mark.parametrize("keys", [None, NEW], ids=["none", "another"])
async def test_without_the_right_key_the_file_is_left_alone(path, keys):
    await fill(path, OLD)
    assert "The file was not touched." in await refusal(path, StoreSealed, keys=keys)


async def test_the_secrets_of_a_subscription_that_was_removed_are_gone_from_the_file(path):
    await fill(path)
    async with open_sqlite_events(path) as store:
        await store.remove_subscription("sub-full")
    assert shows_a_secret(path) == []


async def test_a_secret_that_was_moved_to_another_row_is_refused(path):
    await fill(path, OLD)
    async with open_sqlite_events(path, keys=OLD) as store:
        await store.add_subscription(subscription("b"))
    sql(path, "UPDATE subscription SET sealed = (SELECT sealed FROM subscription WHERE id = 'sub-full')")
    async with open_sqlite_events(path, keys=OLD) as store:
        with pytest.raises(StoreCorrupt, match="moved there from another row"):
            await store.subscription("b")


# ---------------------------------------------------------------- what it costs


async def steps(store, work):
    """How many steps of SQLite's virtual machine `work` takes, in tens."""
    count = 0

    def step():
        nonlocal count
        count += 1

    await run_on_writer(store, lambda db: db.set_progress_handler(step, 10))
    try:
        answer = await work()
    finally:
        await run_on_writer(store, lambda db: db.set_progress_handler(None, 0))
    return answer, count


async def test_a_claim_costs_the_same_however_many_deliveries_wait(path):
    costs = []
    async with open_sqlite_events(path) as store:
        for key in ("long", "ordered", "short"):
            await store.add_subscription(subscription(key, ordered=key == "ordered"))
        made = 0
        for count in (200, 20_000):
            batch = {f"e{n}": None for n in range(made, count)}
            made = count
            await publish_all(store, batch, "long", "ordered")
            await publish_all(store, {f"short{count}": None}, "short")
            claims, cost = await steps(store, lambda: claim(store, limit=30))
            costs.append(cost)
            assert {each.subscription.id for each in claims} == {"long", "ordered", "short"}
            halves = [failed(c, due=NOW + 1) if n % 2 else succeeded(c) for n, c in enumerate(claims)]
            _, cost = await steps(store, lambda halves=halves: store.finish(halves, now=NOW))
            costs.append(cost)
            _, cost = await steps(store, lambda: store.purge(before=NOW + 1, dead_before=NOW, limit=10))
            costs.append(cost)
    few, many = costs[:3], costs[3:]
    assert min(costs) > 0
    assert all(later <= 1.5 * earlier + 20 for earlier, later in zip(few, many, strict=True)), costs


async def test_an_idle_subscription_costs_a_claim_nothing(path):
    costs = []
    async with open_sqlite_events(path) as store:
        await store.add_subscription(subscription("busy"))
        for made in (range(10), range(10, 1_000)):
            for n in made:
                await store.add_subscription(subscription(f"idle{n}"))
            await publish_all(store, {f"{made}-{n}": None for n in range(20)}, "busy")
            claims, cost = await steps(store, lambda: claim(store, limit=10))
            assert len(claims) == 10
            costs.append(cost)
            await store.finish([succeeded(each) for each in claims], now=NOW)
    assert costs[1] <= 1.5 * costs[0] + 20, costs
