"""Whatever publishers, relays and owners do, event stores do what a naive model says, also across reopening."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from gateway.stores import open_event_store
from gateway.testing.event_store_machine import EventStoreMachine

SETTINGS = settings(
    max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


class MemoryMachine(EventStoreMachine):
    durable = False

    def open_store(self, place):
        return open_event_store("memory:")


class SqliteMachine(EventStoreMachine):
    def open_store(self, place):
        return open_event_store(f"sqlite:///{place / 'gateway.db'}")


TestMemoryMachine = MemoryMachine.TestCase
TestMemoryMachine.settings = settings(SETTINGS, max_examples=60)
TestSqliteMachine = SqliteMachine.TestCase
TestSqliteMachine.settings = SETTINGS
