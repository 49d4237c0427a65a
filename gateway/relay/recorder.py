"""What the attempts of a moment leave behind: their record, and what follows for deliveries and subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gateway.errors import StoreError
from gateway.model.delivery import DeliveryState
from gateway.observe.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.model.subscription import Subscription
    from gateway.relay.care import SubscriptionCare
    from gateway.relay.delivery import Attempted
    from gateway.relay.ruling import Ruling
    from gateway.stores.events import Claimed, DeliveryQueue

log = get_logger("relay")


class AttemptObserver(Protocol):
    """Is told of attempts once they are recorded. It must be quick and not raise."""

    def attempted(self, subscription: Subscription, outcome: str, seconds: float | None) -> None:
        """An attempt ended: `delivered`, `retry`, `gone`, or `exhausted` if none follows by itself."""
        ...


class Recorder:
    """Records attempts, many in one transaction."""

    def __init__(
        self,
        store: DeliveryQueue,
        care: SubscriptionCare,
        ruling: Ruling,
        observer: AttemptObserver,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._care = care
        self._ruling = ruling
        self._observer = observer
        self._now = now

    async def record(self, ended: Sequence[tuple[Claimed, Attempted]]) -> None:
        """Make these attempts last, and draw the conclusions.

        Raises `StoreError` if they are not recorded; it can be repeated then. A conclusion that cannot be stored is
        drawn again from the next attempt.
        """
        now = self._now()
        completions = [(claimed, self._ruling.completion(claimed, attempted, now)) for claimed, attempted in ended]
        await self._care.tell_of_the_dead(completions)
        finished = await self._store.finish([completion for _, completion in completions], now=now)
        for (claimed, attempted), (_, completion), answer in zip(ended, completions, finished, strict=True):
            ms = attempted.attempt.ms
            dead = completion.state is DeliveryState.DEAD and attempted.verdict == "retry"
            outcome = "exhausted" if dead else attempted.verdict.value
            self._observer.attempted(claimed.subscription, outcome, None if ms is None else ms / 1000)
            log.debug(
                "delivery.attempted",
                delivery=claimed.delivery.id,
                subscription=claimed.subscription.name,
                outcome=outcome,
                status=attempted.attempt.status,
                detail=attempted.attempt.detail,
            )
            try:
                await self._care.after(claimed, attempted, answer, now)
            except StoreError as error:
                log.warning("subscription.not_stored", subscription=claimed.subscription.name, error=error.detail)
