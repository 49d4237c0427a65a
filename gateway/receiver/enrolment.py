"""Being known to the gateway: hooks are declared and enabled at the start, renewed while alive, disabled at the end."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from gateway.errors import ControlApiError
from gateway.receiver.control.clients import ControlClient
from gateway.receiver.control.exchange import Patience
from gateway.receiver.log import EventLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.receiver.control.hooks import HookRequest, ManyToEnable
    from gateway.receiver.control.hooks_answers import HookView
    from gateway.receiver.metrics import ReceiverMetrics

__all__ = ["Enrolment"]

LEASE_ENDED: Final = "its lease ended"  # how the gateway begins the reason of a hook that nobody renewed
_ONCE: Final = Patience(attempts=1)
_CALL_SECONDS: Final = 15.0
_FIRST_WAIT: Final = 0.1
_LONGEST_WAIT: Final = 30.0
_RENEWALS_PER_LEASE: Final = 3
_LOOK_EVERY: Final = 60.0  # seconds, without a lease

_log = EventLog("enrolment")


class Enrolment:
    """Keeps the hooks of one receiver enrolled. `declarations` are what they are; the rest is as `HookReceiver.enrol`.

    A hook that someone else disabled since stays so until the receiver starts again. `chance` gives numbers from 0
    to 1, so that many receivers do not renew at the same moment.
    """

    def __init__(
        self,
        control_url: str,
        api_key: str,
        declarations: Callable[[], list[HookRequest]],
        metrics: ReceiverMetrics,
        *,
        lease_seconds: float | None = 60.0,
        disable_at_end: bool = True,
        drain_seconds: float = 15.0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._client = ControlClient(control_url, api_key, timeout_seconds=_CALL_SECONDS, patience=_ONCE)
        self._leaving = ControlClient(control_url, api_key, timeout_seconds=drain_seconds, patience=_ONCE)
        self._declarations = declarations
        self._metrics = metrics
        self._lease = lease_seconds
        self._disable_at_end = disable_at_end
        self._sleep = sleep
        self._chance = chance
        self._ids: list[str] = []
        self._failures = 0
        self.state = "starting"

    @asynccontextmanager
    async def lasting(self) -> AsyncIterator[None]:
        """Enrolled, as soon as the gateway can be reached, until the context ends. Raises `ConfigError`."""
        self._declarations()  # a hook without a handler is to be told of now
        async with self._client:
            task = asyncio.get_running_loop().create_task(self._keep(), name="enrolment")
            try:
                yield
            finally:
                task.cancel()
                await asyncio.wait([task])
        await self._leave()

    async def _keep(self) -> None:
        while True:
            await self._sleep(await self.step())

    async def step(self) -> float:
        """Declare and enable, or renew, once; how many seconds to wait before the next time. Raises nothing."""
        try:
            if self._ids:
                await self._renew()
            else:
                await self._begin()
        except ControlApiError as error:
            self._metrics.renewed(well=False)
            self._failures += 1
            if error.status in (404, 409, 422):  # what was declared is not what is there, or may not be
                self._ids = []
            self.state = f"not enrolled: {error.detail}"
            wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(self._failures - 1, 20))
            if self._failures in (1, 4) or wait == _LONGEST_WAIT:  # at the very start the server may not listen yet
                _log.warning("enrolment.failed", attempt=self._failures, why=error.detail, again_in=round(wait, 1))
            return wait * (0.5 + self._chance() / 2)
        self._metrics.renewed(well=True)
        if self._failures:
            _log.info("enrolment.works_again", after=self._failures)
        self._failures = 0
        every = _LOOK_EVERY if self._lease is None else self._lease / _RENEWALS_PER_LEASE
        return every * (0.8 + 0.4 * self._chance())

    async def _begin(self) -> None:
        page = await self._client.replace_hooks(self._declarations())
        ids = [hook["id"] for hook in page["items"]]
        await self._enable(ids)
        self._ids = ids
        _log.info("enrolment.enabled", hooks=",".join(hook["name"] for hook in page["items"]), lease=self._lease)

    async def _renew(self) -> None:
        present = {hook["id"]: hook async for hook in self._client.iterate_hooks(limit=500)}
        missing = [each for each in self._ids if each not in present]
        if missing:
            self._ids = []
            await self._begin()
            return
        ours = [hook for hook in present.values() if hook["id"] in self._ids]
        wanted = [hook["id"] for hook in ours if hook["enabled"] or (hook["reason"] or "").startswith(LEASE_ENDED)]
        await self._enable(wanted)
        self._tell([hook for hook in ours if hook["id"] not in wanted])

    async def _enable(self, ids: list[str]) -> None:
        if ids:
            body: ManyToEnable = {"ids": ids}
            if self._lease is not None:
                body["lease_seconds"] = self._lease
            await self._client.enable_hooks(body)
        self._metrics.enabled(len(ids))
        self.state = "enrolled"

    def _tell(self, left: list[HookView]) -> None:
        if left:
            self.state = "enrolled; disabled by someone else: " + ", ".join(hook["name"] for hook in left)
        for hook in left:
            _log.warning("enrolment.hook_disabled", hook=hook["name"], why=hook["reason"])

    async def _leave(self) -> None:
        self._metrics.enabled(0)
        self.state = "ended"
        if not self._disable_at_end or not self._ids:
            return
        try:
            async with self._leaving as client:
                await client.disable_hooks({"ids": self._ids, "drain": True, "reason": "its server ends"})
            _log.info("enrolment.disabled", hooks=len(self._ids))
        except ControlApiError as error:
            _log.warning("enrolment.not_disabled", why=error.detail)
