"""Taking rows out of documents and putting them back, as bytes."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.rows import NoRows, rows_of, same, tokens_of

SCALARS = st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    SCALARS | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def parts(rows):
    return [bytes(row) for row in rows]


@pytest.mark.parametrize(
    ("body", "pointer", "expected"),
    [
        (b"[1,2.50,{}]", "", [b"1", b"2.50", b"{}"]),
        (b" [ 1 , 2 ] ", "", [b"1", b"2"]),
        (b"[]", "", []),
        (b'{"rows":[[1],[2]],"n":2}', "/rows", [b"[1]", b"[2]"]),
        (b'{"n":1,"data":{"a/b":[1e400, "x"]}}', "/data/a~1b", [b"1e400", b'"x"']),
        (b'[{"no":1},{"rows":[1]}]', "/1/rows", [b"1"]),
        (b'{"0":[7]}', "/0", [b"7"]),
        ('{"é":["\\u00e9","é"]}'.encode(), "/é", [b'"\\u00e9"', '"é"'.encode()]),
        (b"   " * 100 + b"[[1]]", "/0", [b"1"]),
    ],
)
def test_rows_are_the_bytes_they_were(body, pointer, expected):
    assert parts(rows_of(body, tokens_of(pointer)).rows) == expected


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"{}", ""),
        (b'"text"', ""),
        (b"null", ""),
        (b"{}", "/rows"),
        (b'{"rows":{}}', "/rows"),
        (b'{"rows":null}', "/rows"),
        (b"[[1]]", "/1"),
        (b"[[1]]", "/-"),
        (b"[[1]]", "/00"),
        (b"[[1]]", "/\u0661"),
        (b"[[1]]", "/99999999999999999999"),
        (b"[1]", "/0"),
        (b'"rows"', "/rows"),
        (b"[" * 100_000 + b"]" * 100_000, "/0"),
    ],
)
def test_a_place_without_an_array_has_no_rows(body, pointer):
    with pytest.raises(NoRows):
        rows_of(body, tokens_of(pointer))


def test_the_document_around_the_rows_is_that_of_before():
    rows = rows_of(b' {"first": 1.50, "rows": [1, 2], "last": {"x": 1e400}} ', ("rows",))
    assert rows.document([b"7"]) == b'{"first":1.50,"rows":[7],"last":{"x": 1e400}}'


@pytest.mark.parametrize(
    ("size", "expected"),
    [(1, [[b"1"], [b"2"], [b"3"]]), (2, [[b"1", b"2"], [b"3"]]), (3, [[b"1", b"2", b"3"]]), (9, [[b"1", b"2", b"3"]])],
)
def test_batches_are_the_rows_in_order(size, expected):
    assert [parts(batch) for batch in rows_of(b"[1,2,3]", ()).batches(size)] == expected


def test_no_rows_are_one_empty_batch():
    assert [list(batch) for batch in rows_of(b"[]", ()).batches(5)] == [[]]


BEFORE = b'{"n":1.50,"rows":[1,2],"t":"x"}'


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (b'{"n":1.50,"rows":[9],"t":"x"}', [b"9"]),
        (b'{"n":1.5,"rows":[9],"t":"x"}', [b"9"]),
        (b'{ "t":"\\u0078", "rows": [9], "n": 15e-1 }', [b"9"]),
        (b'{"n":1.50,"rows":[],"t":"x"}', []),
        (b'{"n":1.51,"rows":[9],"t":"x"}', None),
        (b'{"n":true,"rows":[9],"t":"x"}', None),
        (b'{"n":1.50,"rows":[9]}', None),
        (b'{"n":1.50,"rows":[9],"t":"x","u":1}', None),
        (b'{"n":1.50,"rows":[9],"rows":[8],"t":"x"}', [b"8"]),
        (b'{"n":1.50,"rows":[9],"u":[8],"t":"x"}', None),
        (b'{"n":1.50,"rows":{},"t":"x"}', None),
        (b'{"n":1.50,"t":"x"}', None),
        (b"[9]", None),
        (b"7", None),
    ],
)
def test_a_reply_may_differ_in_its_rows_only(after, expected):
    found = rows_of(BEFORE, ("rows",)).of(after, ("rows",))
    assert (found if found is None else parts(found)) == expected


def test_numbers_too_long_for_a_float_must_be_the_same_to_the_digit():
    rows = rows_of(b'{"n":12345678901234567890.1,"rows":[]}', ("rows",))
    assert rows.of(b'{ "n":12345678901234567890.10,"rows":[]}', ("rows",)) == []
    assert rows.of(b'{ "n":12345678901234567890.2,"rows":[]}', ("rows",)) is None


def test_a_number_beyond_any_arithmetic_is_not_the_same_in_other_words():
    rows = rows_of(b'{"n":1e99999999999999999999,"rows":[]}', ("rows",))
    assert rows.of(b'{ "n":1e99999999999999999999,"rows":[]}', ("rows",)) is None
    assert parts(rows.of(b'{"n":1e99999999999999999999,"rows":[1]}', ("rows",))) == [b"1"]


@given(around=st.dictionaries(st.text(max_size=4), VALUES, max_size=4), rows=st.lists(VALUES, max_size=8))
def test_splitting_and_putting_together_says_the_same(around, rows):
    body = json.dumps(around | {"rows": rows}).encode()
    found = rows_of(body, ("rows",))
    assert [json.loads(bytes(row)) for row in found.rows] == rows
    again = [row for batch in found.batches(3) for row in batch]
    assert json.loads(found.document(again), parse_float=Decimal) == json.loads(body, parse_float=Decimal)


@given(VALUES, VALUES)
def test_two_values_are_the_same_if_their_canonical_texts_are(one, other):
    def canonical(value):
        return json.dumps(value, sort_keys=True)

    read = [json.loads(json.dumps(v), parse_float=Decimal, parse_int=Decimal) for v in (one, other)]
    if canonical(one) == canonical(other):
        assert same(*read)
    elif one != other:
        assert not same(*read)
