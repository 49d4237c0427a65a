"""Schemas for results: what may be declared, so that a check cannot take for ever or reach the network."""

from __future__ import annotations

import json

import pytest

from gateway.wire.result_schema import SchemaError, compile_schema


def doubling(count):
    """Definitions each of which refers to the next one twice."""
    names = [f"d{n}" for n in range(count)]
    twice = {
        name: {"allOf": [{"$ref": f"#/$defs/{after}"}] * 2}
        for name, after in zip(names, [*names[1:], "end"], strict=True)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**twice, "end": {"type": "object"}}}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"$id": "https://example.com/result", "type": "object"},
        {"$defs": {"row": {"type": "object"}}, "properties": {"rows": {"items": {"$ref": "#/$defs/row"}}}},
        {"$defs": {"a/b c": {"type": "array"}}, "properties": {"x": {"$ref": "#/$defs/a~1b%20c"}}},
        {"properties": {"$id": {"type": "string"}, "$ref": {"type": "string"}, "enum": {"type": "string"}}},
        {"enum": [{"$ref": "https://example.com/"}]},
        {"items": {"anyOf": [{"type": "integer"}, {"type": "string"}]}, "minItems": 1},
        doubling(7),
    ],
)
def test_ordinary_schemas_compile(schema):
    compile_schema(json.dumps(schema))


@pytest.mark.parametrize(
    ("schema", "pointer", "why"),
    [
        (doubling(40), "", "subschemas, counted as often as they are referred to"),
        ({"properties": {"enum": doubling(40)}, **doubling(40)}, "", "subschemas"),
        ({"properties": {"required": {"$ref": "#"}}}, "/properties/required/$ref", "refers to itself"),
        ({"x-note": {"$ref": "#/nowhere"}}, "/x-note/$ref", "leads to nothing"),
        ({"items": {"$ref": "#"}}, "/items/$ref", "refers to itself"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}}, "/$ref/not/$ref", "refers to itself"),
        ({"$dynamicRef": "#x", "$dynamicAnchor": "x"}, "/$dynamicRef", "not allowed"),
        ({"$ref": "#x", "$defs": {"a": {"$anchor": "x"}}}, "/$ref", "not an anchor"),
        ({"properties": {"a": {"$id": "https://example.com/a", "type": "object"}}}, "/properties/a/$id", "$id"),
        ({"$ref": "https://json-schema.org/draft/2020-12/schema"}, "/$ref", "must begin with '#'"),
    ],
)
def test_what_could_take_for_ever_or_leads_elsewhere_is_refused_with_its_place(schema, pointer, why):
    with pytest.raises(SchemaError) as e:
        compile_schema(json.dumps(schema))
    assert e.value.pointer == pointer
    assert why in str(e.value)


@pytest.mark.parametrize(
    "reference", ["https://example.com/s.json", "file:///etc/passwd", "other.json", "#/$defs/gone"]
)
def test_no_reference_is_fetched_from_anywhere(reference):
    with pytest.raises(SchemaError):
        compile_schema(json.dumps({"properties": {"a": {"$ref": reference}}}))


@pytest.mark.parametrize("depth", [900, 5_000])
def test_a_schema_that_nests_deep_is_refused(depth):
    with pytest.raises(SchemaError):
        compile_schema('{"not":' * depth + "{}" + "}" * depth)
