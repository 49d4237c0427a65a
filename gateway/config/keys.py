"""The list of settings, read off the models: their keys, their variables, their words in the reference."""

from __future__ import annotations

import types
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

from gateway.config.routes import Selector
from gateway.config.settings import Settings
from gateway.config.values import Address

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pydantic.fields import FieldInfo

ENV_PREFIX: Final = "GATEWAY_"
Kind = Literal["text", "number", "switch", "texts", "tables"]


@dataclass(frozen=True, slots=True)
class SettingDescription:
    """One line of the reference of settings.

    `key` is the path in the TOML file (`calls.timeout_ms`; `routes[].path` for a key of each route), `env`
    the variable, `type` and `default` are words for people, `kind` is how the variable's text is read.
    """

    key: str
    env: str
    type: str
    default: str
    meaning: str
    kind: Kind


def describe() -> tuple[SettingDescription, ...]:
    """Every setting, in the order of the file."""
    return tuple(_describe(Settings, "", ENV_PREFIX))


def _describe(model: type[BaseModel], key_prefix: str, env_prefix: str) -> Iterator[SettingDescription]:
    for name, field in model.model_fields.items():
        key, env, annotation = key_prefix + name, env_prefix + name.upper(), _bare(field.annotation)
        if _is_section(annotation):
            yield from _describe(annotation, key + ".", env + "__")
            continue
        kind, words = _kind_and_words(annotation)
        yield SettingDescription(key, env, words, _default_words(field), field.description or "", kind)
        if kind == "tables":
            for part in _describe(get_args(annotation)[0], key + "[].", ""):
                yield SettingDescription(part.key, f"{env} (JSON)", part.type, part.default, part.meaning, part.kind)


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation is not Selector


def _bare(annotation: Any) -> Any:
    """`X` out of `X | None` and `Annotated[X, …]`."""
    while True:
        if hasattr(annotation, "__metadata__"):
            annotation = annotation.__origin__
        elif get_origin(annotation) in {Union, types.UnionType}:
            annotation = next(a for a in get_args(annotation) if a is not types.NoneType)
        else:
            return annotation


def _kind_and_words(annotation: Any) -> tuple[Kind, str]:
    if get_origin(annotation) is tuple:
        if _is_section(_bare(get_args(annotation)[0])):
            return "tables", "list of tables"
        if _bare(get_args(annotation)[0]) is int:
            return "texts", "list of whole numbers"
        return "texts", "list of texts"
    if get_origin(annotation) is Literal:
        return "text", " | ".join(f'"{choice}"' for choice in get_args(annotation))
    if annotation is Selector:
        return "text", "text or table"
    if get_origin(annotation) is dict:
        return "text", "table"
    words: dict[Any, tuple[Kind, str]] = {
        int: ("number", "whole number"),
        bool: ("switch", "true | false"),
        Address: ("text", "host:port, unix:/path"),
        Path: ("text", "path"),
    }
    return words.get(annotation, ("text", "text"))


def _default_words(field: FieldInfo) -> str:
    if field.is_required():
        return "(required)"
    value = field.default
    if value is None:
        return "(unset)"
    if isinstance(value, Selector):
        value = value.fixed
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(_item_words(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{}"
    return str(value) if isinstance(value, int) else f'"{value}"'


def _item_words(item: object) -> str:
    return "…" if isinstance(item, SecretStr) else str(item) if isinstance(item, int) else f'"{item}"'


def nearest_key(location: Sequence[str | int]) -> str:
    """The setting that someone who wrote the unknown key at `location` most likely meant, as a key path."""
    model, path = _section_at(location[:-1])
    wrong = str(location[-1])
    sibling = nearest(wrong, model.model_fields, at_least=0.6)
    if sibling is not None:
        return path + sibling
    keys = {line.key for line in describe()}
    by_last_part = {key.rpartition(".")[2]: key for key in sorted(keys, reverse=True)}
    last = nearest(wrong, by_last_part, at_least=0.7)
    if last is not None:
        return by_last_part[last]
    return nearest(path + wrong, keys) or ""


def _section_at(location: Sequence[str | int]) -> tuple[type[BaseModel], str]:
    """The model that describes the table at `location`, and the key path that leads to its keys."""
    model: type[BaseModel] = Settings
    path = ""
    for part in location:
        if isinstance(part, int):
            path = f"{path.removesuffix('.')}[{part}]."
            continue
        path += f"{part}."
        if model is Selector:  # the name of one of the params; their selectors are alike
            continue
        annotation = _bare(model.model_fields[part].annotation)
        if get_origin(annotation) is tuple:
            annotation = _bare(get_args(annotation)[0])
        model = annotation
    return model, path


def nearest(wrong: str, known: Iterable[str], *, at_least: float = 0.0) -> str | None:
    """The one of `known` that looks most like `wrong`; `None` if none is similar enough (0 … 1)."""
    scored = [(SequenceMatcher(None, wrong.lower(), name.lower()).ratio(), name) for name in sorted(known)]
    score, name = max(scored, default=(0.0, ""))
    return name if scored and score >= at_least else None
