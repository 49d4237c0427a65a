"""The registry: who is registered and what is enabled. A facade that only delegates."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

from gateway.errors import FieldError, InvalidInput
from gateway.model import EMBEDDED
from gateway.observe.log import get_logger
from gateway.registry import changes, credentials
from gateway.registry.drafts import HookChoice, Registered, Rotated
from gateway.registry.ownership import WaivedOwnership
from gateway.registry.reading import RegistryReading
from gateway.registry.security import new_credential
from gateway.registry.trying import bound_to_try
from gateway.registry.upkeep import Upkeep
from gateway.registry.writer import RegistryWriter
from gateway.wire import signature

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from gateway.model import Actor, ApiKeyHash, AuditEntry, Hook, Integration, SigningSecret
    from gateway.registry.drafts import HookDraft, IntegrationDraft
    from gateway.registry.image import Followers, RegistryUpdate
    from gateway.registry.ownership import Ownership
    from gateway.registry.rules import RegistryRules
    from gateway.registry.snapshot import BoundHook
    from gateway.stores.protocol import AuditQuery, RegistryStore
    from gateway.transport.protocol import Endpoint

log = get_logger("registry")

MAX_GRACE_SECONDS = 30 * 86_400


class Registry(RegistryReading):
    """Integrations and hooks: reading from memory, changing through the store.

    Opened with `Registry.open`. Reading never waits. Each change is durable and holds for every query
    that starts after the call returns, in every process that follows, too. Times are
    seconds since 1970. Changes raise `InvalidInput`, `NotFound`, `Conflict`, `PreconditionFailed` or `StoreError`; then
    nothing has changed.
    """

    def __init__(
        self,
        store: RegistryStore,
        rules: RegistryRules,
        ownership: Ownership,
        now: Callable[[], float],
        keys: credentials.ApiKeys,
    ) -> None:
        self._store = store
        self._rules = rules
        self._ownership = ownership
        self._now = now
        self._keys = keys
        self._writer = RegistryWriter(store, rules, now)
        super().__init__(self._writer.image)
        self._upkeep = Upkeep(self._writer, now)

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
        keys = credentials.ApiKeys(await store.pepper())
        registry = cls(store, rules, ownership or WaivedOwnership(), now, keys)
        await registry._writer.load()
        await registry.expire_leases()
        try:
            yield registry
        finally:
            await registry._upkeep.stop()
            await registry._writer.settle()
            keys.close()

    # ------------------------------------------------------------ reading

    async def authenticate(self, api_key: str) -> Integration | None:
        """The integration that holds this API key, or `None`; a no takes as long for a key that never was."""
        digest = self._image.tables.digest_at(credentials.place_of_key(api_key))
        if not await self._keys.is_key_of(api_key, digest) or digest is None:
            return None
        return self._image.tables.holder(digest, self._now())  # asked now: it may have ended in the meantime

    def fingerprint(self, operator_key: str) -> str:
        """The short name of an operator key in the audit log."""
        return self._keys.fingerprint(operator_key)

    async def audit(self, query: AuditQuery) -> list[AuditEntry]:
        """Who changed what: the entries of the audit log that fit, the newest first. Raises `StoreError`."""
        return await self._store.audit(query)

    async def ping(self) -> None:
        """Return if the store can be read; raise `StoreError` otherwise."""
        await self._store.ping()

    # ------------------------------------------------------------ who follows

    def lead(self, followers: Followers) -> None:
        """From now on, show every change to `followers`, too, and wait for them to have taken it over."""
        self._image.followers = followers

    def whole(self) -> RegistryUpdate:
        """What a new follower has to take over first. Whatever is shown after this call comes after it."""
        return self._image.whole()

    # ------------------------------------------------------------ tier one: integrations

    async def register(self, draft: IntegrationDraft, *, actor: Actor = EMBEDDED) -> Registered:
        """Register an integration server; its credentials are in the answer and nowhere else."""
        api_key, secret = credentials.new_api_key(), draft.secret or signature.new_secret()
        digest = await self._keys.digest(api_key)
        integration = await self._writer.write(
            lambda tables, at: changes.register(tables, self._rules, at, draft, digest, secret), actor
        )
        log.info("integration.registered", integration=integration.name, id=integration.id, generation=self.generation)
        return Registered(integration, api_key, secret)

    async def change_integration(
        self,
        integration_id: str,
        fields: Mapping[str, Any],
        *,
        version: int | None = None,
        actor: Actor = EMBEDDED,
    ) -> Integration:
        """Change some of name, base_url, priority, envelope, health_path, enabled, reply_public_keys, tls.

        `envelope` and `tls` are mappings, merged into the present ones; `tls` may have `client_key_pem`, too.
        With `version`, only if that is the present one.
        """
        integration = await self._writer.write(
            lambda tables, at: changes.change_integration(tables, self._rules, at, integration_id, fields, version),
            actor,
        )
        log.info("integration.changed", integration=integration.name, fields=sorted(fields), generation=self.generation)
        return integration

    async def remove_integration(
        self, integration_id: str, *, version: int | None = None, actor: Actor = EMBEDDED
    ) -> None:
        """Remove an integration and its hooks."""
        await self._writer.write(lambda tables, _: changes.remove_integration(tables, integration_id, version), actor)
        log.info("integration.removed", id=integration_id, generation=self.generation)

    async def rotate(
        self,
        integration_id: str,
        what: Literal["api_key", "secret", "signing_key"],
        *,
        grace_seconds: float,
        actor: Actor = EMBEDDED,
    ) -> Rotated:
        """Give an integration a new API key, signing secret or signing key; the old ones hold for the grace."""
        if not 0 <= grace_seconds <= MAX_GRACE_SECONDS:
            detail = f"{grace_seconds} is not between 0 and {MAX_GRACE_SECONDS}"
            raise InvalidInput(FieldError("/grace_seconds", detail))
        value, kept = new_credential(what)
        if what == "api_key":
            kept = await self._keys.digest(value)
        integration = await self._writer.write(
            lambda tables, at: changes.rotate(tables, at, integration_id, what, kept, grace_seconds), actor
        )
        held: Sequence[ApiKeyHash | SigningSecret] = getattr(integration, changes.HELD_IN[what])
        log.info("integration.rotated", integration=integration.name, what=what, generation=self.generation)
        return Rotated(integration, value, max((c.expires_at or 0.0 for c in held[1:]), default=None))

    # ------------------------------------------------------------ tier two: hooks

    async def replace_hooks(
        self, integration_id: str, drafts: Sequence[HookDraft], *, actor: Actor = EMBEDDED
    ) -> list[Hook]:
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
            lambda tables, at: changes.replace_hooks(tables, self._rules, at, integration_id, drafts, owned), actor
        )
        log.info("hooks.replaced", integration=integration.name, hooks=len(drafts), generation=self.generation)
        return self.hooks(integration_id)

    async def create_hook(self, integration_id: str, draft: HookDraft, *, actor: Actor = EMBEDDED) -> Hook:
        """Add a hook, not enabled yet."""
        hook = await self._writer.write(
            lambda tables, at: changes.create_hook(tables, self._rules, at, integration_id, draft), actor
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
        actor: Actor = EMBEDDED,
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
            ),
            actor,
        )
        log.info("hook.changed", hook=hook.name, id=hook.id, fields=sorted(fields), generation=hook.generation)
        return hook

    async def remove_hook(
        self,
        hook_id: str,
        *,
        integration_id: str | None = None,
        version: int | None = None,
        actor: Actor = EMBEDDED,
    ) -> None:
        """Remove a hook."""
        await self._writer.write(lambda tables, _: changes.remove_hook(tables, hook_id, integration_id, version), actor)
        log.info("hook.removed", id=hook_id, generation=self.generation)

    async def enable(
        self,
        hook_id: str,
        *,
        integration_id: str | None = None,
        lease_seconds: float | None = None,
        actor: Actor = EMBEDDED,
    ) -> Hook:
        """Enable a hook, or renew its lease. Without `lease_seconds` it stays enabled until disabled.

        The first time at a URL, that URL has to pass the ownership handshake (`OwnershipRefused`).
        """
        choice = HookChoice(ids=frozenset({hook_id}))
        enabled = await self.enable_many(
            choice, integration_id=integration_id, lease_seconds=lease_seconds, actor=actor
        )
        return enabled[0]

    async def enable_many(
        self,
        choice: HookChoice,
        *,
        integration_id: str | None = None,
        lease_seconds: float | None = None,
        actor: Actor = EMBEDDED,
    ) -> list[Hook]:
        """Enable the chosen hooks, all or none."""
        self._rules.check_lease(lease_seconds)
        owned: dict[str, str] = {}
        for hook in changes.chosen(self._image.tables, choice, integration_id):
            url = self._rules.url_of(hook, self.integration(hook.integration_id))
            owned[hook.id] = url if url == hook.owned_url else await self._own(hook.id, url)
        hooks = await self._writer.write(
            lambda tables, at: changes.enable(
                tables, self._rules, at, changes.chosen(tables, choice, integration_id), lease_seconds, owned
            ),
            actor,
        )
        for hook in hooks:
            log.info("hook.enabled", hook=hook.name, id=hook.id, generation=hook.generation, lease=lease_seconds)
        self._upkeep.watch_leases()
        return hooks

    async def disable(
        self,
        hook_id: str,
        *,
        integration_id: str | None = None,
        drain: bool = False,
        reason: str | None = None,
        actor: Actor = EMBEDDED,
    ) -> Hook:
        """Disable a hook. With `drain`, return only when no query uses an older generation of it."""
        choice = HookChoice(ids=frozenset({hook_id}))
        disabled = await self.disable_many(
            choice, integration_id=integration_id, drain=drain, reason=reason, actor=actor
        )
        return disabled[0]

    async def disable_many(
        self,
        choice: HookChoice,
        *,
        integration_id: str | None = None,
        drain: bool = False,
        reason: str | None = None,
        actor: Actor = EMBEDDED,
    ) -> list[Hook]:
        """Disable the chosen hooks, all or none."""
        hooks = await self._writer.write(
            lambda tables, at: changes.disable(at, changes.chosen(tables, choice, integration_id), reason), actor
        )
        for hook in hooks:
            log.info("hook.disabled", hook=hook.name, id=hook.id, generation=hook.generation, reason=reason)
        if drain:
            await self._image.drained([hook.id for hook in hooks])
        return hooks

    async def to_try(self, hook_id: str, *, integration_id: str | None = None) -> BoundHook:
        """A hook as queries would use it, enabled or not; its URL passes the ownership handshake if it has not yet."""
        hook = self.hook(hook_id, integration_id=integration_id)
        integration = self.integration(hook.integration_id)
        if (url := self._rules.url_of(hook, integration)) != hook.owned_url:
            await self._own(hook.id, url)
        return bound_to_try(self._rules, hook, integration)

    async def purge(self, hook_id: str, *, integration_id: str | None = None, actor: Actor = EMBEDDED) -> Hook:
        """Give a hook another generation, so that no reply to an older one is used again, in any process."""
        hook = await self._writer.write(
            lambda tables, at: changes.purge(at, tables.hook(hook_id, integration_id)), actor
        )
        log.info("hook.purged", hook=hook.name, id=hook.id, generation=hook.generation)
        return hook

    # ------------------------------------------------------------ what happens by itself

    async def expire_leases(self) -> None:
        """Disable the hooks whose lease has ended. Queries stop seeing them even if the store fails."""
        await self._upkeep.expire_leases()

    def report_gone(self, hook: BoundHook) -> None:
        """A call of this generation of a hook was answered 410: disable it, after the fact."""
        self._upkeep.report_gone(hook)

    def report_step_back(self, hook: BoundHook, why: str) -> None:
        """This canary left its bounds: let it be in shadow until its owner says otherwise, after the fact."""
        self._upkeep.report_step_back(hook, why)

    async def suspend(self, integration_id: str, reason: str) -> list[Hook]:
        """Stop calling the enabled hooks of an integration, without disabling them; those that changed."""
        return await self._upkeep.suspend(integration_id, reason)

    async def resume(self, integration_id: str) -> list[Hook]:
        """Call the suspended hooks of an integration again; those that changed."""
        return await self._upkeep.suspend(integration_id, None)

    def endpoint(self, integration: Integration, path: str) -> Endpoint:
        """Where `path` of an integration is, with its TLS settings. Raises `ValueError`."""
        url = integration.base_url.rstrip("/") + path
        return self._rules.endpoint(url, integration, pool=integration.id)

    async def _own(self, hook_id: str, url: str) -> str:
        """`url`, once it has passed the ownership handshake."""
        try:
            endpoint = self._rules.endpoint(url, self.integration(self.hook(hook_id).integration_id), pool=hook_id)
        except ValueError as e:
            raise InvalidInput(FieldError("/path", str(e))) from None
        await self._ownership.check(endpoint)
        return url
