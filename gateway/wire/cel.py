"""Conditions in the Common Expression Language: compiled once, checked before use, bounded in what they cost.

The engine is Google's own (the package `cel-expr-python`, the extra `conditions`). What it says of values that it
was given stays in here: a message of its may hold parts of a query or a result.

Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

import orjson

from gateway.errors import ConditionError, ConditionFailed, ConditionTooCostly
from gateway.wire.cel_cost import Extent, shape_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cel_expr_python import cel

    from gateway.wire.cel_cost import Shape

MAX_SOURCE: Final = 2_000
"""The longest source of a condition, in characters."""
MAX_COST: Final = 5_000_000
"""What one evaluation may cost at most by estimate, in units of `gateway.wire.cel_cost`: about a tenth of a second."""

_PLACE: Final = re.compile(
    r"<input>:(\d+):(\d+): ([^\n]+?)(?: \(in container ''\))?(?: \[INVALID_ARGUMENT\])?(?:\n|\Z)"
)
_QUOTED: Final = re.compile(r'Key not found in map : "(.*)"')
_WHY: Final = (
    ("divide by zero", "it divides by zero"),
    ("No matching overload", "an operator or a function does not fit the kind of value that it meets"),
    ("Index error", "an index is beyond the end of a list"),
    ("Key not found", "a member that it names is not there; has(…) can ask"),
    ("Applying SELECT to non-message", "it names a member of what is no object"),
    ("invalid regular expression", "a regular expression in it is none"),
    ("budget exceeded", "it takes too many steps"),
    ("convert", "a value cannot be converted"),
    ("conver", "a value cannot be converted"),
    ("overflow", "a number is too large"),
    ("out of range", "a number is too large"),
)
_NO_JSON_VALUE: Final = ("Non-CEL value type for", "out of range for")


class Condition:
    """A compiled condition. Made by `compile_condition`."""

    __slots__ = ("_affordable", "_expression", "_shape", "source")

    def __init__(self, source: str, expression: cel.Expression, shape: Shape) -> None:
        self.source: Final = source
        self._expression = expression
        self._shape = shape
        self._affordable: set[tuple[int, ...]] = set()

    def mentions(self, name: str) -> bool:
        """Whether it makes use of the variable `name`."""
        return name in self._shape.names

    def members_of(self, name: str) -> frozenset[str]:
        """The members of the variable `name` that it names, like `tenant` in `query.tenant`."""
        return frozenset(member for variable, member in self._shape.members if variable == name)

    def cost(self, extents: Mapping[str, Extent]) -> float:
        """The most it may cost to evaluate it with variables of these extents: see `cel_cost`."""
        return self._shape.cost(extents)

    def holds(self, values: Mapping[str, Any], texts: Mapping[str, bytes] | None = None) -> bool:
        """Whether it holds for these values of its variables: JSON values, for at least the names it mentions.

        `texts` are the values as JSON; they are written if not given. Raises `ConditionTooCostly`
        where the estimate is beyond `MAX_COST`, and `ConditionFailed` if it has no answer for these values or
        another one than true or false.
        """
        mentioned = {name: values[name] for name in self._shape.names}
        if texts is None:
            texts = {name: _written(value) for name, value in mentioned.items()}
        self._check_cost({name: Extent.of(texts[name]) for name in mentioned})
        kind, value = self._evaluated(mentioned)
        if kind == "ERROR" and any(
            sign in value for sign in _NO_JSON_VALUE
        ):  # such as a UUID, which can be written as JSON
            kind, value = self._evaluated({name: orjson.loads(texts[name]) for name in mentioned})
        if kind == "ERROR":
            raise ConditionFailed(f"The condition has no answer here: {self._why(value)}.")
        if kind != "BOOL":
            raise ConditionFailed(f"The condition came to a value of the kind {kind.lower()}, not to true or false.")
        return cast("bool", value)

    def _check_cost(self, extents: Mapping[str, Extent]) -> None:
        """Raise `ConditionTooCostly` for these. What was affordable is known again, for extents as good as equal."""
        about = tuple(number.bit_length() for extent in extents.values() for number in extent)
        if about in self._affordable:
            return
        if self._shape.cost(extents) > MAX_COST:
            raise ConditionTooCostly
        upper = {name: Extent(*(1 << number.bit_length() for number in extent)) for name, extent in extents.items()}
        if self._shape.cost(upper) <= MAX_COST:
            self._affordable.add(about)

    def _evaluated(self, values: dict[str, Any]) -> tuple[str, Any]:
        try:
            value = self._expression.eval(data=values)
        except RuntimeError as e:  # it was stopped
            return "ERROR", str(e)
        return value.type().name(), value.value()

    def _why(self, message: str) -> str:
        """The engine's message without what may be part of the values."""
        named = _QUOTED.search(message)
        if named is not None and re.search(rf"\b{re.escape(named[1])}\b", self.source):
            return f"there is no {named[1]!r}; has(…) can ask"
        return next((words for sign, words in _WHY if sign in message), "the engine cannot evaluate it")


@lru_cache(maxsize=4_096)
def compile_condition(source: str, names: tuple[str, ...] = ("query", "result")) -> Condition:
    """The condition written in `source` over the variables `names`.

    Raises `ConditionError` with the place if it does not compile, cannot come to true or false, is longer than
    `MAX_SOURCE`, or if the extra `conditions` is not installed.
    """
    if len(source) > MAX_SOURCE:
        raise ConditionError(f"it is {len(source)} characters long; at most {MAX_SOURCE} are allowed")
    try:
        source.encode()
    except UnicodeEncodeError as e:
        raise ConditionError("half a character (a surrogate) stands here", *_place(source, e.start)) from None
    environment, bool_, dyn = _environment(names)
    try:
        expression = environment.compile(source)
    except RuntimeError as e:
        found = _PLACE.search(str(e))
        if found is None:
            nested = "recursion limit" in str(e)
            raise ConditionError("it nests too deep" if nested else "it does not compile") from None
        raise ConditionError(found[3], int(found[1]), int(found[2])) from None
    kind = expression.return_type()
    if kind not in (bool_, dyn):
        raise ConditionError(f"it comes to a value of the kind {kind.name().lower()}; it must be true or false", 1, 1)
    try:
        shape = shape_of(expression.serialize(), frozenset(names))
    except ValueError as e:
        raise ConditionError(str(e)) from None
    return Condition(source, expression, shape)


@lru_cache(maxsize=8)
def _environment(names: tuple[str, ...]) -> tuple[cel.Env, cel.Type, cel.Type]:
    try:
        from cel_expr_python import cel
    except ModuleNotFoundError as e:
        if e.name is None or e.name.partition(".")[0] != "cel_expr_python":
            raise
        detail = "conditions need the extra 'conditions': pip install 'query-hook-gateway[conditions]'"
        raise ConditionError(detail) from None
    return cel.NewEnv(variables=dict.fromkeys(names, cel.Type.DYN)), cel.Type.BOOL, cel.Type.DYN


def _place(source: str, at: int) -> tuple[int, int]:
    before = source[:at]
    return before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1


def _written(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError as e:
        raise ConditionFailed(f"The condition has no answer here: a value cannot be written as JSON ({e}).") from None
