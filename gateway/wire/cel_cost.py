"""What evaluating a CEL expression may cost at most, from the expression alone and the sizes of its variables.

The engine stops after some thousands of iterations, but one iteration may look through a whole document. So
the cost is estimated beforehand, as Kubernetes does for the expressions of its admission policies: each node has
a price, each call that reads its arguments pays for their size, and the body of a loop is paid for each element.

What is known of a value is its size as JSON, and how many elements and members there are in it. A unit of cost is about
20 ns, what comparing one byte of JSON took here.
Source of the message layout: https://github.com/google/cel-spec/blob/master/proto/cel/expr/checked.proto
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MOST_ITERATIONS: Final = 10_000  # the engine's own budget
MOST_NESTED_LOOPS: Final = 4

_NODE: Final = 10
_PER_BYTE: Final = 3  # to hand a variable over to the engine
_REGEX: Final = 500
_REGEX_PER_BYTE: Final = 50
_REGEX_PER_REPEAT: Final = 5
_MOST_REPEATS: Final = 1_000  # the engine's own limit
_COUNTED: Final = re.compile(rb"\{(\d{1,4})(?:,(\d{0,4}))?\}")
_APPEND: Final = 2  # per element that a list being built has already
_CONSTANT: Final = 1_000_000  # the rank of what does not change from one iteration to the next, nor between queries
_EQUAL: Final = frozenset({"_==_", "_!=_"})
_READS_NOTHING: Final = frozenset(
    {"_&&_", "_||_", "!_", "@not_strictly_false", "_?_:_", "_[_]", "_-_", "_*_", "_/_", "_%_", "-_", "type", "dyn"}
)
_SCALAR: Final = (
    _EQUAL
    | frozenset({"_<_", "_<=_", "_>_", "_>=_", "@in", "_&&_", "_||_", "!_", "@not_strictly_false", "size"})
    | frozenset({"contains", "startsWith", "endsWith", "matches", "int", "uint", "double", "bool"})
    | frozenset({"_-_", "_*_", "_/_", "_%_", "-_", "type"})
)


class Node(NamedTuple):
    """A node of an expression: `kind` is constant, name, select, has, call, list or loop; `parts` are expressions.

    `name` is that of the variable, member or function, or of a loop's variables. `size` is a constant's, and `repeats`
    how many times as large it may get as a regular expression, by its counted repetitions (`a{100}`).
    """

    kind: str
    name: str
    parts: tuple[Node, ...]
    size: int = 0
    repeats: int = 1


class Extent(NamedTuple):
    """How large a value is: in bytes of JSON, and at most how many elements and members are in it at any depth."""

    size: int
    items: int

    @classmethod
    def of(cls, text: bytes) -> Extent:
        """The extent of a JSON text. (Commas in strings count as well: it is a bound, found without a parse.)"""
        return cls(len(text), text.count(b",") + text.count(b"[") + text.count(b"{"))


class _Value(NamedTuple):
    """What a node may come to: its cost, the extent of its value, and how deep in the loops the value is made.

    `rank` 0 is a variable of the expression, n the element of the n-th loop around it.
    """

    cost: float
    size: float
    items: float
    rank: int


@dataclass(frozen=True, slots=True)
class Shape:
    """An expression as far as its cost goes.

    `names` are the variables that it mentions, `members` their members: (name, member).
    """

    root: Node
    names: frozenset[str]
    members: frozenset[tuple[str, str]]

    def cost(self, extents: Mapping[str, Extent]) -> float:
        """The most it may cost with variables of these extents."""
        variables = {name: _Value(_NODE, extents[name].size, extents[name].items, 0) for name in self.names}
        handed_over = sum(_PER_BYTE * extents[name].size for name in self.names)
        return handed_over + _cost(self.root, variables, 1).cost


def shape_of(serialized: bytes, variables: frozenset[str]) -> Shape:
    """The shape of a compiled expression: a serialized `cel.expr.CheckedExpr` within an `Any`.

    Raises `ValueError` with a sentence if it nests too deep, or is nothing of the kind.
    """
    try:
        checked = dict(_fields(dict(_fields(serialized))[2]))
        root = _node(checked[4])
    except RecursionError:
        msg = "it nests too deep"
        raise ValueError(msg) from None
    except (KeyError, IndexError, TypeError, AttributeError):
        msg = "the engine gave it in a form that is not known here"
        raise ValueError(msg) from None
    found: set[tuple[str, str]] = set()
    _mentioned(root, variables, found)
    if _loops(root) > MOST_NESTED_LOOPS:
        msg = f"its loops (all, exists, map, filter …) are nested more than {MOST_NESTED_LOOPS} deep"
        raise ValueError(msg)
    return Shape(root, frozenset(name for name, _ in found), frozenset(each for each in found if each[1]))


# ------------------------------------------------------------------ reading it


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message: numbers for varints, bytes for the rest."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    while at < len(message):
        number, wire = divmod(varint(), 8)
        if wire == 0:
            yield number, varint()
            continue
        length = {1: 8, 5: 4}.get(wire) or varint()
        yield number, message[at : at + length]
        at += length


def _node(message: bytes) -> Node:
    fields = dict(_fields(message))
    if 3 in fields:
        return Node("constant", "", (), len(fields[3]), _repeats(fields[3]))
    if 4 in fields:
        return Node("name", dict(_fields(fields[4]))[1].decode().lstrip("."), ())
    if 5 in fields:
        select = dict(_fields(fields[5]))
        return Node("has" if select.get(3) else "select", select[2].decode(), (_node(select[1]),))
    if 6 in fields:
        call = list(_fields(fields[6]))
        function = next(value for number, value in call if number == 2).decode()
        return Node("call", function, tuple(_node(value) for number, value in call if number in (1, 3)))
    if 7 in fields:
        return Node("list", "", tuple(_node(value) for number, value in _fields(fields[7]) if number == 1))
    if 8 in fields:
        entries = [dict(_fields(value)) for number, value in _fields(fields[8]) if number == 2]
        return Node("list", "", tuple(_node(entry[part]) for entry in entries for part in (3, 4) if part in entry))
    loop = dict(_fields(fields[9]))
    names = ",".join(loop[part].decode() for part in (1, 3, 8) if part in loop)
    return Node("loop", names, tuple(_node(loop[part]) for part in (2, 4, 5, 6, 7)))


def _repeats(pattern: bytes) -> int:
    counts = (int(count) for pair in _COUNTED.findall(pattern) for count in pair if count)
    return min(prod((count or 1 for count in counts), start=1), _MOST_REPEATS)


def _mentioned(node: Node, variables: frozenset[str], found: set[tuple[str, str]], member: str = "") -> None:
    """Put what is mentioned into `found`: (name, member), or (name, "") where it is not one of its members."""
    if node.kind == "name":
        name, _, rest = node.name.partition(".")
        if name in variables:
            found.add((name, rest.partition(".")[0] or member))
        return
    if node.kind == "loop":
        outside, inside = node.parts[:2], node.parts[2:]
        free = variables - set(node.name.split(","))
        for part in inside:
            _mentioned(part, free, found)
        parts = outside
    else:
        parts = node.parts
    for part in parts:
        _mentioned(part, variables, found, node.name if node.kind in ("select", "has") else "")


def _loops(node: Node) -> int:
    return (node.kind == "loop") + max((_loops(part) for part in node.parts), default=0)


# ------------------------------------------------------------------ what it costs


def _cost(node: Node, names: Mapping[str, _Value], depth: int) -> _Value:
    if node.kind == "constant":
        return _Value(_NODE, node.size, 0, _CONSTANT)
    if node.kind == "name":
        return names.get(node.name, _Value(_NODE, 0, 0, _CONSTANT))  # else a type's name
    if node.kind == "loop":
        return _loop(node, names, depth)
    parts = [_cost(part, names, depth) for part in node.parts]
    cost = _NODE + sum(part.cost for part in parts)
    rank = min((part.rank for part in parts), default=_CONSTANT)
    if node.kind == "has":
        return _Value(cost, 1, 0, _CONSTANT)
    if node.kind in ("select", "list"):
        items = sum(part.items for part in parts) + (len(parts) if node.kind == "list" else 0)
        return _Value(cost, sum(part.size for part in parts), items, rank)
    if node.name == "matches":
        pattern = node.parts[-1]
        repeats = pattern.repeats if pattern.kind == "constant" else _MOST_REPEATS
        cost += _REGEX + (_REGEX_PER_BYTE + (repeats - 1) * _REGEX_PER_REPEAT) * parts[-1].size
    return _call(node.name, parts, cost, rank)


def _call(function: str, parts: list[_Value], cost: float, rank: int) -> _Value:
    sizes = [part.size for part in parts]
    if function in _EQUAL:
        cost += _compared(*parts)
    elif function not in _READS_NOTHING:
        cost += sum(sizes)
    if function in _SCALAR:
        return _Value(cost, 8, 0, _CONSTANT)
    if function == "_[_]":
        return _Value(cost, sizes[0], parts[0].items, rank)
    if function == "_?_:_":
        return _Value(cost, max(sizes[1:]), max(part.items for part in parts[1:]), rank)
    return _Value(cost, sum(sizes), sum(part.items for part in parts), rank)


def _compared(one: _Value, other: _Value) -> float:
    """What comparing reads at most: it ends at the shorter one.

    Of two from different loops it is the inner one's size that counts: all its values together are no larger
    than what the loop goes over. (The smaller size would be no bound for the sum.)
    """
    if one.rank != other.rank:
        return max(one, other, key=lambda value: value.rank).size
    return min(one.size, other.size) if one.rank in (0, _CONSTANT) else max(one.size, other.size)


def _loop(node: Node, names: Mapping[str, _Value], depth: int) -> _Value:
    """A loop over n elements costs at most what one element with all there is and n - 1 empty ones do.

    That is so because what the body costs grows with the extent of the element at least in proportion.
    """
    over, initial, going_on, step, result = node.parts
    accumulator = node.name.split(",")[1]
    range_ = _cost(over, names, depth)
    count = len(over.parts) if over.kind == "list" else min(MOST_ITERATIONS, int(range_.items))
    builds = initial.kind == "list"

    def body(size: float, items: float) -> tuple[float, float, float]:
        element = _Value(_NODE, size, items, depth)
        built = _Value(_NODE, _APPEND * count if builds else 1, 0, _CONSTANT)
        inner = {**names, **dict.fromkeys(node.name.split(","), element), accumulator: built}
        stepped = _cost(step, inner, depth + 1)
        return _cost(going_on, inner, depth + 1).cost + stepped.cost, stepped.size - built.size, stepped.items

    largest, smallest = body(range_.size, range_.items), body(0, 0)
    after = _cost(result, {**names, accumulator: _Value(_NODE, 8, 0, _CONSTANT)}, depth)
    cost = _NODE + range_.cost + largest[0] + max(0, count - 1) * smallest[0] + after.cost
    if not builds:
        return _Value(cost, 8, 0, _CONSTANT)
    size = max(0.0, largest[1]) + max(0, count - 1) * max(0.0, smallest[1]) + count
    items = largest[2] + max(0, count - 1) * smallest[2]
    return _Value(cost, size, items, range_.rank)
