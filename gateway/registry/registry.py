"""The registry: who is registered and what is enabled. A facade that only delegates."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from gateway.errors import FieldError, InvalidInput, StoreError
from gateway.observe.log import get_logger
from gateway.registry import changes, credentials
from gateway.registry.drafts import HookChoice, Registered, Rotated
from gateway.registry.leases import LeaseTimer
from gateway.registry.ownership import WaivedOwnership
from gateway.registry.writer import RegistryWriter
from gateway.transport.endpoint import parse_endpoint
from gateway.wire import signature

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from gateway.model import Hook, Integration
    from gateway.registry.drafts import HookDraft, IntegrationDraft
    from gateway.registry.ownership import Ownership
    from gateway.registry.rules import RegistryRules
    from gateway.registry.snapshot import BoundHook, Snapshot
    from gateway.stores.protocol import RegistryStore

log = get_logger("registry")

MAX_GRACE_SECONDS = 30 * 86_400


class Registry:
    """Integrations and hooks: reading from memory, changing through the store.

    Opened with `Registry.open`. Reading never waits. Each change is durable and holds for every query
    that starts after the call returns. `present()` is `snapshot` for who asks with every query. Times are
    seconds since 1970. Changes raise `InvalidInput`, `NotFound`, `Conflict`, `PreconditionFailed` or
    `StoreError`; then nothing has changed.
    """

    def __init__(
        self, store: RegistryStore, rules: RegistryRules, ownership: Ownership, now: Callable[[], float]
    ) -> None:
        self._store = store
        self._rules = rules
        self._ownership = ownership
        self._now = now
        self._writer = RegistryWriter(store, rules, now)
        self.present: Callable[[], Snapshot] = partial(getattr, self._writer, "snapshot")
        self._leases = LeaseTimer(self.expire_leases, now)
        self._background: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        store: RegistryStore,
        rules: RegistryRules,
        ownership: Ownership | None = None,
        *,
        now: Callable[[], float] = time.time,
    ) -> AsyncIterator[Registry]:
        """Load the registry and watch over its leases until the context ends."""
        registry = cls(store, rules, ownership or WaivedOwnership(), now)
        await registry._writer.load()
        await registry.expire_leases()
        try:
            yield registry
        finally:
            registry._leases.stop()
            if registry._background:
                await asyncio.wait(registry._background)
            await registry._writer.settle()

    # ------------------------------------------------------------ reading

    @property
    def snapshot(self) -> Snapshot:
        """What queries see now."""
        return self._writer.snapshot

    @property
    def generation(self) -> int:
        """The generation of the last change."""
        return self._writer.tables.generation

    def integrations(self) -> list[Integration]:
        """All integrations, sorted by name."""
        return sorted(self._writer.tables.integrations.values(), key=lambda i: i.name)

    def integration(self, integration_id: str) -> Integration:
        """The integration with this id. Raises `NotFound`."""
        return self._writer.tables.integration(integration_id)

    def hooks(self, integration_id: str | None = None) -> list[Hook]:
        """All hooks, or those of one integration, sorted by the integration's name, order and name."""
        tables = self._writer.tables
        found: Iterable[Hook] = tables.hooks.values()
        if integration_id is not None:
            tables.integration(integration_id)
            found = tables.hooks_of(integration_id)
        return sorted(found, key=lambda h: (tables.integrations[h.integration_id].name, h.order, h.name))

    def hook(self, hook_id: str, *, integration_id: str | None = None) -> Hook:
        """The hook with this id. Raises `NotFound`, also if it belongs to another integration."""
        return self._writer.tables.hook(hook_id, integration_id)

    def names_of(self, hook_id: str) -> tuple[str, str] | None:
        """The names of the integration and the hook with this id, or `None`."""
        tables = self._writer.tables
        hook = tables.hooks.get(hook_id)
        return None if hook is None else (tables.integrations[hook.integration_id].name, hook.name)

    def authenticate(self, api_key: str) -> Integration | None:
        """The integration that holds this API key, or `None`."""
        return self._writer.tables.holder(credentials.digest(api_key), self._now())

    async def ping(self) -> None:
        """Return if the store can be read; raise `StoreError` otherwise."""
        await self._store.ping()

    # ------------------------------------------------------------ tier one: integrations

    async def register(self, draft: IntegrationDraft) -> Registered:
        """Register an integration server; its credentials are in the answer and nowhere else."""
        api_key, secret = credentials.new_api_key(), signature.new_secret()
        integration = await self._writer.write(
            lambda tables, at: changes.register(tables, self._rules, at, draft, api_key, secret)
        )
        log.info("integration.registered", integration=integration.name, id=integration.id, generation=self.generation)
        return Registered(integration, api_key, secret)

    async def change_integration(
        self, integration_id: str, fields: Mapping[str, Any], *, version: int | None = None
    ) -> Integration:
        """Change some of name, base_url, priority, envelope, health_path, enabled.

        `envelope` is a mapping, merged into the present one. With `version`, only if that is the present one.
        """
        integration = await self._writer.write(
            lambda tables, at: changes.change_integration(tables, self._rules, at, integration_id, fields, version)
        )
        log.info("integration.changed", integration=integration.name, fields=sorted(fields), generation=self.generation)
        return integration

    async def remove_integration(self, integration_id: str, *, version: int | None = None) -> None:
        """Remove an integration and its hooks."""
        await self._writer.write(lambda tables, _: changes.remove_integration(tables, integration_id, version))
        log.info("integration.removed", id=integration_id, generation=self.generation)

    async def rotate(self, integration_id: str, what: Literal["api_key", "secret"], *, grace_seconds: float) -> Rotated:
        """Give an integration a new API key or signing secret; the old ones hold for the grace."""
        if not 0 <= grace_seconds <= MAX_GRACE_SECONDS:
            detail = f"{grace_seconds} is not between 0 and {MAX_GRACE_SECONDS}"
            raise InvalidInput(FieldError("/grace_seconds", detail))
        value = credentials.new_api_key() if what == "api_key" else signature.new_secret()
        integration = await self._writer.write(
            lambda tables, at: changes.rotate(tables, at, integration_id, what, value, grace_seconds)
        )
        old = (integration.api_keys if what == "api_key" else integration.secrets)[1:]
        log.info("integration.rotated", integration=integration.name, what=what, generation=self.generation)
        return Rotated(integration, value, max((c.expires_at or 0.0 for c in old), default=None))

    # ------------------------------------------------------------ tier two: hooks

    async def replace_hooks(self, integration_id: str, drafts: Sequence[HookDraft]) -> list[Hook]:
        """Make these the hooks of an integration. Hooks are matched by name; new ones are not enabled yet."""
        integration = self.integration(integration_id)
        path_of = {draft.name: draft.path for draft in drafts}
        moving = [
            (hook, integration.base_url.rstrip("/") + path_of[hook.name])
            for hook in self.hooks(integration_id)
            if hook.enabled and hook.name in path_of and path_of[hook.name] != hook.path
        ]
        owned = {hook.id: await self._own(hook.id, url) for hook, url in moving}
        await self._writer.write(
            lambda tables, at: changes.replace_hooks(tables, self._rules, at, integration_id, drafts, owned)
        )
        log.info("hooks.replaced", integration=integration.name, hooks=len(drafts), generation=self.generation)
        return self.hooks(integration_id)

    async def create_hook(self, integration_id: str, draft: HookDraft) -> Hook:
        """Add a hook, not enabled yet."""
        hook = await self._writer.write(
            lambda tables, at: changes.create_hook(tables, self._rules, at, integration_id, draft)
        )
        log.info("hook.created", hook=hook.name, id=hook.id, generation=hook.generation)
        return hook

    async def change_hook(
        self,
        hook_id: str,
        fields: Mapping[str, Any],
        *,
        integration_id: str | None = None,
        version: int | None = None,
    ) -> Hook:
        """Change some of the fields of `HookDraft`. With `version`, only if that is the present one."""
        old = self.hook(hook_id, integration_id=integration_id)
        owned = None
        if old.enabled and fields.get("path", old.path) != old.path:
            base_url = self.integration(old.integration_id).base_url
            owned = await self._own(hook_id, base_url.rstrip("/") + fields["path"])
        hook = await self._writer.write(
            lambda tables, at: changes.change_hook(
                tables, self._rules, at, hook_id, integration_id, fields, version, owned
            )
        )
        log.info("hook.changed", hook=hook.name, id=hook.id, fields=sorted(fields), generation=hook.generation)
        return hook

    async def remove_hook(self, hook_id: str, *, integration_id: str | None = None, version: int | None = None) -> None:
        """Remove a hook."""
        await self._writer.write(lambda tables, _: changes.remove_hook(tables, hook_id, integration_id, version))
        log.info("hook.removed", id=hook_id, generation=self.generation)

    async def enable(
        self, hook_id: str, *, integration_id: str | None = None, lease_seconds: float | None = None
    ) -> Hook:
        """Enable a hook, or renew its lease. Without `lease_seconds` it stays enabled until disabled.

        The first time at a URL, that URL has to pass the ownership handshake (`OwnershipRefused`).
        """
        choice = HookChoice(ids=frozenset({hook_id}))
        return (await self.enable_many(choice, integration_id=integration_id, lease_seconds=lease_seconds))[0]

    async def enable_many(
        self, choice: HookChoice, *, integration_id: str | None = None, lease_seconds: float | None = None
    ) -> list[Hook]:
        """Enable the chosen hooks, all or none."""
        self._rules.check_lease(lease_seconds)
        owned: dict[str, str] = {}
        for hook in changes.chosen(self._writer.tables, choice, integration_id):
            url = self._rules.url_of(hook, self.integration(hook.integration_id))
            owned[hook.id] = url if url == hook.owned_url else await self._own(hook.id, url)
        hooks = await self._writer.write(
            lambda tables, at: changes.enable(
                tables, self._rules, at, changes.chosen(tables, choice, integration_id), lease_seconds, owned
            )
        )
        for hook in hooks:
            log.info("hook.enabled", hook=hook.name, id=hook.id, generation=hook.generation, lease=lease_seconds)
        self._watch_leases()
        return hooks

    async def disable(
        self,
        hook_id: str,
        *,
        integration_id: str | None = None,
        drain: bool = False,
        reason: str | None = None,
    ) -> Hook:
        """Disable a hook. With `drain`, return only when no query uses an older generation of it."""
        choice = HookChoice(ids=frozenset({hook_id}))
        return (await self.disable_many(choice, integration_id=integration_id, drain=drain, reason=reason))[0]

    async def disable_many(
        self,
        choice: HookChoice,
        *,
        integration_id: str | None = None,
        drain: bool = False,
        reason: str | None = None,
    ) -> list[Hook]:
        """Disable the chosen hooks, all or none."""
        hooks = await self._writer.write(
            lambda tables, at: changes.disable(at, changes.chosen(tables, choice, integration_id), reason)
        )
        for hook in hooks:
            log.info("hook.disabled", hook=hook.name, id=hook.id, generation=hook.generation, reason=reason)
        if drain:
            await self._writer.drained([hook.id for hook in hooks])
        return hooks

    # ------------------------------------------------------------ what happens by itself

    async def expire_leases(self) -> None:
        """Disable the hooks whose lease has ended. Queries stop seeing them even if the store fails."""
        ended = [hook_id for hook_id, until in self._writer.tables.leases.items() if until <= self._now()]
        if ended:
            try:
                hooks = await self._writer.write(
                    lambda tables, at: changes.disable(
                        at,
                        [tables.hooks[i] for i in ended if tables.leases.get(i, at.now + 1) <= at.now],
                        "its lease ended without being renewed",
                    )
                )
                for hook in hooks:
                    log.info("hook.lease_expired", hook=hook.name, id=hook.id, generation=hook.generation)
            except StoreError as e:
                self._writer.withdraw(ended)
                log.warning("hook.lease_expiry_not_stored", hooks=len(ended), error=e.detail)
                self._leases.again_in(1.0)
                return
        self._watch_leases()

    def _watch_leases(self) -> None:
        self._leases.watch(min(self._writer.tables.leases.values(), default=None))

    def report_gone(self, hook: BoundHook) -> None:
        """A call of this generation of a hook was answered 410: disable it, after the fact."""
        task = asyncio.ensure_future(self._disable_gone(hook))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _disable_gone(self, bound: BoundHook) -> None:
        try:
            await self._writer.write(
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
            log.warning("hook.gone", hook=bound.name, id=bound.hook_id, generation=self.generation)
        except StoreError as e:
            self._writer.withdraw([bound.hook_id])
            log.warning("hook.gone_not_stored", hook=bound.name, id=bound.hook_id, error=e.detail)

    async def _own(self, hook_id: str, url: str) -> str:
        """`url`, once it has passed the ownership handshake."""
        try:
            endpoint = parse_endpoint(url, pool=hook_id)
        except ValueError as e:
            raise InvalidInput(FieldError("/path", str(e))) from None
        await self._ownership.check(endpoint)
        return url
