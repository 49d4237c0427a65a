"""Sending a recorded call again, and what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from gateway.service.models.base import ApiModel
from gateway.service.models.calls import DiffView, OutcomeView, ReplyView, RequestView, reply_of, request_of

if TYPE_CHECKING:
    from gateway.pipeline.replay import Replayed

__all__ = ["ReplayView", "ToReplay"]


class ToReplay(ApiModel):
    """How to send a recorded call again."""

    to: str | None = Field(
        default=None,
        description="Another URL to send it to. Only the operator may name one that is not below the integration's "
        "base_url.",
        examples=["https://hooks.example.com/query/price-fx-next"],
        max_length=4_000,
    )
    body: str | None = Field(
        default=None,
        description="The body to send instead of the recorded one, as text.",
        examples=['{"specversion": "1.0"}'],
    )


class ReplayView(ApiModel):
    """What became of a call that was sent again. Nothing was applied."""

    call_id: str = Field(description="The call that was recorded.", examples=["msg_0f3a9c1d2e4b5a6c71"])
    request: RequestView | None = Field(description="What was sent now; null if it did not come to that.")
    reply: ReplyView | None = Field(description="What came back now; null without a whole reply.")
    recorded: ReplyView | None = Field(description="What came back then; null if there was no reply, or none is kept.")
    outcome: OutcomeView = Field(
        description="What the new reply means, before the hook's scope and post-conditions are looked at."
    )
    changed: DiffView = Field(description="What the new reply would change in the result that was sent.")
    diff: list[Any] | None = Field(
        description="A JSON Patch from the recorded reply to the new one, both as `{status, content_type, body}`; null "
        "where that is not told.",
        examples=[[{"op": "replace", "path": "/body/count", "value": 2}]],
    )
    diff_note: str | None = Field(description="Where there is no diff, why.", examples=[None])

    @classmethod
    def of(cls, call_id: str, replayed: Replayed, recorded: ReplyView | None) -> ReplayView:
        """The view of a call that was sent again; `recorded` is the reply it had."""
        return cls(
            call_id=call_id,
            request=request_of(replayed.exchange),
            reply=reply_of(replayed.exchange),
            recorded=recorded,
            outcome=OutcomeView.of(replayed.outcome),
            changed=DiffView.of(replayed.changed),
            diff=replayed.diff.operations,
            diff_note=replayed.diff.note,
        )
