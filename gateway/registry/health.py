"""Asking integrations whether they are well, and sparing those that are not until they are again.

`POST {base_url}{health_path}` with `{"id", "name", "timestamp"}`, signed like a call, is to be answered with
200 and a JSON object with the same `id`. It is asked again and again while a hook of the integration is enabled. After
failures for `down_after` seconds the hooks are suspended; at the first good answer they return by themselves.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol, Self

import orjson

from gateway.errors import CallError, StoreError, WebhookRefused
from gateway.model.ids import message_id
from gateway.observe.log import get_logger
from gateway.registry.security import key_ring
from gateway.transport.protocol import Limits
from gateway.wire import signature

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.model import Integration
    from gateway.registry.registry import Registry
    from gateway.transport.protocol import Response, Transport

log = get_logger("health")

_LIMITS: Final = Limits(body=65_536)
_AT_ONCE: Final = 32
_LONGEST_NAP: Final = 1.0  # seconds; integrations come and go in the meantime
_JITTER: Final = 0.1  # of the interval, either way


class HealthStatus(StrEnum):
    """What is known of an integration's health."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Health:
    """The health of an integration. `checked_at` in seconds since 1970; `detail` says what was wrong at last."""

    status: HealthStatus = HealthStatus.UNKNOWN
    checked_at: float | None = None
    detail: str | None = None


UNKNOWN: Final = Health()


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """How often to ask, how long to wait for an answer, after how long without a good one to suspend; in seconds."""

    interval: float = 10.0
    timeout: float = 2.0
    down_after: float = 30.0


class HealthObserver(Protocol):
    """Is told of the polls."""

    def health_polled(self, integration: str, *, good: bool, up: bool) -> None:
        """The integration of this name gave a good answer or not; `up` is what is known of it now."""
        ...

    def health_forgotten(self, integration: str) -> None:
        """The integration of this name is asked no more."""
        ...


class _Watched:
    """One integration while it is asked. Times are monotonic."""

    __slots__ = ("asking", "due", "failing_since", "health", "name")

    def __init__(self, name: str, due: float) -> None:
        self.name = name
        self.due = due
        self.failing_since: float | None = None
        self.health = UNKNOWN
        self.asking = False


class HealthMonitor:
    """Asks the integrations that have a health path. `now` gives seconds since 1970, `monotonic` never steps.

    `chance` gives numbers from 0 to 1, so that integrations are not all asked at the same moment.
    """

    def __init__(
        self,
        registry: Registry,
        transport: Transport,
        settings: HealthSettings,
        observer: HealthObserver,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._registry = registry
        self._transport = transport
        self._settings = settings
        self._observer = observer
        self._now = now
        self._monotonic = monotonic
        self._chance = chance
        self._generation = -1
        self._present: dict[str, Integration] = {}
        self._forsaken: list[Integration] = []
        self._watched: dict[str, _Watched] = {}
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    def of(self, integration_id: str) -> Health:
        """What is known of an integration's health."""
        watched = self._watched.get(integration_id)
        return UNKNOWN if watched is None else watched.health

    async def run(self) -> None:
        """Ask, until cancelled."""
        async with asyncio.TaskGroup() as asking:
            while True:
                for integration in self._due():
                    asking.create_task(self._ask(integration))
                await self._release()
                await asyncio.sleep(min(max(0.0, self._next() - self._monotonic()), _LONGEST_NAP))

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[Self]:
        """Ask in a task of its own until the context ends."""
        task = asyncio.get_running_loop().create_task(self.run(), name="health")
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def step(self) -> None:
        """Ask every integration whose turn has come, once, and return when it is known how each of them is."""
        due = self._due()
        await self._release()
        await asyncio.gather(*(self._ask(integration) for integration in due))

    # ------------------------------------------------------------ whose turn it is

    def _due(self) -> list[Integration]:
        """The integrations whose turn has come; they count as being asked from here on."""
        self._look()
        present = self._present
        for integration_id in self._watched.keys() - present.keys():
            self._observer.health_forgotten(self._watched.pop(integration_id).name)
        now = self._monotonic()
        due = []
        for integration_id, integration in present.items():
            watched = self._watched.get(integration_id)
            if watched is None:
                first = now + self._settings.interval * self._chance()
                watched = self._watched[integration_id] = _Watched(integration.name, first)
            elif watched.name != integration.name:
                self._observer.health_forgotten(watched.name)
                watched.name = integration.name
            if watched.due <= now and not watched.asking:
                watched.asking = True
                due.append(integration)
        return due

    def _look(self) -> None:
        """Find out which integrations are to be asked, if the registry has changed."""
        if self._generation == self._registry.generation:
            return
        self._generation = self._registry.generation
        enabled = [hook for hook in self._registry.hooks() if hook.enabled]
        called = {hook.integration_id for hook in enabled}
        spared = {hook.integration_id for hook in enabled if hook.suspended is not None}
        integrations = self._registry.integrations()
        self._present = {
            each.id: each
            for each in integrations
            if each.enabled and each.health_path is not None and each.id in called
        }
        self._forsaken = [each for each in integrations if each.health_path is None and each.id in spared]

    def _next(self) -> float:
        return min((each.due for each in self._watched.values() if not each.asking), default=float("inf"))

    async def _release(self) -> None:
        """Let hooks be called again whose integration has no health path any more: nobody else ever would."""
        for integration in self._forsaken:
            try:
                await self._registry.resume(integration.id)
            except StoreError as error:
                log.warning("health.not_stored", integration=integration.name, error=error.detail)

    # ------------------------------------------------------------ one poll

    async def _ask(self, integration: Integration) -> None:
        watched = self._watched[integration.id]
        try:
            async with self._at_once:
                wrong = await self._wrong(integration)
            await self._take(integration, watched, wrong)
        except StoreError as error:  # tried again with the next poll
            log.warning("health.not_stored", integration=integration.name, error=error.detail)
        except Exception:  # a bug of ours must not end the watch over the others
            log.exception("health.broke", integration=integration.name)
        finally:
            watched.asking = False
            swing = 1 + _JITTER * (2 * self._chance() - 1)
            watched.due = self._monotonic() + self._settings.interval * swing

    async def _wrong(self, integration: Integration) -> str | None:
        """Ask; what is wrong with the integration, as a sentence, or `None` if it is well."""
        now = self._now()
        ident, timestamp, keys = message_id(), int(now), key_ring(integration)
        body = orjson.dumps({"id": ident, "name": integration.name, "timestamp": timestamp})
        headers = [
            ("content-type", "application/json"),
            ("accept", "application/json"),
            ("user-agent", "query-hook-gateway"),
            (signature.ID, ident),
            (signature.TIMESTAMP, str(timestamp)),
            (signature.SIGNATURE, keys.sign(ident, timestamp, body, now)),
        ]
        deadline = asyncio.get_running_loop().time() + self._settings.timeout
        try:
            endpoint = self._registry.endpoint(integration, integration.health_path or "/")
            response = await self._transport.exchange(
                endpoint, "POST", headers, body, deadline=deadline, limits=_LIMITS
            )
        except CallError as error:
            return f"{error.reason}: {error.detail}"
        except ValueError as error:
            return str(error)
        wrong = _mistake(response, ident)
        if wrong is None and integration.envelope.signed_replies:
            try:
                keys.verify(response.header, response.body, now=self._now(), expected_id=ident)
            except WebhookRefused as error:
                wrong = f"the answer's signature does not hold: {error.detail}"
        return wrong

    async def _take(self, integration: Integration, watched: _Watched, wrong: str | None) -> None:
        """Draw the conclusions from one answer."""
        if self._watched.get(integration.id) is not watched:
            return  # it is no longer watched, so its answer says nothing any more
        before, at = watched.health.status, self._now()
        if wrong is None:
            watched.failing_since = None
            watched.health = Health(HealthStatus.UP, at)
            if before is HealthStatus.DOWN:
                log.info("health.up", integration=integration.name, id=integration.id)
        else:
            since = watched.failing_since
            if since is None:
                since = watched.failing_since = self._monotonic()
            down = before is HealthStatus.DOWN or self._monotonic() - since >= self._settings.down_after
            watched.health = Health(HealthStatus.DOWN if down else before, at, wrong)
            if down and before is not HealthStatus.DOWN:
                log.warning("health.down", integration=integration.name, id=integration.id, detail=wrong)
        self._observer.health_polled(integration.name, good=wrong is None, up=watched.health.status is HealthStatus.UP)
        if wrong is None:
            await self._registry.resume(integration.id)
        elif watched.health.status is HealthStatus.DOWN:
            await self._registry.suspend(integration.id, f"its integration's health check fails: {wrong}"[:500])


def _mistake(response: Response, ident: str) -> str | None:
    """What is wrong with an answer, or `None`."""
    if response.status != 200:
        return f"it answered with status {response.status}; it takes 200"
    try:
        answer = orjson.loads(response.body)
    except ValueError:
        return "its answer is not JSON"
    if not isinstance(answer, dict) or answer.get("id") != ident:
        return "its answer is not an object with the id that was sent"
    return None
