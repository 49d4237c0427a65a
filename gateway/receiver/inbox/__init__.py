"""Notifications that must not be lost: verified, stored, acknowledged at once, and handled afterwards.

A message is `new` until a worker has made it `processed` or `failed`; any can be replayed.
"""

from gateway.receiver.inbox.inbox import Inbox
from gateway.receiver.inbox.message import InboxCounts, Message, State
from gateway.receiver.inbox.store import InboxStore, MemoryInboxStore
from gateway.receiver.inbox.worker import WorkerSettings

__all__ = ["Inbox", "InboxCounts", "InboxStore", "MemoryInboxStore", "Message", "State", "WorkerSettings"]
