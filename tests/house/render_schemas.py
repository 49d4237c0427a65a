"""Writes the JSON Schemas in docs/schemas and docs/reference/asyncapi.json: `python tests/house/render_schemas.py`.

What crosses the wire towards integration servers and subscribers is described once, here; the event types come from the
gateway's own catalogue. With `--check` it writes nothing and exits with 1 if anything would change.
"""

import json
import sys
from pathlib import Path

from gateway import __version__
from gateway.relay.catalogue import CATALOGUE

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "docs" / "schemas"
ASYNCAPI = ROOT / "docs" / "reference" / "asyncapi.json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

TEXT = {"type": "string"}
NAME = {"type": ["string", "null"]}
ID = {"type": "string", "pattern": "^msg_[0-9A-Za-z_]+$"}
TIME = {"type": "string", "format": "date-time"}
TRACE = {"type": "string", "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"}


def closed(required, optional=None, **more):
    """An object whose members these are, and no others."""
    properties = required | (optional or {})
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    } | more


def opened(required, optional=None):
    """An object with at least these members."""
    return {"type": "object", "properties": required | (optional or {}), "required": list(required)}


QUERY = closed({"type": TEXT, "capability": NAME, "tenant": NAME, "params": {}, "context": {}})
EVENT = closed(
    {
        "specversion": {"const": "1.0"},
        "id": ID,
        "time": TIME,
        "hookid": TEXT,
        "source": TEXT,
        "type": {"type": "string", "pattern": "^query\\.result\\..+"},
        "subject": {"type": "string", "description": "The query's id."},
        "datacontenttype": {"const": "application/json"},
        "data": closed({"query": QUERY, "result": {"description": "The result, of any JSON kind."}}),
    },
    {"capability": TEXT, "tenant": TEXT, "traceparent": TRACE, "tracestate": TEXT},
)
OPERATION = {
    "type": "object",
    "properties": {
        "op": {"enum": ["add", "remove", "replace", "move", "copy", "test"]},
        "path": {"type": "string", "format": "json-pointer"},
        "from": {"type": "string", "format": "json-pointer"},
        "value": {},
    },
    "required": ["op", "path"],
}
PROBLEM = {
    "type": "object",
    "properties": {"type": TEXT, "title": TEXT, "status": {"type": "integer"}, "detail": TEXT, "instance": TEXT},
}
ANSWER = opened(
    {"id": TEXT}, {"status": {"enum": [200, 204, 422]}, "contenttype": TEXT, "cachecontrol": TEXT, "data": {}}
)

# Each: the file's name, what it is, the schema.
WIRE = {
    "call": ("The body of a call to a hook, in structured delivery.", EVENT),
    "call-batch": ("The body of a shared call to a hook.", {"type": "array", "items": EVENT, "minItems": 1}),
    "reply-json-patch": ("A reply that patches the result (RFC 6902).", {"type": "array", "items": OPERATION}),
    "reply-merge-patch": ("A reply that supplements the result (RFC 7396): any JSON value.", {}),
    "reply-reject": ("A reply that rejects the query (RFC 9457).", PROBLEM),
    "reply-batch": ("The reply to a shared call.", {"type": "array", "items": ANSWER}),
    "health-request": ("The question for health.", closed({"id": ID, "name": TEXT, "timestamp": {"type": "integer"}})),
    "health-reply": ("The answer about health: the same id.", opened({"id": ID})),
    "notification": (
        "The body of a delivery to a subscription with the content type application/json.",
        closed({"id": TEXT, "type": TEXT, "timestamp": TIME, "data": {}}),
    ),
    "notification-cloudevent": (
        "The body of a delivery to a subscription with the content type application/cloudevents+json.",
        opened({"specversion": {"const": "1.0"}, "id": TEXT, "source": TEXT, "type": TEXT, "time": TIME}, {"data": {}}),
    ),
}


def schema(name):
    """The schema as it is written."""
    what, body = WIRE[name]
    return {"$schema": DIALECT, "title": name, "description": what, **body}


def message(name, content_type, payload, summary):
    """A message of AsyncAPI."""
    headers = opened({"webhook-id": TEXT, "webhook-timestamp": TEXT, "webhook-signature": TEXT})
    return {
        "name": name,
        "contentType": content_type,
        "summary": summary,
        "headers": headers,
        "payload": {"schemaFormat": "application/schema+json;version=draft-2020-12", "schema": payload},
    }


def asyncapi():
    """The AsyncAPI document: what the gateway sends, and what it may be answered."""
    calls = {
        "call": message("call", "application/cloudevents+json", schema("call"), "One result of one query."),
        "callBatch": message(
            "callBatch", "application/cloudevents-batch+json", schema("call-batch"), "Small results of several queries."
        ),
    }
    replies = {
        "replace": message("replace", "application/json", {}, "200: the new result."),
        "jsonPatch": message("jsonPatch", "application/json-patch+json", schema("reply-json-patch"), "200: a patch."),
        "mergePatch": message("mergePatch", "application/merge-patch+json", {}, "200: a merge patch."),
        "reject": message("reject", "application/problem+json", schema("reply-reject"), "422: the query is rejected."),
        "batch": message("batch", "application/json", schema("reply-batch"), "200: answers to a shared call."),
    }
    health = {
        "healthRequest": message("healthRequest", "application/json", schema("health-request"), "Are you well?"),
        "healthReply": message("healthReply", "application/json", schema("health-reply"), "200: yes."),
    }
    events = {}
    for kind in CATALOGUE.values():
        payload = schema("notification")
        payload["properties"] = {**payload["properties"], "type": {"const": kind.name}, "data": dict(kind.schema)}
        events[kind.name] = message(kind.name, "application/json", payload, kind.description) | {
            "examples": [{"payload": {"id": "evt_1", "type": kind.name, "timestamp": "2026-11-22T04:05:06Z",
                                      "data": dict(kind.example)}}],
        }  # fmt: skip
    to = "#/components/messages"

    def channel(address, what, messages):
        return {
            "address": address,
            "description": what,
            "messages": {name: {"$ref": f"{to}/{name}"} for name in messages},
        }

    def operation(name, action, messages, answer=None):
        refs = [{"$ref": f"#/channels/{name}/messages/{each}"} for each in messages]
        reply = {"messages": [{"$ref": f"#/channels/{name}/messages/{each}"} for each in answer]} if answer else None
        found = {"action": action, "channel": {"$ref": f"#/channels/{name}"}, "messages": refs}
        return found | ({"reply": reply | {"channel": {"$ref": f"#/channels/{name}"}}} if reply else {})

    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Query hook gateway: what it sends",
            "version": __version__,
            "description": "Calls to hooks, which are answered at once, and notifications to subscriptions. Each is a "
            "signed HTTP POST (Standard Webhooks 1.0). The control API is described by /openapi.json.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "hook": channel("{base_url}{hook.path}", "A hook of an integration server.", {**calls, **replies}),
            "health": channel("{base_url}{health_path}", "The health path of an integration server.", health),
            "subscription": channel("{config.url}", "The URL of a subscription.", events),
        },
        "operations": {
            "callHook": operation("hook", "send", calls, replies),
            "askHealth": operation("health", "send", ["healthRequest"], ["healthReply"]),
            "notify": operation("subscription", "send", events),
        },
        "components": {"messages": {**calls, **replies, **health, **events}},
    }


def rendered():
    """Every file as it should be."""
    files = {SCHEMAS / f"{name}.schema.json": schema(name) for name in WIRE}
    files[ASYNCAPI] = asyncapi()
    return {path: json.dumps(document, indent=2) + "\n" for path, document in files.items()}


def main(arguments):
    wrong = [path for path, text in rendered().items() if not path.exists() or path.read_text() != text]
    if "--check" not in arguments:
        for path in wrong:
            path.write_text(rendered()[path])
    sys.stdout.write("".join(f"{'stale' if '--check' in arguments else 'written'}: {path.name}\n" for path in wrong))
    return 1 if wrong and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
