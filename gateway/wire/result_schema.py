"""JSON Schemas that results must meet (2020-12): checked and compiled once, never fetched from anywhere."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Final

import jsonschema_rs

from gateway.wire.schema_weight import TooHeavy, check_weight

MAX_SCHEMA: Final = 65_536
"""The longest text of a schema, in characters."""


class SchemaError(ValueError):
    """The text is no schema. `pointer` (JSON Pointer) is where it is wrong; the message is a sentence."""

    def __init__(self, why: str, pointer: str = "") -> None:
        super().__init__(why)
        self.pointer = pointer


@lru_cache(maxsize=1_024)
def compile_schema(text: str) -> jsonschema_rs.Draft202012Validator:
    """The validator for the schema with this JSON text.

    A `$ref` reaches what is in the schema itself, and nothing else: no network, no file. Regular expressions are those
    that take time in proportion to the text (no look-around, no back references). How long a check may take is bounded
    by `gateway.wire.schema_weight`. Raises `SchemaError`.
    """
    if len(text) > MAX_SCHEMA:
        raise SchemaError(f"is {len(text)} characters long; at most {MAX_SCHEMA} are allowed")
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError):
        raise SchemaError("is not JSON") from None
    if not isinstance(schema, dict):
        raise SchemaError("must be an object: a JSON Schema, draft 2020-12")
    try:
        made = jsonschema_rs.Draft202012Validator(schema, offline=True, pattern_options=jsonschema_rs.RegexOptions())
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as e:
        why = getattr(e, "message", None) or str(e).partition("\n")[0]
        path = getattr(e, "instance_path", [])
        pointer = "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)
        raise SchemaError(f"is no JSON Schema (draft 2020-12): {why[:300]}", pointer) from None
    try:
        check_weight(schema)
    except TooHeavy as e:
        raise SchemaError(str(e), e.pointer) from None
    return made
