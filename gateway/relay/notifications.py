"""The parts of the asynchronous side together: what publishes, what delivers, what keeps the store in order."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from gateway.relay.delivery import Sender, SenderSettings
from gateway.relay.filters import event_filter
from gateway.relay.publisher import Publisher, PublisherSettings, PublishObserver
from gateway.relay.ruling import Ruling
from gateway.relay.transients import DropObserver
from gateway.relay.upkeep import BacklogObserver, Retention, Upkeep
from gateway.relay.worker import Relay, RelayObserver, RelaySettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.model.event import Event
    from gateway.stores.events import EventStore
    from gateway.transport.protocol import Transport

__all__ = ["NotificationObserver", "NotificationSettings", "new_publisher", "relaying"]


class NotificationObserver(PublishObserver, RelayObserver, BacklogObserver, DropObserver, Protocol):
    """Is told of all that happens here. (The metrics.)"""


@dataclass(frozen=True, slots=True)
class NotificationSettings:
    """What holds for notifications; see the classes."""

    publisher: PublisherSettings = field(default_factory=PublisherSettings)
    sender: SenderSettings = field(default_factory=SenderSettings)
    relay: RelaySettings = field(default_factory=RelaySettings)
    ruling: Ruling = field(default_factory=Ruling)
    retention: Retention = field(default_factory=Retention)


def new_publisher(
    store: EventStore,
    settings: NotificationSettings,
    observer: NotificationObserver,
    *,
    may_know: Callable[[str, Event], bool] = lambda _owner, _event: True,
    now: Callable[[], float],
) -> Publisher:
    """A publisher to this store that evaluates filters. `may_know`: see `Subscribers`."""
    return Publisher(store, settings.publisher, compiled=event_filter, may_know=may_know, observer=observer, now=now)


@asynccontextmanager
async def relaying(
    store: EventStore,
    transport: Transport,
    publisher: Publisher,
    settings: NotificationSettings,
    observer: NotificationObserver,
    *,
    now: Callable[[], float],
) -> AsyncIterator[Relay]:
    """Deliver what is in this store, and keep it in order, until the context ends; then stop in order."""
    sender = Sender(transport, settings.sender, now=now)
    relay = Relay(store, sender, publisher, settings.ruling, observer, settings.relay, now=now)
    upkeep = Upkeep(store, settings.retention, observer, now=now)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(upkeep.working())
        yield await stack.enter_async_context(relay.relaying())
