"""The SDK for integration servers: verified calls in, transformed results out; an inbox; a client of the control API.

It imports nothing of the gateway's own server: only `gateway.wire`, `gateway.model` and `gateway.errors`. What needs
more than that is imported when it is asked for.
"""

from typing import TYPE_CHECKING, Any

from gateway.receiver.answers import Answer, TryLater, json_patch, merge_patch, reject, replace, try_later, unchanged
from gateway.receiver.call import Call
from gateway.receiver.messages import HttpReply
from gateway.receiver.seen import MemorySeen, Seen, SeenMessages
from gateway.receiver.verification import Verifier

if TYPE_CHECKING:
    from gateway.receiver.control.clients import ControlClient, SyncControlClient
    from gateway.receiver.inbox import Inbox, Message
    from gateway.receiver.receiver import HookReceiver
    from gateway.receiver.reception import ReceptionSettings

__all__ = [
    "Answer",
    "Call",
    "ControlClient",
    "HookReceiver",
    "HttpReply",
    "Inbox",
    "MemorySeen",
    "Message",
    "ReceptionSettings",
    "Seen",
    "SeenMessages",
    "SyncControlClient",
    "TryLater",
    "Verifier",
    "json_patch",
    "merge_patch",
    "reject",
    "replace",
    "try_later",
    "unchanged",
]

_LATER = {
    "ControlClient": "gateway.receiver.control.clients",
    "HookReceiver": "gateway.receiver.receiver",
    "Inbox": "gateway.receiver.inbox",
    "Message": "gateway.receiver.inbox",
    "ReceptionSettings": "gateway.receiver.reception",
    "SyncControlClient": "gateway.receiver.control.clients",
}


def __getattr__(name: str) -> Any:
    """Import the larger parts only when they are asked for."""
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(_LATER[name]), name)
    msg = f"module 'gateway.receiver' has no attribute {name!r}"
    raise AttributeError(msg)
