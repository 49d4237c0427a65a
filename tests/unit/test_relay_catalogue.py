"""The catalogue of the gateway's own events."""

from __future__ import annotations

import jsonschema_rs
import pytest

from gateway.relay.catalogue import CATALOGUE, RESERVED_PREFIX


@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=lambda kind: kind.name)
def test_each_type_has_a_sentence_a_valid_schema_and_an_example_that_fits_it(kind):
    assert kind.name.startswith(RESERVED_PREFIX)
    assert kind.description.endswith(".")
    jsonschema_rs.meta.validate(dict(kind.schema))
    validator = jsonschema_rs.validator_for(dict(kind.schema))
    assert validator.is_valid(dict(kind.example))
    assert not validator.is_valid({})
