"""One call as it is shown to people: what was sent, what came back, what it changed."""

from __future__ import annotations

import json
from collections.abc import Mapping  # noqa: TC003  a link between processes reads the types of the fields
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway.wire import document
from gateway.wire.diff import TooDifferent, json_patch
from gateway.wire.redaction import Excerpt  # noqa: TC001

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.model import Result
    from gateway.pipeline.call import Exchanged
    from gateway.registry.snapshot import BoundHook
    from gateway.wire.redaction import Redaction

# What other servers may have put into a reply for somebody else's eyes.
_SECRET: Final = frozenset({"set-cookie", "authorization", "proxy-authorization", "cookie", "www-authenticate"})
_HIDDEN: Final = "(hidden)"


@dataclass(frozen=True, slots=True)
class Exchange:
    """The request and the reply of one call. `status` is `None` where no reply came; header names are lower case."""

    call_id: str
    method: str
    url: str
    headers: Mapping[str, str]
    body: Excerpt
    status: int | None = None
    reply_headers: Mapping[str, str] | None = None
    reply_body: Excerpt | None = None

    @classmethod
    def of(cls, hook: BoundHook, seen: Exchanged, redaction: Redaction, most: int) -> Exchange | None:
        """What was exchanged, with at most `most` bytes of each body; `None` if nothing was sent."""
        if not seen.began:
            return None
        sent = _shown(seen.headers)
        request = redaction.request(seen.body, sent.get("content-type", ""), most)
        reply = seen.reply
        if reply is None:
            return cls(seen.ident, "POST", hook.endpoint.url, sent, request)
        told = redaction.reply(reply.status, reply.body, reply.header("content-type"), most)
        return cls(
            seen.ident, "POST", hook.endpoint.url, sent, request, reply.status, _shown(reply.headers), told
        )  # fmt: skip

    @property
    def kept(self) -> int:
        """About how many bytes it takes."""
        texts = (self.body.text, self.reply_body.text if self.reply_body else None)
        return 2_000 + sum(len(text) for text in texts if text)


@dataclass(frozen=True, slots=True)
class Diff:
    """What a reply changed or would have changed: a JSON Patch as bytes; `None` where that cannot be told, and why."""

    patch: bytes | None
    note: str | None = None

    @property
    def operations(self) -> list[dict[str, Any]] | None:
        """The operations of the patch."""
        found: list[dict[str, Any]] | None = None if self.patch is None else json.loads(self.patch)
        return found

    @property
    def kept(self) -> int:
        """About how many bytes it takes."""
        return 100 + len(self.patch or b"")


def changes(before: Result, after: Result, redaction: Redaction, most: int) -> Diff:
    """What differs between two results of at most `most` bytes each."""
    if before.body == after.body:
        return Diff(b"[]")
    if max(len(before.body), len(after.body)) > most:
        return Diff(None, f"not compared: a result has more than {most} bytes")
    try:
        patch = document.write(redaction.diff(json_patch(before.body, after.body)))
    except TooDifferent as e:
        return Diff(None, f"not told: {e}")
    except (ValueError, TypeError, RecursionError):
        return Diff(None, "not compared: a result is not JSON")
    return Diff(patch) if len(patch) <= most else Diff(None, f"not kept: it has more than {most} bytes")


def _shown(headers: Sequence[tuple[str, str]]) -> dict[str, str]:
    shown: dict[str, str] = {}
    for name, value in headers:
        told = _HIDDEN if name in _SECRET else value
        shown[name] = f"{shown[name]}, {told}" if name in shown else told
    return shown
