"""Several events in one call, and one answer to each: CloudEvents' batched content mode, and its counterpart.

The request is a JSON array of structured events. CloudEvents has no form for an answer to it; ours is a JSON array with
one object per event: its `id`, a `status`, and where there is one the `contenttype` and the `data` of the
reply, each meaning what it means for a reply of its own. Both arrays are put together and taken apart as bytes.

Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md#4-json-batch-format
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from gateway.errors import ReplyUnusable
from gateway.model import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONTENT_TYPE: Final = "application/cloudevents-batch+json"


class Element(msgspec.Struct):
    """The answer to one event. `data` is the JSON document that would be the body of a reply, as bytes."""

    id: str
    status: int = 200
    contenttype: str = "application/json"
    cachecontrol: str | None = None
    data: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b""))


_ALL: Final = msgspec.json.Decoder(list[Element])
_EACH: Final = msgspec.json.Decoder(list[msgspec.Raw])
_ONE: Final = msgspec.json.Decoder(Element)


def encode(events: Sequence[bytes]) -> bytes:
    """The body of a call with these structured events."""
    return b"".join((b"[", b",".join(events), b"]"))


def decode(body: bytes) -> Mapping[str, Element | ReplyUnusable]:
    """The answers in the body of a reply, by the ids of their events.

    An object that is no answer, or one of two for the same event, is an error of its own; one without a usable `id`
    is passed over. Raises `ReplyUnusable` (`bad_json`) if the body is no JSON array.
    """
    try:
        elements: Sequence[Element | None] = _ALL.decode(body)
    except (msgspec.DecodeError, RecursionError):
        elements = _one_by_one(body)
    answers: dict[str, Element | ReplyUnusable] = {}
    for element in elements:
        if element is None:
            continue
        twice = element.id in answers
        answers[element.id] = (
            ReplyUnusable(Reason.PROTOCOL, "the reply to a shared call has two answers to its event")
            if twice
            else element
        )
    return answers


def _one_by_one(body: bytes) -> Sequence[Element | None]:
    try:
        return [_element(each) for each in _EACH.decode(body)]
    except (msgspec.DecodeError, RecursionError) as e:
        why = "it nests too deep" if isinstance(e, RecursionError) else str(e)
        raise ReplyUnusable(Reason.BAD_JSON, f"the reply to a shared call is no JSON array of answers: {why}") from None


def _element(each: msgspec.Raw) -> Element | None:
    try:
        return _ONE.decode(each)
    except (msgspec.DecodeError, RecursionError):
        return None
