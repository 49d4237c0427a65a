"""Secrets at rest: encrypted with a key, bound to their rows, encrypted anew when the key changes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from gateway.errors import StoreCorrupt, StoreError, StoreSealed
from gateway.model import SigningSecret
from gateway.stores import (
    AuditQuery,
    EncryptionKeys,
    RegistryChange,
    RegistryState,
    new_encryption_key,
    parse_encryption_key,
)
from gateway.stores.migrations import APPLICATION_ID, MIGRATIONS
from gateway.stores.sqlite import open_sqlite
from gateway.testing.store_records import FULL_HOOK, FULL_INTEGRATION, integration

FULL = RegistryChange(0, 1, (FULL_INTEGRATION,), (FULL_HOOK,))
STATE = RegistryState(1, (FULL_INTEGRATION,), (FULL_HOOK,))
OLD, NEW, THIRD = (EncryptionKeys(bytes([n]) * 32) for n in (1, 2, 3))
SECRETS = [
    *(each.secret for each in (*FULL_INTEGRATION.secrets, *FULL_INTEGRATION.signing_keys)),
    FULL_INTEGRATION.client_key_pem,
]


@pytest.fixture
def path(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "gateway.db"


async def fill(path, keys=None):
    async with open_sqlite(path, keys=keys) as store:
        await store.commit(FULL)
        await store.pepper()


def contents(path):
    return {entry.name: entry.read_bytes() for entry in path.parent.iterdir() if not entry.name.endswith(".lock")}


def sql(path, *statements):
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        return [db.execute(statement).fetchall() for statement in statements][-1]


def schemes(path):
    return {s for (s,) in sql(path, "SELECT scheme FROM credential UNION SELECT scheme FROM gateway_secret")}


def shows_a_secret(path):
    return [s for s in SECRETS if any(s.encode() in data for data in contents(path).values())]


async def test_with_a_key_no_secret_is_in_the_file_and_all_come_back(path):
    await fill(path, OLD)
    assert shows_a_secret(path) == []
    assert all(scheme == "digest" or scheme.startswith("aesgcm:") for scheme in schemes(path))
    async with open_sqlite(path, keys=OLD) as store:
        assert await store.load() == STATE
        assert store.resealed == 0


async def test_without_a_key_secrets_are_plain(path):
    await fill(path)
    assert shows_a_secret(path)
    assert schemes(path) == {"digest", "plain"}


async def test_a_first_key_encrypts_what_was_plain_and_leaves_no_trace_of_it(path):
    await fill(path)
    async with open_sqlite(path) as store:  # a secret that was removed leaves its bytes in free space
        await store.commit(RegistryChange(1, 2, (replace(FULL_INTEGRATION, secrets=()),)))
    async with open_sqlite(path, keys=NEW) as store:
        assert store.resealed == 4
        assert (await store.load()).integrations == (replace(FULL_INTEGRATION, secrets=()),)
        assert shows_a_secret(path) == []
    assert shows_a_secret(path) == []


async def test_a_new_key_takes_the_place_of_the_old_one_which_is_needed_only_once(path):
    await fill(path, OLD)
    async with open_sqlite(path, keys=OLD) as store:
        pepper = await store.pepper()
    async with open_sqlite(path, keys=EncryptionKeys(NEW.current, (THIRD.current, OLD.current))) as store:
        assert store.resealed == 6
        assert await store.load() == STATE
    async with open_sqlite(path, keys=NEW) as store:
        assert store.resealed == 0
        assert await store.load() == STATE
        assert await store.pepper() == pepper


@pytest.mark.parametrize(
    ("keys", "words"),
    [(None, "no key is configured: set store.encryption_key_file"), (NEW, "store.previous_encryption_keys")],
    ids=["none", "another"],
)
async def test_without_the_right_key_the_file_is_left_alone(path, keys, words):
    await fill(path, OLD)
    before = contents(path)
    with pytest.raises(StoreSealed, match=words) as caught:
        async with open_sqlite(path, keys=keys):
            pass
    assert "The file was not touched." in caught.value.detail
    assert contents(path) == before


async def test_a_secret_that_was_moved_to_another_row_is_refused(path):
    await fill(path, OLD)
    sql(
        path,
        "UPDATE credential SET value = (SELECT value FROM credential WHERE kind = 'secret' AND position = 1) "
        "WHERE kind = 'secret' AND position = 0",
    )
    async with open_sqlite(path, keys=OLD) as store:
        with pytest.raises(StoreCorrupt, match="moved there from another row"):
            await store.load()


async def test_a_secret_of_another_integration_is_refused(path):
    await fill(path, OLD)
    async with open_sqlite(path, keys=OLD) as store:
        other = replace(integration("b"), secrets=(SigningSecret("whsec_mine", 1.0),))
        await store.commit(RegistryChange(1, 2, (other,)))
    value = "(SELECT value FROM credential WHERE kind = 'secret' AND integration_id = 'b')"
    sql(path, f"UPDATE credential SET value = {value} WHERE kind = 'secret' AND position = 0")
    async with open_sqlite(path, keys=OLD) as store:
        with pytest.raises(StoreCorrupt):
            await store.load()


@pytest.mark.parametrize("value", ["''", "'x'", "'AAAA'", "substr(value, 1, 20)", "upper(value)"])
async def test_a_damaged_secret_is_refused_and_stays_when_the_key_changes(path, value):
    await fill(path, OLD)
    sql(path, f"UPDATE credential SET value = {value} WHERE kind = 'client_key'")
    rows = sql(path, "SELECT * FROM credential ORDER BY id")
    with pytest.raises(StoreCorrupt):
        async with open_sqlite(path, keys=EncryptionKeys(NEW.current, (OLD.current,))):
            pass
    assert sql(path, "SELECT * FROM credential ORDER BY id") == rows


async def test_encrypting_anew_that_fails_half_way_changes_nothing_and_is_taken_up_again(path):
    await fill(path, OLD)
    keys = EncryptionKeys(NEW.current, (OLD.current,))
    sql(
        path,
        "CREATE TRIGGER broken BEFORE UPDATE ON credential WHEN new.kind = 'client_key' "
        "BEGIN SELECT RAISE(ABORT, 'as if the disk were full'); END",
    )
    before = schemes(path)
    with pytest.raises(StoreError):
        async with open_sqlite(path, keys=keys):
            pass
    assert schemes(path) == before
    sql(path, "DROP TRIGGER broken")
    async with open_sqlite(path, keys=keys) as store:
        assert await store.load() == STATE


def test_a_key_is_text_that_is_easy_to_copy():
    text = new_encryption_key()
    assert text.startswith("gwe_")
    assert len(parse_encryption_key(text)) == 32
    assert parse_encryption_key(f" {text}\n") == parse_encryption_key(text)
    assert text not in repr(EncryptionKeys(parse_encryption_key(text)))
    assert repr(parse_encryption_key(text)) not in repr(EncryptionKeys(parse_encryption_key(text)))


@pytest.mark.parametrize("text", ["", "gwe_", "short", "gwe_" + "A" * 40, "x" * 200, "ключ" * 11, "!" * 43])
def test_what_is_no_key_is_refused_without_being_shown(text):
    with pytest.raises(ValueError, match="32 bytes") as caught:
        parse_encryption_key(text)
    assert not text or text not in str(caught.value)


async def test_a_database_of_schema_1_keeps_everything_and_gets_an_audit_log(path):
    """The file as the first version of the gateway wrote it."""
    hook_doc = '{"path": "/a", "order": 3, "enabled": true, "generation": 6, "version": 2}'
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(
            "CREATE TABLE schema_migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL)"
        )
        for statement in MIGRATIONS[0].statements:
            db.execute(statement)
        # The digest that the first version wrote: a step that was released never changes.
        digest = "d463f7b66abca5bb379fb4ca66dd685d04472dabce6fffdb34932af2d7995380"
        db.execute("INSERT INTO schema_migration VALUES (1, 'registry', ?)", (digest,))
        db.execute("UPDATE registry_meta SET generation = 7")
        doc = '{"base_url": "https://hooks.example", "priority": 5, "created_at": 1.5}'
        db.execute("INSERT INTO integration VALUES ('int_a', 'a', ?)", (doc,))
        db.execute("INSERT INTO hook VALUES ('hk_a', 'int_a', 'h', ?)", (hook_doc,))
        row = "INSERT INTO credential (integration_id, kind, position, scheme, value, created_at, expires_at) VALUES "
        db.execute(row + "('int_a', 'api_key', 0, 'digest', 'sha256:abc', 1.5, NULL)")
        db.execute(row + "('int_a', 'secret', 0, 'plain', 'whsec_new', 2.5, NULL)")
        db.execute(row + "('int_a', 'secret', 1, 'plain', 'whsec_old', 1.5, 99.0)")
    for keys in (None, OLD, OLD):
        async with open_sqlite(path, keys=keys) as store:
            state = await store.load()
            assert await store.audit(AuditQuery()) == []
        (kept,), (kept_hook,) = state.integrations, state.hooks
        assert (state.generation, kept.priority, kept.created_at) == (7, 5, 1.5)
        assert [key.digest for key in kept.api_keys] == ["sha256:abc"]
        assert kept.secrets == (SigningSecret("whsec_new", 2.5), SigningSecret("whsec_old", 1.5, 99.0))
        assert (kept_hook.order, kept_hook.enabled, kept_hook.generation) == (3, True, 6)
    assert b"whsec_" not in path.read_bytes()
