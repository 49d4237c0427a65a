"""Every event store passes the shared exam."""

from __future__ import annotations

import dataclasses
from contextlib import asynccontextmanager

import pytest

from gateway.stores.memory_events import MemoryEventStore
from gateway.testing.event_records import FULL_ATTEMPT, FULL_EVENT, FULL_SUBSCRIPTION
from gateway.testing.event_store_exam import EventStoreExam


class TestMemoryEventStore(EventStoreExam):
    durable = False

    @asynccontextmanager
    async def open_store(self, place):
        yield MemoryEventStore()


@pytest.mark.parametrize("record", [FULL_SUBSCRIPTION, FULL_EVENT, FULL_ATTEMPT], ids=lambda r: type(r).__name__)
def test_the_exam_sets_every_field_to_something_else_than_its_default(record):
    for field in dataclasses.fields(record):
        if field.default is not dataclasses.MISSING:
            assert getattr(record, field.name) != field.default, field.name
