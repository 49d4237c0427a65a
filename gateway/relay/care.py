"""What becomes of a subscription whose endpoint fails, works again, or is gone; and who is told of it.

Each of these events is published *before* the change that it tells of, under an idempotency key: whatever is
interrupted between the two is done again, and told once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway.errors import NotFound, StaleGeneration
from gateway.model.delivery import Cause, DeliveryState
from gateway.model.subscription import Pause
from gateway.observe.log import get_logger
from gateway.relay.delivery import Verdict
from gateway.relay.ruling import is_told_of, may_pause_further
from gateway.wire.cloudevents import rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.model.event import Event
    from gateway.model.subscription import Subscription
    from gateway.relay.delivery import Attempted
    from gateway.relay.publisher import Publisher
    from gateway.relay.ruling import Ruling
    from gateway.stores.events import Claimed, Completion, EventStore, Finished

log = get_logger("relay")


class SubscriptionCare:
    """Draws the conclusions from attempts for subscriptions. Each method raises `StoreError`."""

    def __init__(self, store: EventStore, publisher: Publisher, ruling: Ruling) -> None:
        self._store = store
        self._publisher = publisher
        self._ruling = ruling

    async def tell_of_the_dead(self, completions: Sequence[tuple[Claimed, Completion]]) -> None:
        """Publish which of these deliveries are about to be given up."""
        events = [
            self._exhausted(claimed, completion)
            for claimed, completion in completions
            if completion.state is DeliveryState.DEAD and is_told_of(claimed.event)
        ]
        if events:
            await self._publisher.store(events)

    def _exhausted(self, claimed: Claimed, completion: Completion) -> Event:
        delivery, event = claimed.delivery, claimed.event
        attempt = completion.attempt
        data = {
            "delivery": {"id": delivery.id},
            "event": {"id": event.id, "type": event.type},
            "attempts": delivery.attempts + 1,
            "reason": attempt.detail or attempt.reason or "",
        }
        return self._event("delivery.exhausted", claimed.subscription, data, f"{delivery.id}:{delivery.attempts + 1}")

    async def after(self, claimed: Claimed, attempted: Attempted, finished: Finished, now: float) -> None:
        """An attempt was recorded: pause, resume or disable its subscription, if that is what follows."""
        if not finished.held:
            return
        try:
            if attempted.verdict is Verdict.GONE:
                await self._disable(claimed.subscription, now)
            elif attempted.verdict is Verdict.RETRY:
                await self._pause(claimed, attempted, finished, now)
            elif claimed.cause is Cause.PROBE:
                await self._resume(claimed, now)
        except NotFound:
            return  # it was removed in the meantime

    async def _pause(self, claimed: Claimed, attempted: Attempted, finished: Finished, now: float) -> None:
        reason = attempted.attempt.detail or attempted.attempt.reason or ""
        pause = self._ruling.pause_after(claimed, finished, reason, now)
        if pause is None:
            return
        present = await self._store.subscription(claimed.subscription.id)
        if present is None or not may_pause_further(present, claimed):
            return
        if present.paused is None:
            since = finished.failing_since or now
            data = {"reason": reason, "failures": finished.failures, "failing_since": rfc3339(since)}
            told = self._event("subscription.paused", present, data, f"{present.id}:{since:.6f}")
            await self._publisher.store([told])
            log.warning(
                "subscription.paused", subscription=present.name, id=present.id, failures=finished.failures, why=reason
            )
        await self._store.pause(present.id, pause)

    async def _resume(self, claimed: Claimed, now: float) -> None:
        present = await self._store.subscription(claimed.subscription.id)
        if present is None or present.paused is None or not may_pause_further(present, claimed):
            return
        data = {"paused_at": rfc3339(present.paused.at)}
        told = self._event("subscription.resumed", present, data, f"{present.id}:{present.paused.at:.6f}")
        await self._publisher.store([told])
        await self._store.resume(present.id, now)
        log.info("subscription.resumed", subscription=present.name, id=present.id)

    async def _disable(self, subscription: Subscription, now: float) -> None:
        present = await self._store.subscription(subscription.id)
        if present is None or not present.active or present.url != subscription.url:
            return
        reason = "it answered 410 Gone"
        told = self._event("subscription.disabled", present, {"reason": reason}, f"{present.id}:{present.version}")
        await self._publisher.store([told])
        stopped = Pause(now, reason)  # so that whoever asks is told why
        disabled = replace(present, active=False, paused=stopped, version=present.version + 1, updated_at=now)
        try:
            await self._store.change_subscription(disabled)
        except (
            StaleGeneration
        ):  # its owner changed it just now: it is tried once more as it is now, and if gone, here again
            return
        log.warning("subscription.gone", subscription=present.name, id=present.id)

    def _event(self, name: str, subscription: Subscription, data: dict[str, Any], once: str) -> Event:
        return self._publisher.own_event(
            f"gateway.{name}",
            {"subscription": {"id": subscription.id, "name": subscription.name}, **data},
            integration_id=subscription.owner,
            key=subscription.id,
            idempotency_key=f"{name}:{once}",
        )
