"""Document identifiers: which values may be one, what is said about the others, and ids to delete.

A node takes an integer within i64 or u64, or 1 to 511 letters of `[A-Za-z0-9_-]`, untrimmed. An integer and its decimal
text are the same document.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from typing import Any, Final

import orjson

from miroir.errors import ErrorBody, node_error
from miroir.ingest import json_text
from miroir.ingest.unjudged import Unjudged, is_too_deep

MAX_ID_BYTES: Final = 511

_LETTERS: Final = (string.ascii_letters + string.digits + "-_").encode()
_VALID: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_ID_BYTES}}}", re.ASCII)
_WHOLE_VALUE_DEPTH: Final = 127


def is_document_id(text: str) -> bool:
    """Whether a document can have this id."""
    return _VALID.fullmatch(text) is not None


def are_document_ids(texts: Sequence[str]) -> bool:
    """Whether all of `texts` are ids: `is_document_id` over a whole payload, at the speed of three passes in C."""
    if not texts:
        return True
    joined = "".join(texts)
    return (
        joined.isascii()
        and not joined.encode().translate(None, _LETTERS)
        and len(max(texts, key=len)) <= MAX_ID_BYTES
        and "" not in texts
    )


def id_text(value: Any) -> str | None:
    """The id that a decoded JSON value (by `json_text.parse`) stands for; None if it can be none."""
    if isinstance(value, str):
        return value if is_document_id(value) else None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def invalid_document_id(value: Any) -> ErrorBody:
    """The error of the task a node fails over such an id."""
    message = (
        f"Document identifier `{json_text.dump(json_text.plain(value))}` is invalid. A document identifier can be of "
        "type integer or string, only composed of alphanumeric characters (a-z A-Z 0-9), hyphens (-) and underscores "
        f"(_), and can not be more than {MAX_ID_BYTES} bytes."
    )
    return node_error(400, "invalid_document_id", message).body()


def read_ids(body: bytes) -> list[str]:
    """The ids of a `delete-batch` body, as texts in the client's order, duplicates kept.

    A node takes any array: what is no string stands for its JSON text, and an id no document can have deletes nothing.
    `ApiError` 400 `missing_payload`; `Unjudged` for everything a node refuses with a text only it knows.
    """
    if not body:
        raise node_error(400, "missing_payload", "A json payload is missing.")
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Unjudged(f"the ids are no JSON to us: {error}") from None
    if not isinstance(values, list):
        raise Unjudged("the ids are no array")
    if is_too_deep(body, _WHOLE_VALUE_DEPTH):
        raise Unjudged("the ids are nested deeper than a node reads")
    if set(map(type, values)) <= {str}:
        return values
    return [
        value if isinstance(value, str) else json_text.dump(value) for value in json_text.plain(json_text.parse(body))
    ]


def unusable_id(ids: Sequence[str]) -> ErrorBody | None:
    """The error of the task a node fails over `ids` to delete: an empty one is more than its storage can look up."""
    if "" not in ids:
        return None
    message = "MDB_BAD_VALSIZE: Unsupported size of key/DB name/data, or wrong DUPFIXED size"
    return node_error(500, "internal", message, type="internal").body()
