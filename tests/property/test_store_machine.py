"""Whatever changes come, the SQLite store does what the memory store does, also across reopening."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from gateway.stores import open_store
from gateway.testing.store_machine import StoreMachine


class SqliteMachine(StoreMachine):
    def open_store(self, place):
        return open_store(f"sqlite:///{place / 'gateway.db'}")


TestSqliteMachine = SqliteMachine.TestCase
TestSqliteMachine.settings = settings(
    max_examples=25,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
