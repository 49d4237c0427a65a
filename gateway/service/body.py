"""Reading a JSON body strictly: media type, size, depth, one value per name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from gateway.service.problem import Refused
from gateway.wire import document

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["MAX_DEPTH", "Json", "read_json"]

MAX_DEPTH: Final = 64


@dataclass(frozen=True, slots=True)
class Json:
    """A JSON document that was sent, so that `null` differs from nothing."""

    value: Any


async def read_json(request: web.Request, media_types: Collection[str]) -> Json | None:
    """The request's JSON body; `None` if there is no body at all.

    Raises `Refused`: 415 for a media type other than `media_types`, a charset other than UTF-8 or a compressed
    body, 400 for what is not JSON, nests deeper than 64 levels or names a member twice; 413 is aiohttp's own error.
    """
    try:
        body = await request.read()
    except web.RequestPayloadError:
        raise Refused(400, "The body could not be read: it is cut short.") from None
    if not body:
        return None
    _check_media_type(request, media_types)
    try:
        value = document.parse(body, max_depth=MAX_DEPTH)
    except ValueError as e:
        raise Refused(400, f"The body cannot be read: {e}.") from None
    _check_names(body)
    return Json(value)


def _check_media_type(request: web.Request, media_types: Collection[str]) -> None:
    if "content-type" not in request.headers or request.content_type not in media_types:
        known = " or ".join(sorted(media_types))
        raise Refused(415, f"The body must be {known}, and the header content-type must say so.")
    if request.charset is not None and request.charset.lower() not in ("utf-8", "utf8"):
        raise Refused(415, "JSON is UTF-8: leave the charset out, or send UTF-8.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(415, "The body must be sent without content-encoding.", {"accept-encoding": "identity"})


def _check_names(body: bytes) -> None:
    def once(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise Refused(400, f"The body names the member {name[:100]!r} twice in one object.")
            seen.add(name)

    json.loads(body, object_pairs_hook=once, parse_int=len, parse_float=len)
