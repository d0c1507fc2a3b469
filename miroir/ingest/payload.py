"""Document payloads: from a body as the client sent it to its documents, each as bytes and as a value.

The bytes are what nodes get, so that numbers arrive as they were sent. The values are for reading keys and ids.
Everything here is judged for the whole payload: a node applies one wholly or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat
from typing import Any, Final

import msgspec
import orjson

from miroir.errors import ApiError, node_error
from miroir.ingest.content import Format, check_content_type, check_json_content_type
from miroir.ingest.csv_payload import read_csv
from miroir.ingest.encoding import decompress, payload_too_large
from miroir.ingest.ndjson import read_ndjson
from miroir.ingest.unjudged import Unjudged, is_too_deep

__all__ = [
    "Format",
    "Payload",
    "Unjudged",
    "check_content_type",
    "check_json_content_type",
    "decode_payload",
    "payload_too_large",
]

_SPACE: Final = b" \t\r\n"
# A node reads a document of a list member by member and each member 127 levels deep; a lone one as a whole.
_LISTED_DEPTH: Final = 128
_LONE_DEPTH: Final = 127

_SPLIT: Final = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Payload:
    """The documents of one request, in the client's order.

    `documents`: each a JSON object as sent, braces first and last. `values`: the same decoded, the last of equal names
    winning; integers beyond 64 bits are floats there and `-0` is `0`. `single`: the body was one object, not a list.
    """

    format: Format
    documents: list[bytes]
    values: list[dict[str, Any]]
    single: bool = False


def decode_payload(
    body: bytes, form: Format, *, encoding: bytes | None = None, csv_delimiter: str | None = None, max_bytes: int
) -> Payload:
    """Read a body: out of its `Content-Encoding`, then as `form`. `csv_delimiter` has passed `check_content_type`.

    `ApiError` 400 `missing_payload`, `malformed_payload`, `bad_request` (encoding) and 413 `payload_too_large`
    (`max_bytes` counts plain bytes), as a node answers; `Unjudged` where only a node can say.
    """
    plain = decompress(body, encoding, max_bytes=max_bytes)
    if not plain:
        raise node_error(400, "missing_payload", f"A {form.value} payload is missing.")
    if form is Format.JSON:
        return _read_json(plain)
    documents, values = read_ndjson(plain) if form is Format.NDJSON else read_csv(plain, csv_delimiter)
    _check_depth(documents, _LISTED_DEPTH)
    return Payload(form, documents, values)


def _read_json(body: bytes) -> Payload:
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
        return Payload(Format.JSON, [document], [value], single=True)
    if not isinstance(value, list):
        raise _neither_object_nor_list()
    if not set(map(type, value)) <= {dict}:
        raise Unjudged("not every element is an object")
    try:
        documents = list(map(bytes, _SPLIT.decode(body)))
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Unjudged(f"the list cannot be taken apart: {error}") from None
    _check_depth(documents, _LISTED_DEPTH)
    return Payload(Format.JSON, documents, value)


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
    most = sum(max(map(bytes.count, documents, repeat(bracket)), default=0) for bracket in (b"{", b"["))
    if most > limit and any(is_too_deep(document, limit) for document in documents):
        raise Unjudged("a document nested deeper than a node indexes", task=True)


def _neither_object_nor_list() -> ApiError:
    message = (
        "The `json` payload provided is malformed. `Couldn't serialize document value: data are neither an object "
        "nor a list of objects`."
    )
    return node_error(400, "malformed_payload", message)
