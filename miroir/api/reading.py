"""Reading what a client sent: JSON bodies and query parameters, refused in a node's words.

A body that we cannot read is shown to a node, aimed at an index that does not exist, and the node's refusal is passed
on: its texts are its own business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NoReturn, Self, TypeVar

import orjson

from miroir.api.messages import Request
from miroir.cluster import Verdicts
from miroir.errors import ApiError, miroir_error, node_error
from miroir.indexes import Index, Registry, check_uid
from miroir.ingest import is_too_deep
from miroir.nodes import NodeCall

Value = TypeVar("Value")

_NO_CODES: Final[Mapping[str, str]] = {}
_TYPOS: Final = ((3, 0), (7, 1), (12, 2), (17, 3), (24, 4))
"""Bytes a name has at most, and how far off it may be to be taken for another: a node's own rule."""
_MOST_TYPOS: Final = 5
_MINUS_ZERO: Final = re.compile(rb"-0(?![0-9.eE])")
"""It may stand in a string, or be an exponent."""
_STRING_OR_MINUS_ZERO: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|(?<![eE])-0(?![0-9.eE])', re.DOTALL)
_DEPTH: Final = 127
"""Arrays and objects within each other that a node reads."""

NULL_FILTER: Final = "Invalid syntax for the filter parameter: `expected String, Array, found: null`."
"""What a node says of `filter=null` in a query. In a body null is no filter at all."""


async def refuse_body(verdicts: Verdicts, request: Request, template: str) -> NoReturn:
    """Raise a node's refusal of this request's body. `template` has `{index}` where the index stands."""
    call = NodeCall(
        "verdict",
        request.method,
        template,
        request.body,
        request.headers.get(b"content-type", b""),
        request.headers.get(b"content-encoding", b""),
    )
    await verdicts.refuse(call, request.params[0] if request.params else "")


async def json_object(verdicts: Verdicts, request: Request, template: str) -> dict[str, Any]:
    """The body as a JSON object, or a node's refusal of it. Numbers beyond 64 bits are floats here."""
    value = await json_value(verdicts, request, template)
    if not isinstance(value, dict):
        await refuse_body(verdicts, request, template)
    return value


async def json_value(verdicts: Verdicts, request: Request, template: str) -> Any:
    """The body as any JSON value, or a node's refusal of what is none."""
    content_type = request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if content_type == b"application/json":
        with suppress(ValueError):
            return read_json(await unpacked_body(verdicts, request, template))
    return await refuse_body(verdicts, request, template)


async def unpacked_body(verdicts: Verdicts, request: Request, template: str) -> bytes:
    """The body as it was before it was compressed, or a node's refusal of what is not in its `Content-Encoding`."""
    try:
        return await request.plain_body()
    except ApiError as failure:
        if failure.status != 400:
            raise
    return await refuse_body(verdicts, request, template)


def read_json(text: bytes) -> Any:
    """A JSON text as a value; `ValueError` for what is none, and for one that is nested deeper than a node reads.

    `-0` is a float, as to a node (serde_json), and so no natural number and no document's id.
    """
    value = orjson.loads(text)
    if _MINUS_ZERO.search(text):
        value = orjson.loads(_STRING_OR_MINUS_ZERO.sub(_as_float, text))
    if is_too_deep(text, _DEPTH):
        raise ValueError("nested too deep")
    return value


def _as_float(found: re.Match[bytes]) -> bytes:
    return b"-0.0" if found[0] == b"-0" else found[0]


class Query:
    """A query string's members. `with Query(...) as query:` ends with the refusal of the first that is wrong, in the
    order in which they were sent, as a node reads them; one that is not known is wrong.
    """

    def __init__(
        self, request: Request, known: Sequence[str], family: str, codes: Mapping[str, str] = _NO_CODES
    ) -> None:
        """`family`: the middle of the error codes, `invalid_{family}_{name}`; `codes`: those made otherwise."""
        self._values = dict(request.query())
        self._family = family
        self._codes = codes
        self._refusals = {
            name: node_error(400, "bad_request", f"Unknown parameter `{name}`: {_expected(name, known)}")
            for name in self._values
            if name not in known
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for name in self._values if kind is None else ():
            if name in self._refusals:
                raise self._refusals[name]

    def text(self, name: str) -> str | None:
        """As sent."""
        return self._values.get(name)

    def number(self, name: str, default: int) -> int:
        """A number from 0 to 2^64 - 1."""
        return self._read(name, default, parse_number)

    def optional_uid(self, name: str) -> int | None:
        """A task's uid, None when absent."""
        return self._read(name, None, parse_uid)

    def boolean(self, name: str, default: bool) -> bool:
        """`true` or `false`."""
        return self._read(name, default, parse_boolean)

    def listed(self, name: str, parse: Callable[[str], Value], *, star: bool = True) -> list[Value] | None:
        """Comma-separated values, empty ones left out; None when absent, and for a `*` among them (`star`): all."""
        text = self._values.get(name)
        if text is None:
            return None
        parts = [part for part in text.split(",") if part]
        values = []
        for place, part in enumerate(parts):
            if star and part == "*":
                continue
            try:
                values.append(parse(part))
            except ValueError as failure:
                self.refuse(name, f"Invalid value in parameter `{name}{_place(place, parts)}`: {failure}")
                return None
        return None if star and "*" in parts else values

    def refuse(self, name: str, message: str) -> None:
        """Let it end with this refusal, unless one that was sent before it is wrong too."""
        code = self._codes.get(name) or f"invalid_{self._family}_{_snake(name)}"
        self._refusals[name] = node_error(400, code, message)

    def _read(self, name: str, default: Value, parse: Callable[[str], Value]) -> Value:
        text = self._values.get(name)
        if text is None:
            return default
        try:
            return parse(text)
        except ValueError as failure:
            self.refuse(name, f"Invalid value in parameter `{name}`: {failure}")
            return default


def _place(place: int, parts: Sequence[str]) -> str:
    return f"[{place}]" if len(parts) > 1 else ""


def parse_number(text: str, bits: int = 64) -> int:
    """A non-negative integer of so many bits; `ValueError` in a node's words otherwise."""
    digits = text.removeprefix("+")
    if digits.isascii() and digits.isdigit() and len(digits.lstrip("0")) <= 20 and int(digits) < 1 << bits:
        return int(digits)
    raise ValueError(f"could not parse `{text}` as a positive integer")


def parse_uid(text: str) -> int:
    """A task's uid: 32 bits, as on a node."""
    return parse_number(text, 32)


def unknown_field(name: str, known: Sequence[str], inside: str = "") -> ApiError:
    """400 for a member of a body that no node knows; `inside`: what tells where, if it is not the top."""
    return node_error(400, "bad_request", f"Unknown field `{name}`{inside}: {_expected(name, known)}")


def _expected(name: str, known: Sequence[str]) -> str:
    meant = _meant(name, known)
    hint = f"did you mean `{meant}`? " if meant else ""
    return f"{hint}expected one of {', '.join(f'`{each}`' for each in known)}"


def _meant(name: str, known: Sequence[str]) -> str | None:
    """Which name was meant: the nearest, if a name of that length may be so far off."""
    allowed = next((typos for length, typos in _TYPOS if len(name.encode()) <= length), _MOST_TYPOS)
    nearest = min(known, key=lambda each: _distance(name, each))
    return nearest if 0 < allowed >= _distance(name, nearest) else None


def _distance(one: str, other: str) -> int:
    """Letters to add, drop, exchange or swap with their neighbour (Damerau 1964, optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        before_that, before, row = before, row, [i]
        for j, wanted in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, before_that[j - 2] + 1)
            row.append(cost)
    return row[-1]


def parse_boolean(text: str) -> bool:
    """`true` or `false`; `ValueError` in a node's words otherwise."""
    if text in ("true", "false"):
        return text == "true"
    raise ValueError(f"could not parse `{text}` as a boolean, expected either `true` or `false`")


def json_or_text(text: str) -> Any:
    """A filter in a query: JSON if it is any, else a text."""
    try:
        return read_json(text.encode())
    except ValueError:
        return text


def sort_criteria(text: str) -> list[str]:
    """The criteria in a query, apart at commas but for those inside `_geoPoint(...)`, as a node reads them."""
    parts: list[str] = []
    in_point = False
    for part in map(str.strip, text.strip('"').split(",")):
        if in_point:
            parts[-1] += f",{part}"
            in_point = not part.endswith(("):asc", "):desc"))
        else:
            parts.append(part)
            in_point = part.startswith("_geoPoint(")
    return parts


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def is_count(body: Mapping[str, Any], name: str) -> bool:
    """Whether a member is absent or a number that counts."""
    value = body.get(name, 0)
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def known_index(registry: Registry, uid: str) -> Index:
    """The index a read is about; without one, first what is wrong with the name, then that it is not there."""
    index = registry.find_for_reads(uid)
    if index is None:
        check_uid(uid)
        return registry.get_for_reads(uid)
    return index


def no_node(what: str) -> ApiError:
    """503: nobody there to ask."""
    return miroir_error("miroir_shard_unavailable", f"No node can be reached to ask for {what}.")
