"""Who changed what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.service.auth import Access, no_integration
from gateway.service.endpoint import Answer, Call, Operation, Out
from gateway.service.models.audit import AuditList, AuditPage, AuditView, seconds_of
from gateway.service.models.base import Nothing
from gateway.service.paging import number_of
from gateway.stores.protocol import AuditQuery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.registry import Registry

__all__ = ["AuditRoutes"]


class AuditRoutes:
    """Reading the audit log."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def operations(self) -> Sequence[Operation[Any, Any]]:
        """The one operation, described."""
        return (
            Operation(
                "GET", "/v1/audit", self._list, "listAudit", "List the changes that were made",
                "audit", Access.HOOKS, query=AuditList, body=Nothing, errors=(404, 503),
                description="An integration sees the changes of itself, of its hooks and of its subscriptions.",
                out={200: Out("A page of the audit log, the newest first.", AuditPage)},
            ),
        )  # fmt: skip

    async def _list(self, call: Call[AuditList, Nothing]) -> Answer:
        asked, own = call.query, call.caller.integration_id
        if own is not None and asked.integration not in (None, own):
            raise no_integration(asked.integration or "")
        query = AuditQuery(
            integration_id=own or asked.integration,
            hook_id=asked.hook,
            subscription_id=asked.subscription,
            who=asked.who,
            since=None if asked.since is None else seconds_of(asked.since),
            until=None if asked.until is None else seconds_of(asked.until),
            before=number_of(asked.cursor),
            limit=asked.limit + 1,
        )
        found = await self._registry.audit(query)
        entries = found[: asked.limit]
        following = str(entries[-1].number) if len(found) > asked.limit else None
        return Answer(AuditPage(items=[AuditView.of(each, to=own) for each in entries], next_cursor=following))
