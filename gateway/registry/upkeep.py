"""What the gateway changes by itself: hooks whose lease has ended, that said they are gone, or that are not well."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import StoreError
from gateway.observe.log import get_logger
from gateway.registry import changes, rollout
from gateway.registry.leases import LeaseTimer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.model import Hook
    from gateway.registry.snapshot import BoundHook
    from gateway.registry.writer import RegistryWriter

log = get_logger("registry")

LEASE_ENDED: Final = "its lease ended without being renewed"


class Upkeep:
    """Disables hooks when their time has come. Queries stop seeing them even if the store fails."""

    def __init__(self, writer: RegistryWriter, now: Callable[[], float]) -> None:
        self._writer = writer
        self._now = now
        self._leases = LeaseTimer(self.expire_leases, now)
        self._background: set[asyncio.Task[None]] = set()

    async def stop(self) -> None:
        """Wake up no more, and finish what was begun."""
        self._leases.stop()
        if self._background:
            await asyncio.wait(self._background)

    async def expire_leases(self) -> None:
        """Disable the hooks whose lease has ended, and wait for the next one."""
        ended = [hook_id for hook_id, until in self._writer.tables.leases.items() if until <= self._now()]
        if ended:
            try:
                hooks = await self._writer.write(
                    lambda tables, at: changes.disable(
                        at,
                        [tables.hooks[i] for i in ended if tables.leases.get(i, at.now + 1) <= at.now],
                        LEASE_ENDED,
                    )
                )
                for hook in hooks:
                    log.info("hook.lease_expired", hook=hook.name, id=hook.id, generation=hook.generation)
            except StoreError as e:
                self._writer.image.withdraw(ended)
                log.warning("hook.lease_expiry_not_stored", hooks=len(ended), error=e.detail)
                self._leases.again_in(1.0)
                return
        self.watch_leases()

    def watch_leases(self) -> None:
        """Wake up when the next lease ends."""
        self._leases.watch(min(self._writer.tables.leases.values(), default=None))

    def report_gone(self, hook: BoundHook) -> None:
        """A call of this generation of a hook was answered 410: disable it, after the fact."""
        self._begin(self._disable_gone(hook))

    def report_step_back(self, hook: BoundHook, why: str) -> None:
        """This canary left its bounds: let it be in shadow until its owner says otherwise."""
        self._begin(self._step_back(hook, why))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def suspend(self, integration_id: str, reason: str | None) -> list[Hook]:
        """Suspend the enabled hooks of an integration for this reason; with `None`, let them be called again.

        Returns those that changed; none if the integration is gone. Raises `StoreError`; nothing has changed then.
        """
        hooks = await self._writer.write(
            lambda tables, at: changes.suspend(at, list(tables.hooks_of(integration_id)), reason)
        )
        for hook in hooks:
            if reason is None:
                log.info("hook.resumed", hook=hook.name, id=hook.id, generation=hook.generation)
            else:
                log.warning("hook.suspended", hook=hook.name, id=hook.id, generation=hook.generation, reason=reason)
        return hooks

    async def _disable_gone(self, bound: BoundHook) -> None:
        try:
            disabled = await self._writer.write(
                lambda tables, at: changes.disable(
                    at,
                    [
                        hook
                        for hook in (tables.hooks.get(bound.hook_id),)
                        if hook is not None and hook.generation == bound.generation
                    ],
                    "it answered 410 Gone",
                )
            )
            for hook in disabled:  # none, if another of its calls was told the same just before
                log.warning("hook.gone", hook=hook.name, id=hook.id, generation=hook.generation)
        except StoreError as e:
            self._writer.image.withdraw([bound.hook_id])
            log.warning("hook.gone_not_stored", hook=bound.name, id=bound.hook_id, error=e.detail)

    async def _step_back(self, bound: BoundHook, why: str) -> None:
        try:
            hook = await self._writer.write(lambda tables, at: rollout.step_back(tables, at, bound, why))
        except StoreError as e:
            log.warning("hook.step_back_not_stored", hook=bound.name, id=bound.hook_id, error=e.detail)
            return
        if hook is not None:
            log.warning("hook.in_shadow_again", hook=hook.name, id=hook.id, generation=hook.generation, why=why)
