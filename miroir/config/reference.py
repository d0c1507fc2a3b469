"""The tables of `docs/configuration.md`, made from the models so that they cannot lie.

`python -m miroir.config.reference docs/configuration.md` writes them between the two marks of that file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from miroir.config.base import Section
from miroir.config.model import Config
from miroir.config.schema import accepts_none, as_section, bare
from miroir.config.unbuilt import UNBUILT, UNBUILT_KEYS

BEGIN: Final = "<!-- begin: generated from the models -->"
END: Final = "<!-- end: generated from the models -->"

_HEAD: Final = "| key | default | values | meaning |\n| --- | --- | --- | --- |"
_UNBOUNDED: Final = 2**53 - 1


def tables() -> str:
    """Every knob, section by section, as Markdown."""
    top = {name: field for name, field in Config.model_fields.items() if as_section(field.annotation) is None}
    parts = ["### Top level", _HEAD + "".join("\n" + _row(name, field) for name, field in top.items())]
    for name, field in top.items():
        parts.extend(_entries(name, field))
    for name, field in Config.model_fields.items():
        section = as_section(field.annotation)
        if section is not None:
            rows = "".join("\n" + row for row in _rows(section, ""))
            parts += [f"### `{name}`", _meaning(section), *_not_built(name), _HEAD + rows]
            parts.extend(_entry_tables(section, name))
    return "\n\n".join(parts)


def page(text: str) -> str:
    """`text` with the tables between its marks made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


def _not_built(name: str) -> list[str]:
    if name in UNBUILT:
        return ["*Not built yet: accepted and checked, without effect.*"]
    keys = ", ".join(f"`{key}`" for key in sorted(UNBUILT_KEYS.get(name, ())))
    return [f"*Not built yet, accepted without effect: {keys}.*"] if keys else []


def _rows(section: type[Section], prefix: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        below = as_section(field.annotation)
        if below is None:
            yield _row(f"{prefix}{name}", field)
        else:
            yield from _rows(below, f"{prefix}{name}.")


def _row(name: str, field: FieldInfo) -> str:
    default = "required" if field.is_required() else f"`{json.dumps(field.default)}`"
    return f"| `{name}` | {default} | {_values(field)} | {field.description or ''} |"


def _values(field: FieldInfo) -> str:
    annotation = bare(field.annotation)
    optional = " or `null`" if accepts_none(field) else ""
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(annotation)) + optional
    if get_origin(annotation) is tuple:
        return "list"
    if get_origin(annotation) is dict:
        return "map"
    if annotation is bool:
        return "`true`, `false`" + optional
    if annotation in {int, float}:
        return _range(field, "whole number" if annotation is int else "number") + optional
    return "text" + optional if annotation is str else "text or whole number" + optional


def _range(field: FieldInfo, kind: str) -> str:
    marks = list(_marks(field.annotation, field.metadata))
    least = next((mark.ge for mark in marks if hasattr(mark, "ge")), None)
    most = [mark.le for mark in marks if hasattr(mark, "le") and mark.le not in {_UNBOUNDED, 1e12, 1e6}]
    if most:
        return f"{kind}, {least} to {min(most)}"
    return f"{kind}, from {least}"


def _marks(annotation: Any, metadata: Iterable[Any]) -> Iterator[Any]:
    """The bounds of a number, also where pydantic leaves them inside: in `Annotated[...] | None`."""
    for mark in metadata:
        yield from mark.metadata if isinstance(mark, FieldInfo) else (mark,)
    for member in get_args(annotation):
        yield from _marks(member, getattr(member, "__metadata__", ()))


def _entry_tables(section: type[Section], path: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        below = as_section(field.annotation)
        if below is not None:
            yield from _entry_tables(below, f"{path}.{name}")
        else:
            yield from _entries(f"{path}.{name}", field)


def _entries(path: str, field: FieldInfo) -> Iterator[str]:
    """Tables for the sections inside a list or a map."""
    annotation = bare(field.annotation)
    if get_origin(annotation) not in {tuple, dict}:
        return
    of = "list" if get_origin(annotation) is tuple else "map"
    inner: Any = bare(get_args(annotation)[0 if of == "list" else 1])
    kinds = [as_section(inner)] if as_section(inner) else [as_section(member) for member in get_args(inner)]
    for kind in kinds:
        if kind is not None:
            rows = "".join("\n" + row for row in _rows(kind, ""))
            yield f"An entry of the {of} `{path}`. {_meaning(kind)}"
            yield _HEAD + rows


def _meaning(section: type[Section]) -> str:
    return (section.__doc__ or "").strip()


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(page(target.read_text(encoding="utf-8")), encoding="utf-8")
