"""A database that cannot be used is left as it is, and the user reads a sentence; one that can loses nothing."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace

import pytest

from gateway.errors import StoreCorrupt, StoreError, StoreLocked, StoreReadOnly, StoreTooNew
from gateway.model import ApiKeyHash, Delivery, SigningSecret
from gateway.stores import RegistryChange, RegistryState, open_store, parse_store_url
from gateway.stores.migrations import MIGRATIONS, Migration, check_schema, migrate
from gateway.stores.sqlite import open_sqlite
from gateway.testing.store_records import FULL_HOOK, FULL_INTEGRATION, hook, integration

FULL = RegistryChange(0, 1, (FULL_INTEGRATION,), (FULL_HOOK,))


@pytest.fixture
def path(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    return folder / "gateway.db"


@pytest.fixture
def filled(path):
    """A closed database with one integration and one hook."""

    async def fill():
        async with open_sqlite(path) as store:
            await store.commit(FULL)

    asyncio.run(fill())
    return path


def sql(path, *statements):
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        return [db.execute(statement).fetchall() for statement in statements][-1]


def contents(folder):
    """What is in the files that hold data (the index of the log and the lock hold none)."""
    return {entry.name: entry.read_bytes() for entry in folder.iterdir() if not entry.name.endswith(("-shm", ".lock"))}


async def refusal(path, kind, **options):
    """The sentence with which opening is refused; every file is as before."""
    before = contents(path.parent)
    with pytest.raises(kind) as caught:
        async with open_sqlite(path, **options):
            pass
    assert type(caught.value) is kind
    assert contents(path.parent) == before
    return caught.value.detail


async def test_only_the_owner_can_read_the_files(path):
    async with open_sqlite(path) as store:
        await store.commit(FULL)
        modes = {entry.name: entry.stat().st_mode & 0o777 for entry in path.parent.iterdir()}
    assert set(modes.values()) == {0o600}
    assert "gateway.db-wal" in modes


async def test_a_closed_database_is_one_whole_file(filled):
    assert sorted(contents(filled.parent)) == ["gateway.db"]
    assert sql(filled, "PRAGMA integrity_check") == [("ok",)]


async def test_every_commit_is_synced_to_the_disk(path):
    async with open_sqlite(path) as store:
        db = store._database._db
        assert await store.on_thread(lambda: db.execute("PRAGMA synchronous").fetchone()) == (2,)
        assert await store.on_thread(lambda: db.execute("PRAGMA journal_mode").fetchone()) == ("wal",)


async def test_a_second_opening_is_refused_and_names_the_process(filled):
    async with open_sqlite(filled):
        text = await refusal(filled, StoreLocked)
    assert f"is in use by process {os.getpid()}" in text
    assert "Stop the other process" in text


async def test_a_link_to_the_file_is_the_same_database(filled, tmp_path):
    link = tmp_path / "link.db"
    link.symlink_to(filled)
    async with open_sqlite(filled):
        with pytest.raises(StoreLocked):
            async with open_sqlite(link):
                pass


async def test_a_database_that_another_program_holds_is_refused(filled):
    with closing(sqlite3.connect(filled, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        text = await refusal(filled, StoreLocked, busy_seconds=0)
    assert "is locked by another process" in text


async def test_a_commit_against_a_lock_changes_nothing_and_works_later(filled):
    async with open_sqlite(filled, busy_seconds=0) as store:
        before = await store.load()
        with closing(sqlite3.connect(filled, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreLocked, match="nothing was changed"):
                await store.commit(RegistryChange(1, 2, delete_hooks=(FULL_HOOK.id,)))
            await store.ping()
        assert await store.load() == before
        await store.commit(RegistryChange(1, 2))


async def test_a_full_disk_changes_nothing_and_later_commits_work(filled):
    hooks = tuple(hook(f"{n:04}", FULL_INTEGRATION.id) for n in range(3000))
    async with open_sqlite(filled) as store:
        db = store._database._db
        before = await store.load()
        await store.on_thread(lambda: db.execute("PRAGMA max_page_count = 20").fetchone())
        with pytest.raises(StoreError, match=r"no room left for the database .*; nothing was changed"):
            await store.commit(RegistryChange(1, 2, put_hooks=hooks))
        assert await store.load() == before
        await store.on_thread(lambda: db.execute("PRAGMA max_page_count = 100000").fetchone())
        await store.commit(RegistryChange(1, 2, put_hooks=hooks))
    async with open_sqlite(filled) as store:
        assert len((await store.load()).hooks) == 3001


async def test_a_value_that_no_row_can_hold_is_refused(path):
    async with open_sqlite(path) as store:
        for change in (RegistryChange(0, 1, (integration("\ud800"),)), RegistryChange(0, 2**63)):
            with pytest.raises(StoreError, match="cannot hold such a value"):
                await store.commit(change)
        assert await store.load() == RegistryState()


async def test_a_read_only_file_is_refused(filled):
    filled.chmod(0o400)
    assert "the file is read-only" in await refusal(filled, StoreReadOnly)


async def test_a_read_only_directory_is_refused(filled):
    filled.parent.chmod(0o500)
    try:
        text = await refusal(filled, StoreReadOnly)
    finally:
        filled.parent.chmod(0o700)
    assert f"its directory {filled.parent} is read-only" in text


async def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"there is no directory .*none\. Make it first\."):
        async with open_sqlite(tmp_path / "none" / "gateway.db"):
            pass


async def test_a_directory_is_not_a_database(path):
    path.mkdir()
    with pytest.raises(StoreError, match="it is not a file"):
        async with open_sqlite(path):
            pass


@pytest.mark.parametrize("text", [b"x", b"hello world, no database\n" * 100, b"SQLite format 2\0" + bytes(5000)])
async def test_a_file_that_is_no_database_is_left_alone(path, text):
    path.write_bytes(text)
    assert "is not an SQLite database. The file was not touched." in await refusal(path, StoreCorrupt)
    assert [entry.name for entry in path.parent.iterdir()] == ["gateway.db"]


@pytest.mark.parametrize("mode", ["delete", "wal"])
async def test_a_database_of_something_else_is_left_alone(path, mode):
    sql(path, f"PRAGMA journal_mode = {mode}", "CREATE TABLE photo (id)", "INSERT INTO photo VALUES (1)")
    assert "is an SQLite database of something else. The file was not touched." in await refusal(path, StoreCorrupt)
    assert [entry.name for entry in path.parent.iterdir()] == ["gateway.db"]


@pytest.mark.parametrize("keep", [16, 99, 100, 1000, 4096, 5000])
async def test_a_truncated_database_is_left_alone(filled, keep):
    filled.write_bytes(filled.read_bytes()[:keep])
    assert str(filled) in await refusal(filled, StoreCorrupt)


async def test_a_damaged_page_is_found_at_the_start(filled):
    whole = bytearray(filled.read_bytes())
    for page in range(1, len(whole) // 4096):
        whole[page * 4096 : page * 4096 + 64] = b"\xa5" * 64
    filled.write_bytes(whole)
    assert "damaged" in await refusal(filled, StoreCorrupt)


async def test_an_empty_file_becomes_a_database(path):
    path.touch()
    async with open_sqlite(path) as store:
        assert await store.load() == RegistryState()


async def test_a_newer_schema_is_refused(filled):
    sql(filled, "INSERT INTO schema_migration VALUES (99, 'future', 'x')")
    text = await refusal(filled, StoreTooNew)
    known = MIGRATIONS[-1].number
    assert f"was written by a newer version of the gateway (schema 99; this version knows up to {known})" in text
    assert "The file was not touched." in text


async def test_a_newer_schema_that_is_still_in_the_log_is_refused(filled, tmp_path):
    """As a newer version leaves it when it is killed: the log is not moved into the file by refusing it."""
    copy = tmp_path / "copy"
    copy.mkdir()
    with closing(sqlite3.connect(filled, isolation_level=None)) as newer:
        newer.execute("INSERT INTO schema_migration VALUES (99, 'future', 'x')")
        for entry in ("gateway.db", "gateway.db-wal"):
            shutil.copy(filled.parent / entry, copy / entry)
    assert "schema 99" in await refusal(copy / "gateway.db", StoreTooNew)


async def test_a_schema_that_no_version_made_is_refused(filled):
    sql(filled, "UPDATE schema_migration SET sha256 = 'x'")
    assert "has a schema that no released version of the gateway makes" in await refusal(filled, StoreCorrupt)


def test_missing_migrations_are_taken_in_order_and_together(filled):
    last = MIGRATIONS[-1].number
    second = Migration(last + 1, "second", ("CREATE TABLE second (id)",))
    broken = Migration(last + 2, "broken", ("CREATE TABLE third (id)", "CREATE TABLE second (id)"))
    with closing(sqlite3.connect(filled, isolation_level=None)) as db:
        with pytest.raises(sqlite3.OperationalError):
            migrate(db, (*MIGRATIONS, second, broken))
        check_schema(db)  # as before: nothing of it happened
        migrate(db, (*MIGRATIONS, second))
        taken = [number for (number,) in db.execute("SELECT number FROM schema_migration ORDER BY number")]
        assert taken == list(range(1, last + 2))
        with pytest.raises(StoreTooNew):
            check_schema(db)
        with pytest.raises(StoreCorrupt):
            check_schema(db, (*MIGRATIONS, replace(second, statements=("CREATE TABLE other (id)",))))


async def test_a_database_of_the_first_schema_keeps_its_credentials(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        migrate(db, MIGRATIONS[:1])
        db.execute("INSERT INTO integration VALUES ('int_1', 'one', '{\"base_url\": \"https://hooks.example\"}')")
        db.execute("INSERT INTO credential VALUES (1, 'int_1', 'api_key', 0, 'digest', 'sha256:a', 1.0, NULL)")
        db.execute("INSERT INTO credential VALUES (2, 'int_1', 'secret', 0, 'plain', 'whsec_a', 1.0, 9.0)")
    async with open_sqlite(path) as store:
        (found,) = (await store.load()).integrations
    assert found.api_keys == (ApiKeyHash("sha256:a", 1.0),)
    assert found.secrets == (SigningSecret("whsec_a", 1.0, 9.0),)
    assert (found.signing_keys, found.client_key_pem, found.tls) == ((), None, None)


async def test_a_record_from_before_a_field_was_added_gets_its_default(filled):
    sql(filled, "UPDATE hook SET doc = json_remove(doc, '$.order', '$.delivery')")
    async with open_sqlite(filled) as store:
        (found,) = (await store.load()).hooks
    assert found == replace(FULL_HOOK, order=0, delivery=Delivery.STRUCTURED)


async def test_a_record_with_a_field_of_a_later_version_is_refused(filled):
    sql(filled, "UPDATE hook SET doc = json_set(doc, '$.moon_phase', 'full')")
    before = contents(filled.parent)
    async with open_sqlite(filled) as store:
        with pytest.raises(StoreTooNew, match="has the field 'moon_phase', which this version does not know"):
            await store.load()
    assert contents(filled.parent) == before


async def test_a_credential_in_an_unknown_form_is_refused(filled):
    sql(filled, "UPDATE credential SET scheme = 'aes-256' WHERE kind = 'secret'")
    async with open_sqlite(filled) as store:
        with pytest.raises(StoreTooNew, match="in the form 'aes-256'"):
            await store.load()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("order", "x"),
        ("order", True),
        ("enabled", 1),
        ("types", "a"),
        ("types", [1]),
        ("delivery", "pigeon"),
        ("path", None),
        ("lease_expires_at", "soon"),
    ],
)
async def test_a_nonsense_record_is_refused_and_its_field_named(filled, field, value):
    document = json.loads(sql(filled, "SELECT doc FROM hook")[0][0]) | {field: value}
    with closing(sqlite3.connect(filled)) as db, db:
        db.execute("UPDATE hook SET doc = ?", (json.dumps(document),))
    async with open_sqlite(filled) as store:
        with pytest.raises(StoreCorrupt, match=rf"kind Hook in the database is damaged: its field '{field}'"):
            await store.load()


@pytest.mark.parametrize("doc", ["", "{", "[]", "null", "{}"])
async def test_a_record_that_is_no_object_is_refused(filled, doc):
    sql(filled, f"UPDATE integration SET doc = '{doc}'")
    async with open_sqlite(filled) as store:
        with pytest.raises(StoreCorrupt, match=r"A record of kind Integration in the database is"):
            await store.load()


async def test_a_closed_store_says_so(path):
    async with open_sqlite(path) as store:
        pass
    for call in (store.load, store.ping):
        with pytest.raises(StoreError, match=r"The store is closed\."):
            await call()


async def test_an_opening_that_is_cancelled_leaves_the_database_free(filled):
    for turns in range(3):
        opening = asyncio.ensure_future(open_sqlite(filled).__aenter__())
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        async with open_sqlite(filled) as store:
            await store.ping()


def test_another_process_is_kept_out_until_this_one_ends(filled):
    holder = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from gateway.stores.sqlite import open_sqlite\n"
        "async def main():\n"
        "    async with open_sqlite(Path(sys.argv[1])):\n"
        "        print('open', flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", holder, str(filled)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "open\n"
        text = asyncio.run(refusal(filled, StoreLocked))
        assert f"is in use by process {child.pid}" in text
        child.kill()

    async def reopen():
        async with open_sqlite(filled) as store:
            return await store.load()

    assert asyncio.run(reopen()).hooks == (FULL_HOOK,)


def test_store_urls_are_relative_with_three_slashes_and_absolute_with_four():
    assert str(parse_store_url("sqlite:///a/b.db").path) == "a/b.db"
    assert str(parse_store_url("sqlite:////a/b.db").path) == "/a/b.db"
    assert parse_store_url("memory:").path is None


@pytest.mark.parametrize("url", ["", "gateway.db", "sqlite://x.db", "sqlite:///", "sqlite:///a/", "sqlite:///a?b"])
async def test_a_store_url_that_is_none_is_refused_with_the_forms_that_are(url):
    with pytest.raises(StoreError, match=r"use sqlite:///relative\.db, sqlite:////absolute\.db or memory:"):
        async with open_store(url):
            pass
