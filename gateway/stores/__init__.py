"""The extension point for what must last: the protocol, memory and SQLite.

A store knows rows, not rules: it loads everything once and makes each change last. What may live here:
the protocol, its implementations, and what they share (the form of records). `gateway.testing.store_exam`
is the exam that each implementation passes. Imports `model` and `errors` only.
"""

from gateway.stores.events import EventStore
from gateway.stores.opening import open_event_store, open_store, parse_store_url
from gateway.stores.protocol import AuditQuery, AuditRetention, RegistryChange, RegistryState, RegistryStore
from gateway.stores.sealing import EncryptionKeys, new_encryption_key, parse_encryption_key

__all__ = [
    "AuditQuery",
    "AuditRetention",
    "EncryptionKeys",
    "EventStore",
    "RegistryChange",
    "RegistryState",
    "RegistryStore",
    "new_encryption_key",
    "open_event_store",
    "open_store",
    "parse_encryption_key",
    "parse_store_url",
]
