"""The OpenAPI 3.1 document, made from the very descriptions and models that check each call."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import models_json_schema

from gateway.service.auth import Access
from gateway.service.models.base import Nothing, Problem
from gateway.service.problem import PROBLEM_JSON, title

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic import BaseModel
    from pydantic.json_schema import JsonSchemaKeyT, JsonSchemaMode, JsonSchemaValue

    from gateway.service.endpoint import Operation, Out

    Key = tuple[JsonSchemaKeyT, JsonSchemaMode]

__all__ = ["document"]

_TEMPLATE: Final = "#/components/schemas/{model}"
_SECURITY: Final = "key"
_WHO: Final = {
    Access.ANYONE: "",
    Access.OPERATOR: "Operator only.",
    Access.OWN_INTEGRATION: "Operator, or the integration itself.",
    Access.HOOKS: "Integration, or an operator on its behalf with `?integration=`.",
}
_ID_SCHEMAS: Final[Mapping[str, dict[str, Any]]] = {
    "integration_id": {"type": "string", "minLength": 1, "examples": ["int_1c9d7x2k4m6p8q0r"]},
    "hook_id": {"type": "string", "minLength": 1, "examples": ["hk_3f8k2m9q4r7t1v5x"]},
    "call_id": {"type": "string", "minLength": 1, "examples": ["msg_0f3a9c1d2e4b5a6c71"]},
    "trace_id": {"type": "string", "minLength": 1, "examples": ["tr_3f8k2m9q4r7t1v5x"]},
    "subscription_id": {"type": "string", "minLength": 1, "examples": ["sub_5t2v8x1z4b7d0f3h"]},
    "delivery_id": {"type": "string", "minLength": 1, "examples": ["dlv_000000000001"]},
    "event_id": {"type": "string", "minLength": 1, "examples": ["evt_5b1f0c9de2a4a77303"]},
    "recovery_id": {"type": "string", "minLength": 1, "examples": ["rec_7h1k5n9r3w6y0b4d"]},
}
_IF_MATCH: Final = {
    "name": "If-Match",
    "in": "header",
    "description": "The ETag that was read: the change is made only if nobody made another one since (else 412).",
    "schema": {"type": "string", "examples": ['"3"', "*"]},
}
_IF_NONE_MATCH: Final = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The ETag that is there already: answered with 304 while it still holds.",
    "schema": {"type": "string", "examples": ['"3"', "*"]},
}
_IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Repeated with the same one by the same caller, it is done once, and answered again.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,200}$", "examples": ["order-4711-created"]},
}


def document(
    operations: Sequence[Operation[Any, Any]], *, version: str, name: str, description: str, tags: Mapping[str, str]
) -> dict[str, Any]:
    """The OpenAPI document of `operations`. `tags`: each group of operations and what it is about."""
    schemas = _Schemas(operations)
    used = {operation.tag for operation in operations}
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "info": {
            "title": name,
            "version": version,
            "description": description,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag, "description": text} for tag, text in tags.items() if tag in used],
        "paths": paths,
        "components": {
            "schemas": schemas.shared,
            "securitySchemes": {
                _SECURITY: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An operator key, or the API key of an integration.",
                }
            },
        },
    }


class _Schemas:
    """The JSON Schemas of all models in use, each under one name."""

    def __init__(self, operations: Iterable[Operation[Any, Any]]) -> None:
        used: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(Problem, "serialization"): None}
        queries: set[type[BaseModel]] = set()
        for operation in operations:
            queries.add(operation.query)
            used[operation.query, "validation"] = None
            if operation.takes_body:
                used[operation.body, "validation"] = None
            for out in operation.out.values():
                if out.model is not None:
                    used[out.model, "serialization"] = None
        refs, top = models_json_schema(list(used), ref_template=_TEMPLATE)
        self._refs: Mapping[Any, JsonSchemaValue] = refs
        definitions: dict[str, Any] = top.get("$defs", {})
        self._queries = {query: definitions.pop(self._name(query), {}) for query in queries}
        self.shared: dict[str, Any] = {key: _tidy(definitions[key]) for key in sorted(definitions)}

    def _name(self, model: type[BaseModel]) -> str:
        return str(self._refs[model, "validation"]["$ref"]).rsplit("/", 1)[1]

    def of(self, model: type[BaseModel], mode: JsonSchemaMode) -> dict[str, Any]:
        """A reference to the schema of `model`."""
        return dict(self._refs[model, mode])

    def parameters(self, query: type[BaseModel]) -> list[dict[str, Any]]:
        """The query parameters that `query` describes."""
        if query is Nothing:
            return []
        schema = self._queries[query]
        required = schema.get("required", [])
        return [
            {
                "name": name,
                "in": "query",
                "required": name in required,
                "description": each.get("description", ""),
                "schema": _parameter_schema(each),
            }
            for name, each in schema["properties"].items()
        ]


def _parameter_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """A query parameter is there or not; it is never null."""
    options = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
    own = {key: value for key, value in schema.items() if key not in ("anyOf", "description", "title")}
    return {**own, **(options[0] if options else {})}


def _tidy(schema: Any, *, names: bool = False) -> Any:
    """Without the titles that pydantic makes from member names; with the words of a nullable member in one place."""
    if isinstance(schema, dict):
        if not names and (options := schema.get("anyOf")) and {"type": "null"} in options:
            words = {key: options[0].pop(key) for key in ("description", "examples") if key in options[0]}
            schema = {**words, **schema}
        return {
            key: _tidy(value, names=key == "properties")
            for key, value in schema.items()
            if names or not (key == "title" and isinstance(value, str))
        }
    return [_tidy(each) for each in schema] if isinstance(schema, list) else schema


def _operation(operation: Operation[Any, Any], schemas: _Schemas) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": " ".join(part for part in (_WHO[operation.access], operation.description) if part),
        "tags": [operation.tag],
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": _ID_SCHEMAS[name]}
                for name in re.findall(r"{(\w+)}", operation.path)
            ),
            *schemas.parameters(operation.query),
            *([_IF_MATCH] if operation.if_match else []),
            *([_IF_NONE_MATCH] if operation.if_none_match else []),
            *([_IDEMPOTENCY_KEY] if operation.idempotency_key else []),
        ],
        "security": [] if operation.access is Access.ANYONE else [{_SECURITY: []}],
    }
    if operation.takes_body:
        body = {"schema": schemas.of(operation.body, "validation")}
        told["requestBody"] = {
            "required": operation.body_required,
            "content": dict.fromkeys(operation.media_types, body),
        }
    told["responses"] = {str(status): _out(out, schemas) for status, out in operation.out.items()}
    problem = {"content": {PROBLEM_JSON: {"schema": schemas.of(Problem, "serialization")}}}
    for status in sorted(_errors(operation)):
        told["responses"][str(status)] = {"description": title(status), **problem}
    return told


def _errors(operation: Operation[Any, Any]) -> set[int]:
    """The statuses that follow from what the operation takes, and its own."""
    errors = set(operation.errors) | {422, 500}  # an unknown query parameter is refused everywhere
    if operation.access is not Access.ANYONE:
        errors |= {401, 429}
    if operation.access is Access.OPERATOR:
        errors.add(403)
    if operation.takes_body:
        errors |= {400, 413, 415}
    if operation.if_match:
        errors |= {400, 412}
    if operation.if_none_match:
        errors.add(400)
    if "{" in operation.path:
        errors.add(404)
    return errors


def _out(out: Out, schemas: _Schemas) -> dict[str, Any]:
    told: dict[str, Any] = {"description": out.description}
    if out.headers:
        told["headers"] = {
            name: {"description": meaning, "schema": {"type": "string"}} for name, meaning in out.headers.items()
        }
    if out.model is not None:
        told["content"] = {out.media_type: {"schema": schemas.of(out.model, "serialization")}}
    elif out.media_type is not None:
        told["content"] = {out.media_type: {"schema": {} if "json" in out.media_type else {"type": "string"}}}
    return told
