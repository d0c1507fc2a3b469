"""JSON as a node's own library (serde_json) reads and writes it, for texts that quote a client's values.

Only error paths come here: the fast path never needs to know that `-0` is a float there or how a float is spelled.
"""

from __future__ import annotations

import json
from typing import Any, Final

import orjson

_LEAST: Final = -(1 << 63)
_MOST: Final = (1 << 64) - 1
_LONGEST_INTEGER: Final = 20


class Members(list[tuple[str, Any]]):
    """The members of an object in the order in which they were sent, duplicates and all."""

    __slots__ = ()

    def as_dict(self) -> dict[str, Any]:
        """The members once each: the last value of a name counts, at the place where the name came first."""
        return {name: plain(value) for name, value in self}


def parse(text: bytes) -> Any:
    """A JSON text, known to be valid, with objects as `Members`; integers beyond 64 bits and `-0` become floats."""
    return json.loads(text, parse_int=_integer, object_pairs_hook=Members)


def plain(value: Any) -> Any:
    """`value` with `dict` for every `Members` in it."""
    if isinstance(value, Members):
        return value.as_dict()
    if isinstance(value, list):
        return [plain(element) for element in value]
    return value


def dump(value: Any) -> str:
    """`value`, of plain types, as compact JSON in serde_json's spelling."""
    if isinstance(value, float):
        return orjson.dumps(value).decode().replace("e+", "e")
    if isinstance(value, dict):
        return "{" + ",".join(f"{dump(name)}:{dump(member)}" for name, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(dump, value)) + "]"
    return orjson.dumps(value).decode()


def _integer(digits: str) -> int | float:
    if len(digits) > _LONGEST_INTEGER:
        return float(digits)
    value = int(digits)
    if value == 0 and digits[0] == "-":
        return -0.0
    return value if _LEAST <= value <= _MOST else float(digits)
