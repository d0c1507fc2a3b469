"""Walking the models by name: what a dotted key stands for, and which known key is nearest to an unknown one."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import JsonValue
from pydantic.fields import FieldInfo

from miroir.config.base import MayHoldCredentials, Section
from miroir.config.model import Config


def bare(annotation: Any) -> Any:
    """The type below `Annotated` and `| None`."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in {Union, types.UnionType}:
            members = [member for member in get_args(annotation) if member is not type(None)]
            if len(members) != 1:
                return annotation
            annotation = members[0]
        else:
            return annotation


def as_section(annotation: Any) -> type[Section] | None:
    """The section a type is, if it is one."""
    annotation = bare(annotation)
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def accepts_none(field: FieldInfo) -> bool:
    """Whether `null` is a value of the field."""
    return type(None) in get_args(field.annotation)


def is_scalar(field: FieldInfo) -> bool:
    """Whether a value is one word: text, a number, a flag or one of a few names."""
    annotation = bare(field.annotation)
    return annotation in {str, int, float, bool} or get_origin(annotation) is Literal


def may_be_shown(field: FieldInfo) -> bool:
    """Whether a value may be repeated in an error: free text may be a secret that went astray, numbers are not."""
    shown = bare(field.annotation) in {int, float, bool} or get_origin(bare(field.annotation)) is Literal
    return shown and not any(isinstance(mark, MayHoldCredentials) for mark in field.metadata)


@dataclass(frozen=True, slots=True)
class Place:
    """A key of a configuration file: its dotted path as people write it, and what the models know about it."""

    path: str
    keys: tuple[str | int, ...]
    field: FieldInfo | None
    parent: type[Section] | None


def place_of(location: Sequence[str | int]) -> Place:
    """Where a validation error belongs. `location` is pydantic's, with tags of unions between the keys."""
    annotation: Any = Config
    keys: list[str | int] = []
    field: FieldInfo | None = None
    parent: type[Section] | None = None
    for part in location:
        annotation = bare(annotation)
        section = as_section(annotation)
        origin = get_origin(annotation)
        if section is not None:
            part = str(part)
            parent, field = section, section.model_fields.get(part)
            annotation = field.annotation if field else None
        elif origin is tuple:
            annotation, parent, field = get_args(annotation)[0], None, None
        elif origin is dict and part != "[key]":
            annotation, parent, field = get_args(annotation)[1], None, None
        elif origin in {Union, types.UnionType}:
            annotation = next((m for m in get_args(annotation) if part in {_tag(m), getattr(m, "__name__", "")}), None)
            continue
        elif part == "[key]":
            continue
        elif annotation is JsonValue:
            break  # what follows are pydantic's names for kinds of JSON, mixed with keys
        else:
            annotation, parent, field = None, None, None
        keys.append(part)
    return Place(dotted(keys), tuple(keys), field, parent)


def dotted(keys: Sequence[str | int]) -> str:
    """`nodes[1].id`"""
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
    return text


def field_at(names: Sequence[str]) -> FieldInfo | None:
    """The field of a dotted key made of section names only; `None` if there is no such key."""
    section: type[Section] | None = Config
    field: FieldInfo | None = None
    for name in names:
        field = section.model_fields.get(name) if section else None
        if field is None:
            return None
        section = as_section(field.annotation)
    return field


def nearest(names: Sequence[str], *, among: type[Section] | None = None) -> str:
    """The known dotted key nearest to an unknown one; there is always one.

    A sibling with a similar name is preferred, then the same name elsewhere, then whatever looks most alike.
    `among` is the section where the last name was looked for.
    """
    *before, last = names
    if among is not None:
        siblings = get_close_matches(last, list(among.model_fields), n=1)
        if siblings:
            return ".".join([*before, siblings[0]])
    elsewhere = [path for path in known_keys() if path.rpartition(".")[2] == last]
    alike = get_close_matches(".".join(names), elsewhere or known_keys(), n=1, cutoff=0.0)
    return alike[0]


@cache
def known_keys() -> tuple[str, ...]:
    """Every dotted key made of section names, sections included."""
    return tuple(_keys(Config, ""))


def _keys(section: type[Section], prefix: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield f"{prefix}{name}"
        below = as_section(field.annotation)
        if below is not None:
            yield from _keys(below, f"{prefix}{name}.")


def _tag(member: Any) -> str | None:
    section = as_section(member)
    kind = section.model_fields.get("type") if section else None
    return str(get_args(kind.annotation)[0]) if kind else None
