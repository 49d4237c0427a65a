"""API keys: what is stored of them, and what recognises them."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager

import pytest

from gateway.registry.credentials import ApiKeys, new_api_key, place_of_digest, place_of_key

PEPPER = bytes(range(32))


def counting_scrypt(monkeypatch):
    """The cost of each slow hash from now on."""
    costs, real = [], hashlib.scrypt

    def counted(*args, **kwargs):
        costs.append(kwargs["n"])
        return real(*args, **kwargs)

    monkeypatch.setattr(hashlib, "scrypt", counted)
    return costs


@asynccontextmanager
async def made(pepper=PEPPER, **more):
    keys = ApiKeys(pepper, log2_cost=4, **more)
    try:
        yield keys
    finally:
        keys.close()


async def test_a_key_is_recognised_by_its_digest_and_by_no_other():
    one, other = new_api_key(), new_api_key()
    async with made() as keys:
        digest = await keys.digest(one)
        assert await keys.is_key_of(one, digest)
        assert await keys.is_key_of(one, digest)  # from memory
        assert not await keys.is_key_of(other, digest)
        assert not await keys.is_key_of(one[:-1] + ("A" if one[-1] != "A" else "B"), digest)
        assert not await keys.is_key_of(one, None)
        assert not await keys.is_key_of(one, await keys.digest(other))


async def test_the_digest_holds_the_place_and_nothing_else_of_the_key():
    key = new_api_key()
    async with made() as keys:
        digest = await keys.digest(key)
        assert digest != await keys.digest(key)
    scheme, cost, place, _, _ = digest.split("$")
    assert (scheme, cost) == ("scrypt", "4")
    assert place == place_of_digest(digest) == place_of_key(key) == key.split("_")[1]
    assert key.split("_", 2)[2] not in digest


async def test_without_the_pepper_a_digest_recognises_nothing():
    key = new_api_key()
    async with made() as keys:
        digest = await keys.digest(key)
    async with made(bytes(32)) as others:
        assert not await others.is_key_of(key, digest)


async def test_an_unknown_place_is_answered_by_the_same_work_as_a_wrong_secret(monkeypatch):
    work = counting_scrypt(monkeypatch)
    async with made() as keys:
        digest = await keys.digest(new_api_key())
        work.clear()
        await keys.is_key_of(new_api_key(), None)
        unknown = list(work)
        work.clear()
        await keys.is_key_of(new_api_key(), digest)
    assert unknown == work == [16]


async def test_a_key_that_was_right_is_not_hashed_slowly_again_but_one_that_was_wrong_is(monkeypatch):
    key = new_api_key()
    async with made() as keys:
        digest = await keys.digest(key)
        work = counting_scrypt(monkeypatch)
        assert all([await keys.is_key_of(key, digest) for _ in range(5)])
        assert len(work) == 1
        for _ in range(3):
            assert not await keys.is_key_of(key, None)
        assert len(work) == 4


async def test_at_most_two_keys_are_hashed_slowly_at_once(monkeypatch):
    running, most = [0], [0]
    real = hashlib.scrypt

    def watched(*args, **kwargs):
        running[0] += 1
        most[0] = max(most[0], running[0])
        try:
            return real(*args, **{**kwargs, "n": 1024})
        finally:
            running[0] -= 1

    monkeypatch.setattr(hashlib, "scrypt", watched)
    async with made() as keys:
        await asyncio.gather(*(keys.is_key_of(new_api_key(), None) for _ in range(20)))
    assert most[0] <= 2


async def test_keys_of_the_first_version_hold():
    key = "gwk_" + "A" * 43
    digest = "sha256:" + hashlib.sha256(key.encode()).hexdigest()
    assert place_of_key(key) == place_of_digest(digest) == digest
    async with made() as keys:
        assert await keys.is_key_of(key, digest)
        assert not await keys.is_key_of(key + "x", digest)
        assert not await keys.is_key_of(key, None)


@pytest.mark.parametrize("digest", ["scrypt$x$0$y$z", "scrypt$4$0$y", "scrypt$4$0$!$!", "", "scrypt$99$0$AAAA$AAAA"])
async def test_a_digest_that_no_version_made_recognises_nothing(digest):
    async with made() as keys:
        assert not await keys.is_key_of(new_api_key(), digest)


async def test_an_operator_key_has_a_short_name_that_depends_on_the_pepper():
    async with made() as keys, made(bytes(32)) as others:
        assert len(keys.fingerprint("operator-key")) == 8
        assert keys.fingerprint("operator-key") == keys.fingerprint("operator-key")
        assert keys.fingerprint("operator-key") != keys.fingerprint("operator-kez")
        assert keys.fingerprint("operator-key") != others.fingerprint("operator-key")
