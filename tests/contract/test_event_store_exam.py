"""Every event store passes the shared exam."""

from __future__ import annotations

import dataclasses

import pytest

from gateway.stores import EncryptionKeys, open_event_store
from gateway.testing.event_records import FULL_ATTEMPT, FULL_EVENT, FULL_SUBSCRIPTION
from gateway.testing.event_store_exam import EventStoreExam


class TestMemoryEventStore(EventStoreExam):
    durable = False

    def open_store(self, place):
        return open_event_store("memory:")


class TestSqliteEventStore(EventStoreExam):
    def open_store(self, place):
        return open_event_store(f"sqlite:///{place / 'gateway.db'}")


class TestEncryptedSqliteEventStore(EventStoreExam):
    keys = EncryptionKeys(bytes(range(32)))

    def open_store(self, place):
        return open_event_store(f"sqlite:///{place / 'gateway.db'}", keys=self.keys)


@pytest.mark.parametrize("record", [FULL_SUBSCRIPTION, FULL_EVENT, FULL_ATTEMPT], ids=lambda r: type(r).__name__)
def test_the_exam_sets_every_field_to_something_else_than_its_default(record):
    for field in dataclasses.fields(record):
        if field.default is not dataclasses.MISSING:
            assert getattr(record, field.name) != field.default, field.name
