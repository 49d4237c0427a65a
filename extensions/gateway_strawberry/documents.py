"""What a resolver gives as a JSON document, and a document as what a resolver would have given.

A document has the names and the scalars of the GraphQL schema: objects have the fields that hold data (not those with a
resolver of their own), enums are names, and a value of an interface or a union tells its type in `__typename`. On the
way back what did not change is the very object that it was; so it keeps what the schema does not show of it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import orjson
from graphql import (
    GraphQLEnumType,
    GraphQLError,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLUnionType,
)
from strawberry.types import get_object_definition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from graphql import GraphQLOutputType, GraphQLSchema
    from strawberry.schema.config import StrawberryConfig

__all__ = ["Documents", "Misfit"]

TYPENAME: Final = "__typename"
_DEFINITION: Final = "strawberry-definition"


class Misfit(Exception):
    """A value or a document is not of the type that the schema says; the text says where and why."""


class Documents:
    """Converts the values of one schema."""

    def __init__(self, schema: GraphQLSchema, config: StrawberryConfig) -> None:
        self._schema = schema
        self._config = config

    def document(self, value: Any, type_: GraphQLOutputType, at: str = "") -> Any:
        """`value`, of the type `type_`, as JSON. Raises `Misfit`."""
        if isinstance(type_, GraphQLNonNull):
            if value is None:
                raise Misfit(f"{at or 'the value'} is null, which its type {type_} does not allow")
            return self.document(value, type_.of_type, at)
        if value is None:
            return None
        if isinstance(type_, GraphQLList):
            if not isinstance(value, (list, tuple)):
                raise Misfit(f"{at or 'the value'} is no list")
            return [self.document(each, type_.of_type, f"{at}/{number}") for number, each in enumerate(value)]
        if isinstance(type_, GraphQLObjectType):
            return {
                name: self.document(self._config.default_resolver(value, attribute), field, f"{at}/{name}")
                for name, attribute, field in _data(type_)
            }
        if isinstance(type_, (GraphQLInterfaceType, GraphQLUnionType)):
            concrete = self._concrete(self._name_of(value), type_, at)
            return {TYPENAME: concrete.name, **self.document(value, concrete, at)}
        return _written(value, type_, at)

    def value(self, document: Any, type_: GraphQLOutputType, before: Any, at: str = "") -> Any:
        """`document` as a value of the type `type_`, which was `before`. Raises `Misfit`."""
        if isinstance(type_, GraphQLNonNull):
            if document is None:
                raise Misfit(f"{at or 'the result'} is null, which its type {type_} does not allow")
            return self.value(document, type_.of_type, before, at)
        if document is None:
            return None
        if isinstance(type_, GraphQLList):
            return self._values(document, type_, before, at)
        if isinstance(type_, (GraphQLInterfaceType, GraphQLUnionType)):
            name = document.get(TYPENAME) if isinstance(document, dict) else None
            type_ = self._concrete(name, type_, at)
        if isinstance(type_, GraphQLObjectType):
            return self._object(document, type_, before, at)
        return _read(document, type_, at)

    def _values(self, document: Any, type_: GraphQLList[Any], before: Any, at: str) -> list[Any]:
        if not isinstance(document, list):
            raise Misfit(f"{at or 'the result'} must be a list")
        old = list(before) if isinstance(before, (list, tuple)) else []
        same = {self._key(each, type_.of_type): each for each in reversed(old)}
        aligned = len(old) == len(document)
        values = []
        for number, each in enumerate(document):
            key = orjson.dumps(each, option=orjson.OPT_SORT_KEYS)
            if key in same:
                values.append(same[key])
            else:
                counterpart = old[number] if aligned else None
                values.append(self.value(each, type_.of_type, counterpart, f"{at}/{number}"))
        return values

    def _key(self, value: Any, type_: GraphQLOutputType) -> bytes:
        return orjson.dumps(self.document(value, type_), option=orjson.OPT_SORT_KEYS)

    def _object(self, document: Any, type_: GraphQLObjectType, before: Any, at: str) -> Any:
        if not isinstance(document, dict):
            raise Misfit(f"{at or 'the result'} must be an object")
        fields = list(_data(type_))
        unknown = set(document) - {name for name, _, _ in fields} - {TYPENAME}
        if unknown:
            raise Misfit(f"{at}/{min(unknown)} is no field of {type_.name}")
        if before is not None and self._name_of(before) not in {None, type_.name}:
            before = None
        changed: dict[str, Any] = {}
        for name, attribute, field in fields:
            old = None if before is None else self._config.default_resolver(before, attribute)
            new = self.value(document.get(name), field, old, f"{at}/{name}")
            if before is None or new is not old:
                changed[attribute] = new
        return _made(type_, before, changed, at) if before is None or changed else before

    def _name_of(self, value: Any) -> str | None:
        definition = get_object_definition(type(value))
        return None if definition is None else self._config.name_converter.from_type(definition)

    def _concrete(self, name: str | None, type_: GraphQLInterfaceType | GraphQLUnionType, at: str) -> GraphQLObjectType:
        found = self._schema.get_type(name) if isinstance(name, str) else None
        if not isinstance(found, GraphQLObjectType) or not self._schema.is_sub_type(type_, found):
            raise Misfit(f"{at}/{TYPENAME} must name a type of {type_.name}")
        return found


def _data(type_: GraphQLObjectType) -> Iterator[tuple[str, str, GraphQLOutputType]]:
    """The fields that hold data: name in the schema, name of the attribute, type."""
    for name, field in type_.fields.items():
        definition = field.extensions.get(_DEFINITION)
        if definition is not None and definition.base_resolver is None:
            yield name, definition.python_name, field.type


def _made(type_: GraphQLObjectType, before: Any, changed: dict[str, Any], at: str) -> Any:
    """An object like `before` with these attributes, or one of them alone."""
    try:
        if before is None:
            return type_.extensions[_DEFINITION].origin(**changed)
        if dataclasses.is_dataclass(before) and not isinstance(before, type):
            return dataclasses.replace(before, **changed)
        if hasattr(before, "model_copy"):  # pydantic
            return type(before).model_validate({**before.model_dump(), **changed})
        return type_.extensions[_DEFINITION].origin(**changed)
    except (TypeError, ValueError) as error:
        raise Misfit(f"{at or 'the result'} cannot be made into a {type_.name}: {error}") from None


def _written(value: Any, type_: GraphQLOutputType, at: str) -> Any:
    assert isinstance(type_, (GraphQLScalarType, GraphQLEnumType))
    write = getattr(type_, "coerce_output_value", None) or type_.serialize  # the names of graphql-core 3.3 and 3.2
    try:
        return write(value)
    except (GraphQLError, TypeError, ValueError, AttributeError) as error:
        raise Misfit(f"{at or 'the value'} is no {type_.name}: {error}") from None


def _read(document: Any, type_: GraphQLOutputType, at: str) -> Any:
    assert isinstance(type_, (GraphQLScalarType, GraphQLEnumType))
    read = getattr(type_, "coerce_input_value", None) or type_.parse_value
    try:
        return read(document)
    except (GraphQLError, TypeError, ValueError, AttributeError) as error:
        raise Misfit(f"{at or 'the result'} is no {type_.name}: {error}") from None
