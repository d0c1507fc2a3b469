"""Document payloads: from a body as the client sent it to its documents, as bytes and, where it must be, as values.

The bytes are what nodes get, so that numbers arrive as they were sent. Of the values only single members are needed
(ids, places, vectors) unless something is odd. Everything here is judged for the whole payload: a node applies one
wholly or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat
from typing import Any, Final

import msgspec
import orjson

from miroir.errors import ApiError, node_error
from miroir.ingest.content import Format, check_content_type, check_json_content_type
from miroir.ingest.csv_payload import read_csv
from miroir.ingest.ndjson import read_ndjson
from miroir.ingest.splitting import Column, columns, decoded, spells_plainly, split_list
from miroir.ingest.unjudged import Unjudged, is_too_deep

__all__ = [
    "Format",
    "Payload",
    "Unjudged",
    "check_content_type",
    "check_json_content_type",
    "decode_payload",
]

_SPACE: Final = b" \t\r\n"
# A node reads a document of a list member by member and each member 127 levels deep; a lone one as a whole.
_LISTED_DEPTH: Final = 128
_LONE_DEPTH: Final = 127

_SPLIT: Final = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True)
class Payload:
    """The documents of one request, in the client's order.

    `documents`: each a JSON object as sent, braces first and last. `text`: what they were cut from. `single`: the body
    was one object, not a list.
    """

    format: Format
    documents: list[bytes]
    text: bytes
    single: bool = False
    _columns: dict[str, Column] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def values(self) -> list[dict[str, Any]]:
        """The documents decoded: of equal names the last counts, integers beyond 64 bits are floats, `-0` is `0`."""
        return list(map(orjson.loads, self.documents))

    @cached_property
    def spelled_plainly(self) -> bool:
        """Whether a plain name can be searched for in the documents' bytes."""
        return spells_plainly(self.text)

    def look_at(self, names: tuple[str, ...], *, without: frozenset[str]) -> bool:
        """Find these members of all documents in one go; False if that cannot be done, or a name in `without` is there.

        A lone object is not looked at: a node reads it by other rules.
        """
        found = None if self.single else columns(self.documents, names, without)
        if found is not None:
            self._columns.update(found)
        return found is not None

    def members(self, name: str, missing: object = None) -> list[Any]:
        """The member of that name of each document, decoded; `missing` for those that have none."""
        column = self._columns.get(name)
        if column is None:
            return [value.get(name, missing) for value in self.values]
        return decoded(column, missing)


def decode_payload(plain: bytes, form: Format, *, csv_delimiter: str | None = None) -> Payload:
    """Read a body, out of its `Content-Encoding`, as `form`. `csv_delimiter` has passed `check_delimiter`.

    `ApiError` 400 `missing_payload` and `malformed_payload`, as a node answers; `Unjudged` where only a node can say.
    """
    if not plain:
        raise node_error(400, "missing_payload", f"A {form.value} payload is missing.")
    if form is Format.JSON:
        return _read_json(plain)
    documents = read_ndjson(plain) if form is Format.NDJSON else read_csv(plain, csv_delimiter)
    _check_depth(documents, _LISTED_DEPTH)
    return Payload(form, documents, plain)


def _read_json(body: bytes) -> Payload:
    split = split_list(body)
    if split is not None:
        _check_depth(split, _LISTED_DEPTH)
        return Payload(Format.JSON, split, body)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        listed = _list_before_rubbish(body)
        if listed is None:
            raise Unjudged(f"not JSON to us: {error}") from None
        body, value = listed
    if isinstance(value, dict):
        document = body.strip(_SPACE)
        if is_too_deep(document, _LONE_DEPTH):
            raise Unjudged("an object nested deeper than a node reads")
        return Payload(Format.JSON, [document], document, single=True)
    if not isinstance(value, list):
        raise _neither_object_nor_list()
    if not set(map(type, value)) <= {dict}:
        raise Unjudged("not every element is an object")
    try:
        documents = list(map(bytes, _SPLIT.decode(body)))
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Unjudged(f"the list cannot be taken apart: {error}") from None
    _check_depth(documents, _LISTED_DEPTH)
    return Payload(Format.JSON, documents, body)


def _list_before_rubbish(body: bytes) -> tuple[bytes, list[Any]] | None:
    """A node stops reading behind the bracket that closes a list; whatever follows is nothing to it."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        text = body[: error.start].decode()
        if _loads_list(text) is not None:
            return text.encode(), orjson.loads(text)
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError as error:
        text = text[: error.pos]
    value = _loads_list(text)
    return None if value is None else (text.encode(), value)


def _loads_list(text: str) -> list[Any] | None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, list) else None


def _check_depth(documents: list[bytes], limit: int) -> None:
    """`Unjudged` if a document is nested deeper than a node can index: it answers 202 and fails the task."""
    if max(map(len, documents), default=0) <= 2 * limit:
        return  # too short for so many brackets, each of which is closed again
    most = sum(max(map(bytes.count, documents, repeat(bracket)), default=0) for bracket in (b"{", b"["))
    if most > limit and any(is_too_deep(document, limit) for document in documents):
        raise Unjudged("a document nested deeper than a node indexes", task=True)


def _neither_object_nor_list() -> ApiError:
    message = (
        "The `json` payload provided is malformed. `Couldn't serialize document value: data are neither an object "
        "nor a list of objects`."
    )
    return node_error(400, "malformed_payload", message)
