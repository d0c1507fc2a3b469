"""A payload judged: every document has an id, none carries a field of ours, and a node will take all of them.

The check is over the whole payload and before anything is sent, because a node applies a payload wholly or not at all.
What the client must change at once (400) comes before what a node would fail as a task.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Final

import orjson

from miroir.cluster import shards_of
from miroir.errors import ApiError, miroir_error
from miroir.ingest import json_text
from miroir.ingest.content import Format
from miroir.ingest.document_id import are_document_ids, is_document_id
from miroir.ingest.payload import Payload
from miroir.ingest.primary_key import (
    RefusedId,
    TaskFailure,
    UnresolvedKey,
    extract_id,
    has_repeats,
    infer_primary_key,
    matching_values,
)
from miroir.ingest.unjudged import Unjudged
from miroir.stamps import RESERVED_FIELDS, UPDATED_FIELD

_WITH_ANTI_ENTROPY: Final = frozenset(RESERVED_FIELDS)
_WITHOUT: Final = _WITH_ANTI_ENTROPY - {UPDATED_FIELD}
PLACE: Final = "_geo"
VECTORS: Final = "_vectors"
_ODD: Final = frozenset('"/\\')


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents ready to be placed: `keys[i]` is the id, as text, of the document `items[i]`, in the client's order.

    `primary_key` is None only for a batch of no documents on an index that has no key yet.
    """

    primary_key: str | None
    keys: list[str]
    items: list[bytes]

    @property
    def received(self) -> int:
        """How many documents the client sent."""
        return len(self.items)

    @property
    def size(self) -> int:
        """How many bytes those are."""
        return sum(map(len, self.items))

    @property
    def distinct(self) -> int:
        """How many documents those are once applied: of one id the last counts."""
        return len(set(self.keys))

    def shards(self, shards: int) -> tuple[int, ...]:
        """The shards the batch touches, of an index with that many, in order."""
        return tuple(sorted(set(shards_of(self.keys, shards))))


def read_batch(
    payload: Payload, *, index_uid: str, primary_key: str | None, anti_entropy: bool, reject_missing: bool
) -> Batch:
    """Find every id; `primary_key` is the index's own or the client's, None to infer it from the first document.

    `ApiError` 400 `miroir_reserved_field`, and, if `reject_missing`, `miroir_primary_key_required`; `TaskFailure` for
    what a node would fail as a task, the first in document order; `Unjudged` for vectors only a node can judge.
    """
    received = len(payload.documents)
    reserved = _WITH_ANTI_ENTROPY if anti_entropy else _WITHOUT
    if not received:
        return Batch(primary_key, [], [])
    try:
        name = infer_primary_key(orjson.loads(payload.documents[0])) if primary_key is None else primary_key
        if not payload.look_at((name, PLACE, VECTORS), without=reserved):
            _check_reserved(payload, reserved)
        keys = _plain_keys(payload, name)
        if keys is None:
            keys = _careful_keys(payload, name, reject_missing=reject_missing)
    except UnresolvedKey as failure:
        _check_reserved(payload, reserved)
        if reject_missing:
            raise _key_required(index_uid, failure) from None
        raise TaskFailure(failure.error, received) from None
    except RefusedId as failure:
        raise TaskFailure(failure.error, received) from None
    _check_vectors(payload)
    return Batch(name, keys, _sendable(payload, name))


def _plain_keys(payload: Payload, name: str) -> list[str] | None:
    """The ids at a glance: a flat key, all values plain ids. None if any document needs a closer look."""
    if "." in name or not name or (payload.format is Format.NDJSON and not _is_named_once(payload, name)):
        return None
    found = payload.members(name)
    kinds = set(map(type, found))
    # A decoded 0 may have been sent as -0, which is a float to a node and no id.
    if not kinds <= {str, int} or (int in kinds and 0 in found):
        return None
    keys = found if kinds == {str} else list(map(str, found))
    return keys if are_document_ids(keys) else None


def _is_named_once(payload: Payload, name: str) -> bool:
    """Whether every document certainly spells the name once: a node refuses an NDJSON document that has it twice."""
    if not is_document_id(name) or not payload.spelled_plainly:
        return False
    counts = set(map(bytes.count, payload.documents, repeat(f'"{name}"'.encode())))
    return counts <= {1}


def _careful_keys(payload: Payload, name: str, *, reject_missing: bool) -> list[str]:
    """The ids one by one. The first refusal wins, but for a missing id the client must hear of at once."""
    glance = _glance(payload, name)
    keys: list[str] = []
    refused: RefusedId | None = None
    for document, value in zip(payload.documents, payload.values, strict=True):
        key = glance(document, value)
        if key is None:
            try:
                key = extract_id(document, name, repeats=payload.format is Format.NDJSON, lone=payload.single)
            except RefusedId as failure:
                if not reject_missing:
                    raise
                refused = refused or failure
                continue
        keys.append(key)
    if refused is not None:
        raise refused
    return keys


def _glance(payload: Payload, name: str) -> Callable[[bytes, dict[str, Any]], str | None]:
    """A look that finds the id of an ordinary document of this payload; None from it means: read it exactly.

    It must not miss a name that comes twice where that counts, so it counts how often the bytes can spell one.
    """
    first, *rest = name.split(".")
    ends = [json_text.dump(part)[1:].encode() for part in rest]
    if payload.format is Format.NDJSON:
        ends.append(json_text.dump(first)[1:].encode())
    # Letters and most signs have no escape but the long one; an odd name may be spelled in more ways.
    escape = b"\\u" if name.isprintable() and not _ODD.intersection(name) else b"\\"

    if not name:
        return lambda _document, _value: None  # a node finds nothing under the empty name

    def look(document: bytes, value: dict[str, Any]) -> str | None:
        if ends and (escape in document or any(document.count(end) > 1 for end in ends)):
            return None
        if rest:
            matches = list(matching_values(value, name))
            found = matches[0] if len(matches) == 1 else None
        else:
            found = value.get(name)
        if type(found) is str and is_document_id(found):
            return found
        if type(found) is int and found != 0:
            return str(found)
        return None

    return look


def _sendable(payload: Payload, name: str) -> list[bytes]:
    """The documents as nodes get them: as sent.

    All but one kind: a node keeps the last of equal names at every depth when it reads a lone object, and of a list
    only at the top, so that a nested key found twice would be refused there. That one is sent as it would keep it.
    """
    if payload.single and "." in name and has_repeats(payload.documents[0], name):
        return [json_text.dump(json_text.plain(json_text.parse(payload.documents[0]))).encode()]
    return payload.documents


def _check_reserved(payload: Payload, reserved: frozenset[str]) -> None:
    if all(map(reserved.isdisjoint, payload.values)):
        return
    for value in payload.values:
        for field in value:
            if field in reserved:
                raise miroir_error(
                    "miroir_reserved_field", f"The field `{field}` is reserved: documents cannot set it."
                )


def _check_vectors(payload: Payload) -> None:
    """Vectors of a shape every index takes pass; a node that has no settings at all refuses the others rightly."""
    for value in payload.members(VECTORS, missing={}):
        if not _is_vectors(value):
            raise Unjudged("vectors of a shape that nodes refuse", task=True)


def _is_vectors(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_embedder_entry, value.values()))


def _is_embedder_entry(entry: Any) -> bool:
    if isinstance(entry, dict):
        known = entry.keys() <= {"regenerate", "embeddings"}
        return known and isinstance(entry.get("regenerate"), bool) and _is_embeddings(entry.get("embeddings"))
    return _is_embeddings(entry)


def _is_embeddings(value: Any) -> bool:
    if value is None:
        return True
    if not isinstance(value, list):
        return False
    kinds = set(map(type, value))
    return kinds <= _NUMBERS or (kinds == {list} and all(set(map(type, vector)) <= _NUMBERS for vector in value))


_NUMBERS: Final = frozenset({int, float})


def _key_required(index_uid: str, failure: UnresolvedKey) -> ApiError:
    message = f"Index `{index_uid}`: every document needs its primary key to be placed. {failure.error['message']}"
    return miroir_error("miroir_primary_key_required", message)
