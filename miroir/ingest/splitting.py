"""Documents out of a body without decoding them, and single members out of documents.

Making Python objects of a whole payload, only to read its ids, took four fifths of what a write costs here. Instead two
strict parsers look at the bytes and make nothing: msgspec says where each document begins and ends and knows all of
JSON's grammar, but takes any bytes for text and any number for a number; simdjson refuses what is no UTF-8 and what no
double holds. What either refuses, and integers beyond 64 bits, which simdjson cannot hold, is no verdict: whoever calls
decodes it the long way.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, TypeAlias

import msgspec
import orjson
import simdjson

_SPLIT: Final = msgspec.json.Decoder(list[msgspec.Raw])
_ONE: Final = msgspec.json.Decoder(msgspec.Raw)
_MEMBERS: Final = tuple(attrgetter(f"m{number}") for number in range(8))
_BRACE: Final = ord("{")
# Letters, digits and most signs of ASCII need no escape; spelled with one they would hide a name from a search.
_ESCAPE: Final = b"\\u00"
_OF_ASCII: Final = frozenset(b"234567")
Column: TypeAlias = list[Any]  # of msgspec.Raw, and msgspec.UNSET where a document has no such member
_MOST_BYTES: Final = 0xFFFFFFFF - 4096  # what simdjson can look at


def split_list(body: bytes) -> list[bytes] | None:
    """The objects of a JSON list, each as it was sent, braces first and last; None if it is not surely one."""
    try:
        parts = _SPLIT.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return None
    documents = list(map(bytes, parts))
    return documents if _are_objects(documents) and _is_sound(body) else None


def are_documents(texts: Sequence[bytes]) -> bool:
    """Whether each is surely one JSON object without space around it."""
    try:
        for text in texts:
            _ONE.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return _are_objects(texts) and _is_sound(b"[" + b",".join(texts) + b"]")


def columns(documents: Sequence[bytes], names: tuple[str, ...], without: frozenset[str]) -> dict[str, Column] | None:
    """The members of these names of every document, undecoded, the last if there are several of one name.

    None if that cannot be told, or if some document has a member named in `without`. `documents` are known to be JSON
    objects.
    """
    look = _look_for(names, without)
    if look is None:
        return None
    try:
        seen = list(map(look.decode, documents))
    except msgspec.ValidationError:
        return None
    return {name: list(map(member, seen)) for name, member in zip(names, _MEMBERS, strict=False)}


def decoded(column: Column, missing: object) -> list[Any]:
    """The values of a column; `missing` for the documents that have none."""
    here = column if msgspec.UNSET not in column else [value for value in column if value is not msgspec.UNSET]
    values: list[Any] = orjson.loads(b"[" + b",".join(here) + b"]")
    if here is column:
        return values
    following = iter(values)
    return [missing if value is msgspec.UNSET else next(following) for value in column]


def spells_plainly(text: bytes) -> bool:
    """Whether every letter of ASCII in it stands for itself, so that a plain name can be searched for in the bytes."""
    if b"\\" not in text:
        return True
    _, *behind = text.split(_ESCAPE)
    return _OF_ASCII.isdisjoint(rest[0] for rest in behind if rest)


def _are_objects(texts: Sequence[bytes]) -> bool:
    return {text[0] for text in texts} <= {_BRACE}


def _is_sound(body: bytes) -> bool:
    if len(body) > _MOST_BYTES:
        return False
    try:
        simdjson.Parser().parse(body)
    except (ValueError, RuntimeError):
        return False
    return True


@lru_cache(maxsize=256)
def _look_for(names: tuple[str, ...], without: frozenset[str]) -> msgspec.json.Decoder[Any] | None:
    """Reads an object's members of these names, passes over all others, and fails over one it must not have."""
    wanted = {f"m{number}": name for number, name in enumerate(names)}
    unwanted = {f"n{number}": name for number, name in enumerate(sorted(without.difference(names)))}
    fields: list[tuple[str, Any, Any]] = [(field, msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for field in wanted]
    fields += [(field, msgspec.UnsetType, msgspec.UNSET) for field in unwanted]
    try:
        return msgspec.json.Decoder(msgspec.defstruct("Look", fields, rename=wanted | unwanted))
    except ValueError:  # a name twice, or one with quotes, backslashes or control characters
        return None
