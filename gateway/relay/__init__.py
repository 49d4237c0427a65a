"""Notifications, after the fact: publishing events, and delivering them to whoever subscribed.

What may live here: what may be subscribed with (`subscription_rules`, `subscriptions`), which subscriptions an event
goes to (`matching`, `filters`), storing events (`publisher`) and the gateway's own (`catalogue`, `own_events`,
`transients`); one attempt (`delivery`), what follows from it (`ruling`, `schedule`, `care`, `recorder`), the worker
that makes them (`worker`), and what is done for the store (`upkeep`). Never on the path of a query. A sibling of
`pipeline`: neither knows the other.
"""

from gateway.relay.delivery import Sender, SenderSettings
from gateway.relay.notifications import NotificationSettings, new_publisher, relaying
from gateway.relay.own_events import AuditTail
from gateway.relay.publisher import NewEvent, Publisher, PublisherSettings
from gateway.relay.ruling import PausePolicy, Ruling
from gateway.relay.schedule import RetrySchedule
from gateway.relay.transients import Transients
from gateway.relay.upkeep import Retention
from gateway.relay.worker import Relay, RelaySettings

__all__ = [
    "AuditTail",
    "NewEvent",
    "NotificationSettings",
    "PausePolicy",
    "Publisher",
    "PublisherSettings",
    "Relay",
    "RelaySettings",
    "Retention",
    "RetrySchedule",
    "Ruling",
    "Sender",
    "SenderSettings",
    "Transients",
    "new_publisher",
    "relaying",
]
