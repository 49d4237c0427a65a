"""An event as the body of a request, in the two content types that a subscription may choose.

`application/json` is the payload of Standard Webhooks, `{"id", "type", "timestamp", "data"}`;
`application/cloudevents+json` is the structured form of CloudEvents 1.0. The data is put in as the bytes it is.

Sources: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md and
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

import orjson

from gateway.wire.cloudevents import STRUCTURED_TYPE, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CONTENT_TYPES", "JSON_TYPE", "STRUCTURED_TYPE", "github_signature", "payload"]

JSON_TYPE: Final = "application/json"
CONTENT_TYPES: Final = (JSON_TYPE, STRUCTURED_TYPE)


def payload(
    content_type: str, *, ident: str, name: str, source: str, at: float, data: bytes, subject: str | None = None
) -> bytes:
    """The body for one event.

    `ident` is the event's id, `name` its type, `at` when it was published (seconds since 1970), `data` JSON.
    """
    time = rfc3339(at)
    if content_type == STRUCTURED_TYPE:
        attributes = {"specversion": "1.0", "id": ident, "source": source, "type": name, "time": time}
        if subject is not None:
            attributes["subject"] = subject
        attributes["datacontenttype"] = JSON_TYPE
    else:
        attributes = {"id": ident, "type": name, "timestamp": time}
    return b"".join((orjson.dumps(attributes)[:-1], b',"data":', data, b"}"))


def github_signature(secrets: Iterable[str], body: bytes) -> str | None:
    """The value of `X-Hub-Signature-256`, as GitHub makes it. It holds one signature: that of the first secret's text.

    Source: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    """
    secret = next(iter(secrets), None)
    return None if secret is None else "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
