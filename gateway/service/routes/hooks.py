"""Tier two: hooks, by the integration servers themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.errors import FieldError, InvalidInput
from gateway.service.auth import Access
from gateway.service.endpoint import JSON, MERGE_PATCH, Answer, Call, Operation, Out
from gateway.service.etag import etag, expected_version, is_known
from gateway.service.models.base import Nothing
from gateway.service.models.hooks import (
    HookChange,
    HookPage,
    HookRequest,
    HooksChanged,
    HookSet,
    HookView,
    ManyToDisable,
    ManyToEnable,
    ToDisable,
    ToEnable,
)
from gateway.service.models.queries import ForIntegration, HookList
from gateway.service.paging import page
from gateway.service.scope import scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.model import Hook
    from gateway.registry import Registry
    from gateway.service.auth import Caller
    from gateway.service.breakers import Breakers

__all__ = ["HookRoutes"]

_TAG: Final = "hooks"
_ETAG: Final = {"ETag": "Its version, for If-Match and If-None-Match."}


class HookRoutes:
    """The operations on hooks. `breakers`, where given, show which of them are suspended."""

    def __init__(self, registry: Registry, breakers: Breakers | None = None) -> None:
        self._registry = registry
        self._breakers = breakers

    def operations(self) -> Sequence[Operation[Any, Any]]:
        """All of them, described."""
        return (*self._whole(), *self._single(), *self._switches())

    def _whole(self) -> Sequence[Operation[Any, Any]]:
        return (
            Operation(
                "PUT", "/v1/hooks", self._replace, "replaceHooks", "Replace all hooks of an integration in one step",
                _TAG, Access.HOOKS, query=ForIntegration, body=HookSet, errors=(404, 409, 503),
                description="A hook that keeps its name keeps its id and stays enabled or disabled as it is.",
                out={200: Out("All its hooks.", HookPage)},
            ),
            Operation(
                "POST", "/v1/hooks", self._create, "createHook", "Add a hook",
                _TAG, Access.HOOKS, query=ForIntegration, body=HookRequest, errors=(404, 409, 503),
                description="It is disabled until it is enabled.",
                out={201: Out("The new hook.", HookView, headers={"Location": "Its path.", **_ETAG})},
            ),
            Operation(
                "GET", "/v1/hooks", self._list, "listHooks", "List hooks",
                _TAG, Access.HOOKS, query=HookList, body=Nothing, errors=(404,),
                out={200: Out("A page of hooks, sorted by integration name, order and name.", HookPage)},
            ),
        )  # fmt: skip

    def _single(self) -> Sequence[Operation[Any, Any]]:
        one = "/v1/hooks/{hook_id}"
        return (
            Operation(
                "GET", one, self._read, "readHook", "Read a hook",
                _TAG, Access.HOOKS, query=ForIntegration, body=Nothing, if_none_match=True,
                out={200: Out("The hook.", HookView, headers=_ETAG),
                     304: Out("Not changed since.", media_type=None, headers=_ETAG)},
            ),
            Operation(
                "PATCH", one, self._change, "changeHook", "Change a hook",
                _TAG, Access.HOOKS, query=ForIntegration, body=HookChange, media_types=(MERGE_PATCH, JSON),
                if_match=True, errors=(409, 503),
                out={200: Out("The hook as it is now.", HookView, headers=_ETAG)},
            ),
            Operation(
                "DELETE", one, self._remove, "removeHook", "Remove a hook",
                _TAG, Access.HOOKS, query=ForIntegration, body=Nothing, if_match=True, errors=(503,),
                out={204: Out("Removed.", media_type=None)},
            ),
            Operation(
                "POST", f"{one}/enable", self._enable, "enableHook", "Enable a hook",
                _TAG, Access.HOOKS, query=ForIntegration, body=ToEnable, body_required=False, errors=(409, 503),
                description="It holds for every query that starts after the answer. Repeat it to renew a lease.",
                out={200: Out("The hook, enabled.", HookView, headers=_ETAG)},
            ),
            Operation(
                "POST", f"{one}/disable", self._disable, "disableHook", "Disable a hook",
                _TAG, Access.HOOKS, query=ForIntegration, body=ToDisable, body_required=False, errors=(503,),
                description="It holds for every query that starts after the answer.",
                out={200: Out("The hook, disabled.", HookView, headers=_ETAG)},
            ),
        )  # fmt: skip

    def _switches(self) -> Sequence[Operation[Any, Any]]:
        return (
            Operation(
                "POST", "/v1/hooks:enable", self._enable_many, "enableHooks", "Enable many hooks in one step",
                _TAG, Access.HOOKS, query=ForIntegration, body=ManyToEnable, errors=(404, 409, 503),
                out={200: Out("The hooks that were chosen.", HooksChanged)},
            ),
            Operation(
                "POST", "/v1/hooks:disable", self._disable_many, "disableHooks", "Disable many hooks in one step",
                _TAG, Access.HOOKS, query=ForIntegration, body=ManyToDisable, errors=(404, 503),
                out={200: Out("The hooks that were chosen.", HooksChanged)},
            ),
        )  # fmt: skip

    # ------------------------------------------------------------ the calls

    async def _replace(self, call: Call[ForIntegration, HookSet]) -> Answer:
        integration_id = self._required_scope(call.caller, call.query)
        drafts = [each.draft() for each in call.body.root]
        hooks = await self._registry.replace_hooks(integration_id, drafts, actor=call.caller.actor)
        return Answer(HookPage(items=[self._view(hook) for hook in hooks], next_cursor=None))

    async def _create(self, call: Call[ForIntegration, HookRequest]) -> Answer:
        integration_id = self._required_scope(call.caller, call.query)
        hook = await self._registry.create_hook(integration_id, call.body.draft(), actor=call.caller.actor)
        headers = {"location": f"/v1/hooks/{hook.id}", "etag": etag(hook.version)}
        return Answer(self._view(hook), 201, headers)

    async def _list(self, call: Call[HookList, Nothing]) -> Answer:
        hooks = self._registry.hooks(self._scope(call.caller, call.query))
        names = {each.id: each.name for each in self._registry.integrations()}

        def place(hook: Hook) -> tuple[str, int, str, str]:
            return names[hook.integration_id], hook.order, hook.name, hook.id

        items, following = page(sorted(hooks, key=place), place, cursor=call.query.cursor, limit=call.query.limit)
        return Answer(HookPage(items=[self._view(hook) for hook in items], next_cursor=following))

    async def _read(self, call: Call[ForIntegration, Nothing]) -> Answer:
        hook = self._registry.hook(call.ids["hook_id"], integration_id=self._scope(call.caller, call.query))
        if self._shown(hook) is hook and is_known(call.headers, hook.version):
            return Answer(status=304, headers=_tagged(hook))
        return self._told(hook)

    async def _change(self, call: Call[ForIntegration, HookChange]) -> Answer:
        hook_id, scope = call.ids["hook_id"], self._scope(call.caller, call.query)
        version = expected_version(call.headers, self._registry.hook(hook_id, integration_id=scope).version)
        return self._told(
            await self._registry.change_hook(
                hook_id, call.body.given(), integration_id=scope, version=version, actor=call.caller.actor
            )
        )

    async def _remove(self, call: Call[ForIntegration, Nothing]) -> Answer:
        hook_id, scope = call.ids["hook_id"], self._scope(call.caller, call.query)
        version = expected_version(call.headers, self._registry.hook(hook_id, integration_id=scope).version)
        await self._registry.remove_hook(hook_id, integration_id=scope, version=version, actor=call.caller.actor)
        return Answer(status=204)

    async def _enable(self, call: Call[ForIntegration, ToEnable]) -> Answer:
        scope = self._scope(call.caller, call.query)
        hook = await self._registry.enable(
            call.ids["hook_id"],
            integration_id=scope,
            lease_seconds=call.body.lease_seconds,
            actor=call.caller.actor,
        )
        return self._told(hook)

    async def _disable(self, call: Call[ForIntegration, ToDisable]) -> Answer:
        scope = self._scope(call.caller, call.query)
        hook = await self._registry.disable(
            call.ids["hook_id"],
            integration_id=scope,
            drain=call.body.drain,
            reason=call.body.reason,
            actor=call.caller.actor,
        )
        return self._told(hook)

    async def _enable_many(self, call: Call[ForIntegration, ManyToEnable]) -> Answer:
        hooks = await self._registry.enable_many(
            call.body.choice(),
            integration_id=self._scope(call.caller, call.query),
            lease_seconds=call.body.lease_seconds,
            actor=call.caller.actor,
        )
        return self._changed(hooks)

    async def _disable_many(self, call: Call[ForIntegration, ManyToDisable]) -> Answer:
        hooks = await self._registry.disable_many(
            call.body.choice(),
            integration_id=self._scope(call.caller, call.query),
            drain=call.body.drain,
            reason=call.body.reason,
            actor=call.caller.actor,
        )
        return self._changed(hooks)

    def _changed(self, hooks: Sequence[Hook]) -> Answer:
        generation = max((hook.generation for hook in hooks), default=self._registry.generation)
        items = [self._view(hook) for hook in hooks]
        return Answer(HooksChanged(items=items, next_cursor=None, generation=generation))

    # ------------------------------------------------------------ how it is shown

    def _shown(self, hook: Hook) -> Hook:
        return hook if self._breakers is None else self._breakers.shown(hook)

    def _view(self, hook: Hook) -> HookView:
        return HookView.of(self._shown(hook))

    def _told(self, hook: Hook) -> Answer:
        shown = self._shown(hook)
        headers = _tagged(hook)
        if shown is not hook:
            del headers["etag"]  # its version says nothing of a state that passes by itself
        return Answer(HookView.of(shown), headers=headers)

    # ------------------------------------------------------------ on whose behalf

    def _scope(self, caller: Caller, query: ForIntegration) -> str | None:
        return scope(self._registry, caller, query)

    def _required_scope(self, caller: Caller, query: ForIntegration) -> str:
        scope = self._scope(caller, query)
        if scope is None:
            detail = "is required with an operator key: the id of the integration whose hooks these are"
            raise InvalidInput(FieldError("?integration", detail))
        return scope


def _tagged(hook: Hook) -> dict[str, str]:
    return {"etag": etag(hook.version), "cache-control": "private, no-cache"}
