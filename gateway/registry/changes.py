"""Each change of the registry as a plan: pure functions from the tables to what is to be put and deleted.

A plan is made under the registry's lock and made again if another process was faster, so these
functions have no effects. `At` carries the generation and the time that the change will have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from gateway.errors import Conflict, FieldError, InvalidInput, PreconditionFailed
from gateway.model import ApiKeyHash, CanaryBounds, Hook, Integration, SigningSecret
from gateway.model.ids import random_id
from gateway.registry.drafts import HookDraft
from gateway.registry.plan_rules import NEEDED_FOR
from gateway.registry.rollout import retried
from gateway.registry.rules import MAX_HOOKS
from gateway.registry.security import with_tls
from gateway.registry.tables import Plan
from gateway.wire.signature import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gateway.registry.drafts import HookChoice, IntegrationDraft
    from gateway.registry.rules import RegistryRules
    from gateway.registry.tables import RegistryTables

C = TypeVar("C", ApiKeyHash, SigningSecret)

DRAFT_FIELDS: Final = tuple(each.name for each in fields(HookDraft) if each.name != "name")


# The field of an integration that holds its credentials of a kind.
HELD_IN: Final = {"api_key": "api_keys", "secret": "secrets", "signing_key": "signing_keys"}


@dataclass(frozen=True, slots=True)
class At:
    """When a change takes place: its generation and the time in seconds since 1970."""

    generation: int
    now: float


# ---------------------------------------------------------------- integrations


def register(
    tables: RegistryTables, rules: RegistryRules, at: At, draft: IntegrationDraft, digest: str, secret: str
) -> tuple[Plan, Integration]:
    """A new integration holding `secret` and the API key with this digest."""
    rules.check_integration(draft)
    _check_secret(secret)
    _check_name_free(tables, draft.name, None)
    integration = Integration(
        id=random_id("int"),
        name=draft.name,
        base_url=draft.base_url,
        priority=draft.priority,
        envelope=draft.envelope,
        health_path=draft.health_path,
        enabled=draft.enabled,
        created_at=at.now,
        updated_at=at.now,
        api_keys=(ApiKeyHash(digest, at.now),),
        secrets=(SigningSecret(secret, at.now),),
        reply_public_keys=draft.reply_public_keys,
        tls=draft.tls,
        client_key_pem=draft.client_key_pem,
    )
    return Plan(put_integrations=(integration,)), integration


def change_integration(
    tables: RegistryTables,
    rules: RegistryRules,
    at: At,
    integration_id: str,
    changes: Mapping[str, Any],
    version: int | None,
) -> tuple[Plan, Integration]:
    """An integration with some fields changed; its hooks get a new generation, for they are bound by it."""
    old = tables.integration(integration_id)
    _check_version(old, version)
    given = with_tls(old, changes)
    if "envelope" in given:
        given["envelope"] = replace(old.envelope, **given["envelope"])
    new = replace(old, **given)
    if new == old:
        return Plan(), old
    _check_changed(lambda: rules.check_integration(new), changes)
    _check_name_free(tables, new.name, old.id)
    new = replace(new, version=old.version + 1, updated_at=at.now)
    hooks = tuple(_touched(hook, at) for hook in tables.hooks_of(integration_id))
    return Plan(put_integrations=(new,), put_hooks=hooks), new


def remove_integration(tables: RegistryTables, integration_id: str, version: int | None) -> tuple[Plan, None]:
    """No such integration any more, nor its hooks."""
    _check_version(tables.integration(integration_id), version)
    return Plan(delete_integrations=(integration_id,)), None


def rotate(
    tables: RegistryTables,
    at: At,
    integration_id: str,
    what: Literal["api_key", "secret", "signing_key"],
    value: str,
    grace_seconds: float,
) -> tuple[Plan, Integration]:
    """An integration with a new secret or signing key `value`, or an API key with that digest.

    Those before it hold for the grace.
    """
    old = tables.integration(integration_id)
    until = at.now + grace_seconds

    def shortened(present: Iterable[C]) -> list[C]:
        ends = ((c, until if c.expires_at is None else min(c.expires_at, until)) for c in present)
        return [replace(c, expires_at=end) for c, end in ends if end > at.now]

    new = replace(old, version=old.version + 1, updated_at=at.now)
    if what == "api_key":
        key = ApiKeyHash(value, at.now)
        new = replace(new, api_keys=(key, *shortened(old.api_keys)))
    elif what == "secret":
        new = replace(new, secrets=(SigningSecret(value, at.now), *shortened(old.secrets)))
    else:
        new = replace(new, signing_keys=(SigningSecret(value, at.now), *shortened(old.signing_keys)))
    return Plan(put_integrations=(new,)), new


# ---------------------------------------------------------------- hooks


def create_hook(
    tables: RegistryTables, rules: RegistryRules, at: At, integration_id: str, draft: HookDraft
) -> tuple[Plan, Hook]:
    """A new hook, not enabled yet."""
    integration = tables.integration(integration_id)
    rules.check_hook(draft, integration.envelope)
    present = list(tables.hooks_of(integration_id))
    if any(hook.name == draft.name for hook in present):
        msg = f"The integration has a hook named {draft.name!r} already; change that one, or choose another name."
        raise Conflict(msg)
    if len(present) >= MAX_HOOKS:
        msg = f"The integration has {MAX_HOOKS} hooks already, which is the most it may have."
        raise Conflict(msg)
    hook = _new_hook(integration_id, draft, at)
    return Plan(put_hooks=(hook,)), hook


def replace_hooks(
    tables: RegistryTables,
    rules: RegistryRules,
    at: At,
    integration_id: str,
    drafts: Sequence[HookDraft],
    owned: Mapping[str, str],
) -> tuple[Plan, None]:
    """Exactly the hooks in `drafts`.

    Those of the same name stay what they are (enabled or not) and take the new fields, others are new,
    the rest goes. `owned` are URLs that passed the handshake, by hook id.
    """
    integration = tables.integration(integration_id)
    errors: list[FieldError] = []
    seen: set[str] = set()
    if len(drafts) > MAX_HOOKS:
        detail = f"an integration may have at most {MAX_HOOKS} hooks; these are {len(drafts)}"
        raise InvalidInput(FieldError("", detail))
    for place, draft in enumerate(drafts):
        try:
            rules.check_hook(draft, integration.envelope, f"/{place}")
        except InvalidInput as e:
            errors += e.errors
        if draft.name in seen:
            errors.append(FieldError(f"/{place}/name", f"{draft.name!r} stands in the list twice"))
        seen.add(draft.name)
    if errors:
        raise InvalidInput(*errors)
    present = {hook.name: hook for hook in tables.hooks_of(integration_id)}
    put: list[Hook] = []
    for draft in drafts:
        old = present.pop(draft.name, None)
        if old is None:
            put.append(_new_hook(integration_id, draft, at))
            continue
        new = retried(replace(old, **{name: getattr(draft, name) for name in DRAFT_FIELDS}), old)
        if new != old:
            put.append(_moved(tables, rules, _fresh(_touched(new, at)), owned.get(old.id)))
    return Plan(put_hooks=tuple(put), delete_hooks=tuple(hook.id for hook in present.values())), None


def change_hook(
    tables: RegistryTables,
    rules: RegistryRules,
    at: At,
    hook_id: str,
    integration_id: str | None,
    changes: Mapping[str, Any],
    version: int | None,
    owned: str | None,
) -> tuple[Plan, Hook]:
    """A hook with some fields changed. `owned` is the URL that passed the handshake for this change."""
    old = tables.hook(hook_id, integration_id)
    _check_version(old, version)
    new = retried(replace(old, **_merged(old, changes)), old, changes)
    if new == old:
        return Plan(), old
    integration = tables.integration(old.integration_id)
    _check_changed(lambda: rules.check_hook(new, integration.envelope), changes)
    if new.name != old.name and any(hook.name == new.name for hook in tables.hooks_of(old.integration_id)):
        msg = f"The integration has a hook named {new.name!r} already; choose another name."
        raise Conflict(msg)
    new = _moved(tables, rules, _fresh(_touched(new, at)), owned)
    return Plan(put_hooks=(new,)), new


def remove_hook(
    tables: RegistryTables, hook_id: str, integration_id: str | None, version: int | None
) -> tuple[Plan, None]:
    """No such hook any more."""
    _check_version(tables.hook(hook_id, integration_id), version)
    return Plan(delete_hooks=(hook_id,)), None


def chosen(tables: RegistryTables, choice: HookChoice, integration_id: str | None) -> list[Hook]:
    """The hooks that fit `choice`, of one integration or of all."""
    if choice.ids is None and choice.types is None and choice.capabilities is None:
        raise InvalidInput(FieldError("", "name the hooks by at least one of ids, types, capabilities"))
    if choice.ids is not None:
        pool: Iterable[Hook] = [tables.hook(hook_id, integration_id) for hook_id in sorted(choice.ids)]
    elif integration_id is not None:
        pool = tables.hooks_of(integration_id)
    else:
        pool = tables.hooks.values()
    return [
        hook
        for hook in pool
        if (choice.types is None or hook.types is None or not choice.types.isdisjoint(hook.types))
        and (
            choice.capabilities is None
            or hook.capabilities is None
            or not choice.capabilities.isdisjoint(hook.capabilities)
        )
    ]


def enable(
    tables: RegistryTables,
    rules: RegistryRules,
    at: At,
    hooks: Iterable[Hook],
    lease_seconds: float | None,
    owned: Mapping[str, str],
) -> tuple[Plan, list[Hook]]:
    """The hooks enabled, with a lease that ends `lease_seconds` from now or with none."""
    until = None if lease_seconds is None else at.now + lease_seconds
    put: list[Hook] = []
    all_now: list[Hook] = []
    for old in hooks:
        url = owned.get(old.id)
        integration = tables.integration(old.integration_id)
        if url != rules.url_of(old, integration):
            msg = f"The hook {old.name!r} was changed in the meantime; try again."
            raise Conflict(msg)
        new = replace(old, enabled=True, reason=None, lease_expires_at=until, owned_url=url)
        if new != old:
            new = _touched(new, at)
            if not old.enabled:  # else only its lease was renewed, which makes nothing better
                new = _fresh(new)
            put.append(new)
        all_now.append(new)
    return Plan(put_hooks=tuple(put)), all_now


def disable(at: At, hooks: Iterable[Hook], reason: str | None) -> tuple[Plan, list[Hook]]:
    """The hooks disabled, for this reason."""
    put: list[Hook] = []
    all_now: list[Hook] = []
    for old in hooks:
        new = old
        if old.enabled or reason not in (None, old.reason):
            new = _touched(replace(old, enabled=False, reason=reason, lease_expires_at=None, suspended=None), at)
            put.append(new)
        all_now.append(new)
    return Plan(put_hooks=tuple(put)), all_now


def purge(at: At, hook: Hook) -> tuple[Plan, Hook]:
    """The hook as it is, with another generation: nothing that was remembered of an older one is used any more."""
    new = _touched(hook, at)
    return Plan(put_hooks=(new,)), new


def suspend(at: At, hooks: Iterable[Hook], reason: str | None) -> tuple[Plan, list[Hook]]:
    """The enabled hooks among these suspended for this reason, or with `None` no longer."""
    put = [
        _touched(replace(old, suspended=reason), at)
        for old in hooks
        if old.enabled and (old.suspended is None) is not (reason is None)
    ]
    return Plan(put_hooks=tuple(put)), put


# ---------------------------------------------------------------- what they share


def _new_hook(integration_id: str, draft: HookDraft, at: At) -> Hook:
    return Hook(
        id=random_id("hk"),
        integration_id=integration_id,
        name=draft.name,
        generation=at.generation,
        fresh_since=at.generation,
        created_at=at.now,
        updated_at=at.now,
        **{name: getattr(draft, name) for name in DRAFT_FIELDS},
    )


def _touched(hook: Hook, at: At) -> Hook:
    return replace(hook, generation=at.generation, version=hook.version + 1, updated_at=at.now)


def _fresh(hook: Hook) -> Hook:
    """`hook` with what was learnt of it before its present generation no longer counting."""
    return replace(hook, fresh_since=hook.generation)


def _moved(tables: RegistryTables, rules: RegistryRules, hook: Hook, owned: str | None) -> Hook:
    """`hook` after a change of its fields: an enabled one may go to another URL only if that passed the handshake."""
    if not hook.enabled or hook.owned_url is None:
        return hook
    url = rules.url_of(hook, tables.integration(hook.integration_id))
    if url == hook.owned_url:
        return hook
    if url != owned:
        msg = f"The hook {hook.name!r} was changed in the meantime; try again."
        raise Conflict(msg)
    return replace(hook, owned_url=url)


def _check_secret(secret: str) -> None:
    try:
        key_of(secret)
    except ValueError as error:
        raise InvalidInput(FieldError("/secret", str(error))) from None


def _check_name_free(tables: RegistryTables, name: str, own_id: str | None) -> None:
    other = tables.integration_named(name)
    if other is not None and other.id != own_id:
        msg = f"An integration named {name!r} exists already; choose another name."
        raise Conflict(msg)


def _check_version(record: Integration | Hook, version: int | None) -> None:
    if version is not None and version != record.version:
        msg = f"It has version {record.version} by now, not {version}: read it again, then repeat the change."
        raise PreconditionFailed(msg)


def _check_changed(check: Callable[[], None], changes: Mapping[str, Any]) -> None:
    """Run `check`; complain only of fields that this change touches."""
    try:
        check()
    except InvalidInput as e:
        errors = [error for error in e.errors if _touches(error.field.split("/")[1], changes)]
        if errors:
            raise InvalidInput(*errors) from None


def _touches(field: str, changes: Mapping[str, Any]) -> bool:
    return field in changes or any(name in changes for name in NEEDED_FOR.get(field, ()))


def _merged(old: Hook, changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """`changes` with the bounds whole, of which only those to be changed may be given."""
    bounds = changes.get("bounds")
    if not isinstance(bounds, Mapping):
        return changes
    return {**changes, "bounds": replace(old.bounds or CanaryBounds(), **bounds)}
