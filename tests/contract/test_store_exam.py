"""Both stores pass the shared exam."""

from __future__ import annotations

import dataclasses

import pytest

from gateway.stores import EncryptionKeys, open_store
from gateway.testing.store_exam import StoreExam
from gateway.testing.store_records import FULL_HOOK, FULL_INTEGRATION


class TestMemoryStore(StoreExam):
    durable = False

    def open_store(self, place, *, retention=None):
        return open_store("memory:", retention=retention)


class TestSqliteStore(StoreExam):
    def open_store(self, place, *, retention=None):
        return open_store(f"sqlite:///{place / 'gateway.db'}", retention=retention)


class TestEncryptedSqliteStore(StoreExam):
    keys = EncryptionKeys(bytes(range(32)))

    def open_store(self, place, *, retention=None):
        return open_store(f"sqlite:///{place / 'gateway.db'}", keys=self.keys, retention=retention)


@pytest.mark.parametrize(
    "record", [FULL_INTEGRATION, FULL_INTEGRATION.envelope, FULL_HOOK], ids=lambda r: type(r).__name__
)
def test_the_exam_sets_every_field_to_something_else_than_its_default(record):
    for field in dataclasses.fields(record):
        if field.default is not dataclasses.MISSING:
            assert getattr(record, field.name) != field.default, field.name
