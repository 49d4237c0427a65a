"""What a listener to a hook's calls asks, and what it is told."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from gateway.errors import FieldError, InvalidInput
from gateway.service.models.base import ApiModel, Time, rfc3339

if TYPE_CHECKING:
    from gateway.pipeline.listening import ListenedCall

__all__ = ["ListenedReply", "ListenedView", "ToListen"]

_Header = Annotated[list[Annotated[str, Field(max_length=16_384)]], Field(min_length=2, max_length=2)]


class ListenedReply(ApiModel):
    """How the listener's own server answered a call."""

    id: str = Field(max_length=100, description="The id of the call.", examples=["lcl_3f8k2m9q4r7t1v5x"])
    status: int = Field(ge=200, le=599, description="The status.", examples=[200])
    headers: list[_Header] = Field(
        default_factory=list, max_length=100, description="Names and values.", examples=[[["content-type", "x"]]]
    )
    body: str = Field(default="", description="The body, in base64.", examples=["e30="])

    def content(self) -> bytes:
        """The body. Raises `InvalidInput`."""
        try:
            return base64.b64decode(self.body, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidInput(FieldError("/replies", "each body must be base64")) from None


class ToListen(ApiModel):
    """The next question of a listener, with its replies to calls that it got before."""

    listener: str | None = Field(
        default=None, max_length=100, description="Its id; null at first.", examples=["lsn_3f8k2m9q4r7t1v5x"]
    )
    mode: Literal["live", "shadow", "replayed"] = Field(
        default="live",
        description="live: its replies count, instead of those of the hook's URL. shadow: it gets copies. replayed: it "
        "gets recorded calls that are sent again, and no others.",
        examples=["live"],
    )
    wait_seconds: float = Field(default=0, ge=0, le=25, description="How long to wait for a call.", examples=[20])
    replies: list[ListenedReply] = Field(default_factory=list, max_length=100, description="Replies to calls.")
    end: bool = Field(default=False, description="It listens no more.", examples=[False])


class ListenedCallView(ApiModel):
    """One call for the listener."""

    id: str = Field(description="Its id, for the reply.", examples=["lcl_3f8k2m9q4r7t1v5x"])
    at: Time
    url: str = Field(description="The hook's URL.", examples=["https://hooks.example.com/price-fx"])
    headers: list[list[str]] = Field(description="Names and values.", examples=[[["webhook-id", "msg_1"]]])
    body: str = Field(description="The body, in base64.", examples=["e30="])
    timeout_ms: int = Field(description="How long its reply is waited for, from its time on.", examples=[950])
    answers: bool = Field(description="Whether its reply counts.", examples=[True])


class ListenedView(ApiModel):
    """What has come for a listener."""

    listener: str = Field(description="Its id.", examples=["lsn_3f8k2m9q4r7t1v5x"])
    calls: list[ListenedCallView] = Field(description="Calls, in the order in which they were made.")
    late: list[str] = Field(description="Ids of replies that nobody waits for any more.", examples=[[]])

    @classmethod
    def of(cls, listener: str, calls: list[ListenedCall], late: list[str]) -> ListenedView:
        """The view of some calls."""
        return cls(
            listener=listener,
            calls=[
                ListenedCallView(
                    id=call.ident,
                    at=rfc3339(call.at),
                    url=call.url,
                    headers=[list(each) for each in call.headers],
                    body=base64.b64encode(call.body).decode(),
                    timeout_ms=int(call.timeout * 1000),
                    answers=call.answers,
                )
                for call in calls
            ],
            late=late,
        )
