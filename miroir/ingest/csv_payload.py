"""CSV as a node reads it: a header of names and types, a document for each record that follows.

The rules are those of Rust's `csv` crate, which Python's reader shares (a quote counts only where a field begins, an
open one ends with the payload, empty lines are nothing), and of its number parsers, which Python's do not share.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson

from miroir.ingest.unjudged import Unjudged

# The limit is Python's, for the whole process, and 128 KiB; a body is bounded long before it comes here.
csv.field_size_limit((1 << 31) - 1)

_BOM: Final = b"\xef\xbb\xbf"
_LINE_ENDS: Final = frozenset("\r\n")
# White space as Unicode has it. `str.strip` would also take U+001C to U+001F.
_SPACE: Final = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,40}", re.ASCII)
_FLOAT: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?", re.ASCII | re.IGNORECASE)
_NOT_FINITE: Final = re.compile(r"[+-]?(?:inf|infinity|nan)", re.ASCII | re.IGNORECASE)
_LEAST: Final = -(1 << 63)
_MOST: Final = (1 << 63) - 1

_Reader = Callable[[str], Any]


def read_csv(body: bytes, delimiter: str | None) -> list[bytes]:
    """The records as JSON objects; `Unjudged` for what a node refuses.

    `delimiter` is one ASCII character, a comma if None.
    """
    try:
        text = body.removeprefix(_BOM).decode()
    except UnicodeDecodeError as error:
        raise Unjudged(f"not UTF-8: {error.reason} at {error.start}") from None
    mark = delimiter or ","
    if mark in _LINE_ENDS:
        raise Unjudged("a delimiter that ends lines")
    values = []
    try:
        records = _records(text, mark)
        header = next((record for record in records if record), [])
        columns = [_column(name) for name in header]
        width = len(columns)
        for record in records:
            if not record:
                continue
            if len(record) != width:
                raise Unjudged("records of unequal length")
            values.append({name: read(field) for (name, read), field in zip(columns, record, strict=True)})
    except (csv.Error, ValueError) as error:
        raise Unjudged(f"not CSV to us: {error}") from None
    return list(map(orjson.dumps, values))


def _records(text: str, mark: str) -> Iterator[list[str]]:
    lines = io.StringIO(text, newline="")
    if mark == '"':
        return csv.reader(lines, delimiter=mark, quoting=csv.QUOTE_NONE)
    return csv.reader(lines, delimiter=mark)


def _column(header: str) -> tuple[str, _Reader]:
    """Name and type of a column: the type behind the last colon, if it is one; else all of it is the name."""
    name, colon, kind = header.rpartition(":")
    reader = _TYPES.get(kind) if colon else None
    return (name, reader) if reader else (header, _text)


def _text(field: str) -> str | None:
    return field or None


def _number(field: str) -> int | float | None:
    text = field.strip(_SPACE)
    if not text:
        return None
    if _INTEGER.fullmatch(text) and _LEAST <= (value := int(text)) <= _MOST:
        return value
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else None
    if _NOT_FINITE.fullmatch(text):
        return None
    raise ValueError(f"no number: {field!r}")


def _boolean(field: str) -> bool | None:
    text = field.strip(_SPACE)
    if not text:
        return None
    if text not in ("true", "false"):
        raise ValueError(f"no boolean: {field!r}")
    return text == "true"


_TYPES: Final[dict[str, _Reader]] = {"string": _text, "number": _number, "boolean": _boolean}
