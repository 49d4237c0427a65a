"""Both stores of an inbox pass the shared exam."""

from __future__ import annotations

from gateway.receiver.inbox import MemoryInboxStore
from gateway.receiver.inbox.sqlite import SqliteInboxStore
from gateway.testing.inbox_exam import InboxExam


class TestMemoryInboxStore(InboxExam):
    durable = False

    def open_store(self, place):
        return MemoryInboxStore()


class TestSqliteInboxStore(InboxExam):
    def open_store(self, place):
        return SqliteInboxStore(place / "inbox.db")
