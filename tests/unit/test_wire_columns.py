"""The fast way to columns: it takes exactly what the slow one does, or leaves it to that."""

from __future__ import annotations

import json

import pytest

from gateway.wire import projection
from gateway.wire.columns import Columns
from gateway.wire.pointers import Places, parse_all

PRICE = parse_all(["/rows/*/price"])
SECOND = parse_all(["/rows/*/1"])


def taken(reads, body):
    columns = Columns.of(reads)
    assert columns is not None
    return columns, columns.take(body)


@pytest.mark.parametrize(
    "pointers",
    [
        ["/rows"],
        ["/rows/*"],
        ["/*"],
        ["/rows/*/*"],
        ["/*/price"],
        ["/rows/*/price", "/items/*/price"],
        ["/rows/*/price", "/rows"],
        ["/rows/*/price", "/rows/0/id"],
        ["/rows/*/price/amount"],
        ['/rows/*/quo"te'],
        ["/meta/currency"],
    ],
)
def test_other_pointers_than_columns_of_one_table_are_left_to_the_slow_way(pointers):
    assert Columns.of(parse_all(pointers)) is None or pointers == ["/*/price"]


@pytest.mark.parametrize("style", [(",", ":"), (", ", ": "), (" ,\n", "\t: ")])
@pytest.mark.parametrize(
    ("reads", "document"),
    [
        (PRICE, {"rows": [{"id": 1, "price": 1.5}, {"price": "a,b", "x": {"price": 3}}]}),
        (PRICE, {"price": 0, "rows": [{"price": None}, {}, {"price": [1, 2]}]}),
        (PRICE, {"rows": [{"a": 'x"price', "price": '"price":'}, {"price": "\\"}]}),
        (parse_all(["/columns", "/rows/*/1"]), {"columns": ["a", "b"], "rows": [[1, 2, 3], [4, 5, 6]]}),
        (SECOND, {"rows": [["a,b", 2, "c"], ["d", 'e"f', "g]"]]}),
        (SECOND, {"rows": [[1, "a", "x,[", 4], [2, "b", "c", 5]]}),
        (parse_all(["/rows/*/0"]), {"rows": [[1, "x,[", 5], ["r", "s", 6]]}),
        (SECOND, {"rows": [["],[", "a"], ["[1,2,3", "b"]]}),
        (SECOND, {"rows": [[1, "a,b"], [2, "\\"], ["\\", 3]]}),
        (SECOND, {"rows": [[1, 2], [3]]}),
        (SECOND, {"rows": [[1, [2, 3]], [4, {"a": 5}]]}),
        (SECOND, {"rows": [["x,5,y", 5, 6], [1, 2, 3]]}),
        (SECOND, {"rows": []}),
        (SECOND, {"rows": [[], []]}),
        (SECOND, {"rows": {"0": {"1": 2}}}),
        (SECOND, {"rows": [{"1": 2, "2": 3}]}),
        (parse_all(["/*/1"]), [["a", "b"], ["c", "d"]]),
        (parse_all(["/a/b/*/2", "/a/b/*/0"]), {"a": {"b": [[1, 2, 3], [4, 5, 6]], "c": 0}}),
    ],
)
def test_what_is_taken_is_what_the_slow_way_takes(reads, document, style):
    body = json.dumps(document, separators=style).encode()
    _, found = taken(reads, body)
    slow = projection.project(body, reads)
    if found is not None:
        assert found.found == (slow is not None)
        if slow is not None:
            assert json.loads(found.projection) == json.loads(slow)


@pytest.mark.parametrize(
    "document",
    [
        b'{"rows":[{"id":1,"price":1.50},{"price":2,"id":3}]}',
        b'{"rows": [{"id": 1, "price": 1.50}, {"price": 2, "id": 3}]}',
        b'{"head":"price","rows":[{"id":"a\\"price","price" : "1"},{"id":"gr\\u00fc","price":"2"}]}',
    ],
)
def test_nothing_but_the_cells_changes(document):
    columns, found = taken(PRICE, document)
    after = b'{"rows":[{"price":[1]},{"price":"new"}]}'
    merged = columns.merge(document, found, after, Places(PRICE))
    assert merged is not None
    first, second = found.columns[0]
    assert merged == document.replace(bytes(first), b"[1]", 1).replace(bytes(second), b'"new"', 1)


@pytest.mark.parametrize(
    ("document", "after"),
    [
        (b'{"rows":[{"price":1}],"x":{"price":1}}', b'{"rows":[{"price":2}]}'),  # one more of the name
        (b'{"rows":[{"\\u0070rice":1}],"x":{"price":1}}', b'{"rows":[{"price":2}]}'),  # another one of the name
        (b'{"rows":[{"price":1,"price":1}]}', b'{"rows":[{"price":2}]}'),
        (b'{"rows":[{"price":1}]}', b'{"rows":[{"price":2},{"price":3}]}'),
        (b'{"rows":[{"price":1}]}', b'{"rows":[{}]}'),
        (b'{"rows":[{"price":1}]}', b'{"rows":[{"price":2,"id":3}]}'),
        (b'{"rows":[{"price":1}]}', b'{"rows":[{"price":2}],"more":1}'),
        (b'{"rows":[{"price":1}]}', b'{"rows":{"0":{"price":2}}}'),
        (b'{"rows":[{"price":1}]}', b"[]"),
    ],
)
def test_what_is_not_clear_is_left_to_the_slow_way(document, after):
    columns, found = taken(PRICE, document)
    assert columns.merge(document, found, after, Places(PRICE)) is None


def test_a_table_that_stands_there_twice_is_left_to_the_slow_way():
    body = b'{"x":{"rows":[[1,2],[3,4]]},"rows":[[1,2],[3,4]]}'
    columns, found = taken(SECOND, body)
    assert columns.merge(body, found, b'{"rows":[{"1":7},{"1":8}]}', Places(SECOND)) is None
