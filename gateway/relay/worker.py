"""The relay: claims deliveries, attempts them, and has every attempt recorded.

Any number of relays work on one store. A claim is under a lease that is longer than the time limit of an attempt, so
that another relay takes over what this one leaves behind, and nothing that it still has.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, Self

from gateway.errors import StoreError
from gateway.model.delivery import LOST, Attempt
from gateway.observe.log import get_logger
from gateway.relay.care import SubscriptionCare
from gateway.relay.delivery import Attempted, Verdict
from gateway.relay.patience import Patience
from gateway.relay.recorder import AttemptObserver, Recorder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.relay.delivery import Sender
    from gateway.relay.publisher import Publisher
    from gateway.relay.ruling import Ruling
    from gateway.stores.events import Claimed, EventStore

__all__ = ["Relay", "RelayObserver", "RelaySettings"]

log = get_logger("relay")

_AT_ONCE: Final = 256  # claimed in one transaction, at most
_SHORTEST_NAP: Final = 0.005  # seconds; the store may think that something is due which it then does not give
_INTERRUPTED: Final = "The relay was stopped while this attempt was under way: it may have arrived or not."


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """How a relay works. Times in seconds.

    At most `concurrency` attempts are under way at once. A lease lasts `lease_margin` longer than the time limit of an
    attempt. Other processes may publish, too, so the store is asked every `poll`. At the end, attempts may take `stop`
    longer before they are broken off.
    """

    concurrency: int = 256
    lease_margin: float = 15.0
    poll: float = 0.5
    stop: float = 10.0


class RelayObserver(AttemptObserver, Protocol):
    """Is told what the relay does. It must be quick and not raise."""

    def store_answered(self, well: bool) -> None:  # noqa: FBT001  the signature of what is observed
        """The store did what the relay asked of it, or did not."""
        ...


class _UnderWay:
    """One claimed delivery. `claimed` is the latest claim on it, under which its result is reported."""

    __slots__ = ("claimed", "result", "task")

    def __init__(self, claimed: Claimed) -> None:
        self.claimed = claimed
        self.result: Attempted | None = None
        self.task: asyncio.Task[None] | None = None


class Relay:
    """Delivers until it is stopped. `now` gives seconds since 1970; it may step either way.

    `step` does one round and returns when that is done, for whoever drives it himself; `run` goes on and on.
    """

    def __init__(
        self,
        store: EventStore,
        sender: Sender,
        publisher: Publisher,
        ruling: Ruling,
        observer: RelayObserver,
        settings: RelaySettings | None = None,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._sender = sender
        self._settings = settings or RelaySettings()
        self._now = now
        self._recorder = Recorder(store, SubscriptionCare(store, publisher, ruling), ruling, observer, now)
        self._claiming = Patience(observer.store_answered, what="claim")
        self._recording = Patience(observer.store_answered, what="record")
        self._under_way: dict[str, _UnderWay] = {}
        self._done: list[_UnderWay] = []
        self._wake = asyncio.Event()
        self._ended = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._stopping = False

    @property
    def under_way(self) -> int:
        """How many deliveries this relay has claimed and not yet reported on."""
        return len(self._under_way)

    @property
    def well(self) -> bool:
        """Whether the store did what was asked of it last time."""
        return self._claiming.well and self._recording.well

    # ------------------------------------------------------------ one round

    async def step(self) -> int:
        """Claim what is due, attempt all of it, record it; how many deliveries that were. Raises `StoreError`."""
        claimed = await self._claim()
        await self._attempts_ended()
        await self._record()
        return claimed

    async def _claim(self) -> int:
        """Claim what there is room for, and begin to attempt it; how many that were."""
        room = min(self._settings.concurrency - len(self._under_way), _AT_ONCE)
        if room <= 0:
            return 0
        now = self._now()
        lease_until = now + self._sender.timeout + self._settings.lease_margin
        claims = await self._store.claim(now=now, lease_until=lease_until, limit=room)
        for claimed in claims:
            known = self._under_way.get(claimed.delivery.id)
            if known is not None:  # the clock leapt over its lease: the attempt goes on, under this claim
                known.claimed = claimed
                continue
            under_way = self._under_way[claimed.delivery.id] = _UnderWay(claimed)
            under_way.task = asyncio.get_running_loop().create_task(self._attempt(under_way))
        return len(claims)

    async def _attempt(self, under_way: _UnderWay) -> None:
        claimed = under_way.claimed
        lease_until = claimed.delivery.lease_until
        try:
            if lease_until is None or self._now() <= lease_until - self._sender.timeout:
                under_way.result = await self._sender.attempt(claimed)
        except asyncio.CancelledError:
            attempt = Attempt(self._now(), reason=LOST, detail=_INTERRUPTED, cause=claimed.cause)
            under_way.result = Attempted(Verdict.RETRY, attempt)
        except Exception as error:  # a bug of ours must not end the deliveries of others
            log.exception("relay.broke", delivery=claimed.delivery.id)
            detail = f"the gateway failed: {type(error).__name__}"
            attempt = Attempt(self._now(), reason="protocol", detail=detail, cause=claimed.cause)
            under_way.result = Attempted(Verdict.RETRY, attempt)
        finally:
            self._done.append(under_way)
            self._ended.set()

    async def _attempts_ended(self) -> None:
        tasks = [each.task for each in self._under_way.values() if each.task is not None]
        if tasks:
            await asyncio.wait(tasks)

    async def _record(self) -> None:
        """Record the attempts that ended. Raises `StoreError`; they are still to be recorded then."""
        done = self._done[:]
        if not done:
            return
        unsent = [each.claimed for each in done if each.result is None]
        ended = [(each.claimed, each.result) for each in done if each.result is not None]
        if unsent:
            await self._store.release(unsent)
        if ended:
            await self._recorder.record(ended)
        del self._done[: len(done)]
        for each in done:
            self._under_way.pop(each.claimed.delivery.id, None)
        self._wake.set()

    # ------------------------------------------------------------ going on

    async def run(self) -> None:
        """Deliver until `stop` is called and what was under way is recorded, or until cancelled."""
        helping = [
            asyncio.create_task(self._forward_signal(), name="relay-signal"),
            asyncio.create_task(self._keep_recording(), name="relay-record"),
        ]
        try:
            while not self._stopping:
                try:
                    await self._go_on()
                except StoreError as error:
                    await self._claiming.refused(error)
                except Exception as error:  # a bug of ours: tell, and go on after a pause
                    log.exception("relay.broke")
                    await self._claiming.refused(StoreError(f"the gateway failed: {type(error).__name__}"))
            await self._drain()
        finally:
            for task in helping:
                task.cancel()
            for each in self._under_way.values():
                if each.task is not None:
                    each.task.cancel()
            await asyncio.wait(helping)

    def stop(self) -> None:
        """Claim nothing more; `run` returns when what is under way has ended."""
        self._stopping = True
        self._claiming.give_up()
        self._wake.set()

    @asynccontextmanager
    async def relaying(self) -> AsyncIterator[Self]:
        """Deliver in a task of its own until the context ends, then stop in order."""
        task = asyncio.get_running_loop().create_task(self.run(), name="relay")
        try:
            yield self
        finally:
            self.stop()
            await asyncio.wait([task])

    async def _go_on(self) -> None:
        self._wake.clear()
        room = self._settings.concurrency - len(self._under_way)
        claimed = await self._claim()
        self._claiming.answered()
        if claimed and claimed == min(room, _AT_ONCE) and claimed < room:
            return  # there may be more
        nap = self._settings.poll
        if claimed < room:
            now = self._now()
            due = await self._store.next_due(now)
            if due is not None:
                nap = min(nap, max(due - now, _SHORTEST_NAP))
        try:
            async with asyncio.timeout(nap):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _forward_signal(self) -> None:
        signal = self._store.signal
        count = signal.count
        while True:
            await signal.after(count)
            count = signal.count
            self._wake.set()

    async def _keep_recording(self) -> None:
        while True:
            await self._ended.wait()
            self._ended.clear()
            try:
                async with self._one_at_a_time:
                    await self._recording.until_done(self._record)
            except Exception:  # a bug of ours: what it concerns will count as lost when its lease ends
                log.exception("relay.broke")
                for each in self._done:
                    self._under_way.pop(each.claimed.delivery.id, None)
                self._done.clear()

    async def _drain(self) -> None:
        """Let what is under way end, break off what takes too long, and record all of it."""
        tasks = [each.task for each in self._under_way.values() if each.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=self._settings.stop)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        self._recording.give_up()  # once more, but not for ever: a claim that is not reported on ends with its lease
        async with self._one_at_a_time:
            if not await self._recording.until_done(self._record):
                log.error("relay.attempts_not_recorded", count=len(self._done))
