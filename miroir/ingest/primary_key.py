"""Primary keys: which field is one, and what stands in it, by a node's rules.

A name with dots may be reached at every one of them: `a.b` is the member `a.b`, or `b` of the object `a`. Both in one
document is an error, and arrays are not looked into.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from miroir.errors import ErrorBody, node_error
from miroir.ingest import json_text
from miroir.ingest.document_id import id_text, invalid_document_id
from miroir.ingest.json_text import Members

_SUFFIX: Final = "id"
_BY_HAND: Final = "Please specify the primary key manually using the `primaryKey` query parameter."


class TaskFailure(Exception):
    """A payload that a node accepts with 202 and fails as a task: `error` is that of the task.

    `received` is the number of documents in the payload; nothing of it is sent.
    """

    def __init__(self, error: ErrorBody, received: int) -> None:
        super().__init__(error["message"])
        self.error = error
        self.received = received


class UnresolvedKey(Exception):
    """A document's primary key cannot be inferred, or it has none: `error` is that of the task a node would fail."""

    def __init__(self, error: ErrorBody) -> None:
        super().__init__(error["message"])
        self.error = error


class RefusedId(Exception):
    """What stands in the primary key is no document id: `error` is that of the task a node would fail."""

    def __init__(self, error: ErrorBody) -> None:
        super().__init__(error["message"])
        self.error = error


def infer_primary_key(document: Mapping[str, object]) -> str:
    """The one field of a payload's first document whose name ends in `id`, in any case; else `UnresolvedKey`."""
    candidates = sorted(name for name in document if name.lower().endswith(_SUFFIX))
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        message = (
            "The primary key inference failed as the engine did not find any field ending with `id` in its name. "
            + _BY_HAND
        )
        raise UnresolvedKey(node_error(400, "index_primary_key_no_candidate_found", message).body())
    message = (
        f"The primary key inference failed as the engine found {len(candidates)} fields ending with `id` in their "
        f"names: '{candidates[0]}' and '{candidates[1]}'. {_BY_HAND}"
    )
    raise UnresolvedKey(node_error(400, "index_primary_key_multiple_candidates_found", message).body())


def extract_id(document: bytes, primary_key: str, *, repeats: bool, lone: bool) -> str:
    """The id of a document, read exactly: the slow way, for nested keys and whatever looks odd.

    `repeats`: names may come twice at the top (NDJSON; a node drops all but the last when it reads JSON or CSV).
    `lone`: the payload was one object, which a node reads as a whole, dropping them at every depth.
    Raises `UnresolvedKey` if there is none, `RefusedId` if it is no id, or there is more than one.
    """
    members: Members = json_text.parse(document)
    if lone:
        members = _once(members)
    elif not repeats:
        members = Members(dict(members).items())
    found: str | None = None
    for value in matching_values(members, primary_key):
        text = id_text(value)
        if text is None:
            raise RefusedId(invalid_document_id(value))
        if found is not None:
            message = f"Document have too many matching `{primary_key}` attribute: `{_shown(members)}`."
            raise RefusedId(node_error(400, "invalid_document_id", message).body())
        found = text
    if found is None:
        message = f"Document doesn't have a `{primary_key}` attribute: `{_shown(members)}`."
        raise UnresolvedKey(node_error(400, "missing_document_id", message).body())
    return found


def has_repeats(document: bytes, primary_key: str) -> bool:
    """Whether a nested key is met twice in a lone object although its values, read as a whole, have it once."""
    return sum(1 for _ in matching_values(dict(json_text.parse(document)), primary_key)) > 1


def matching_values(members: Members | dict[str, Any], name: str) -> Iterator[Any]:
    """Every value that `name` reaches, in document order. An empty first part reaches nothing."""
    rests = _rests(name)
    for member, value in members.items() if isinstance(members, dict) else members:
        rest = rests.get(member)
        if rest is None:
            continue
        if not rest:
            yield value
        elif isinstance(value, Members | dict):
            yield from matching_values(value, rest)


@lru_cache(maxsize=1024)
def _rests(name: str) -> dict[str, str]:
    """The members in which the way along `name` can begin, each with what is left of it behind them."""
    rests = {name[:at]: name[at + 1 :] for at, letter in enumerate(name) if letter == "." and at}
    if name:
        rests[name] = ""
    return rests


def _once(members: Members) -> Members:
    """The same members with equal names once, at every depth."""

    def again(value: Any) -> Any:
        if isinstance(value, dict):
            return Members((name, again(member)) for name, member in value.items())
        if isinstance(value, list):
            return [again(element) for element in value]
        return value

    return Members((name, again(value)) for name, value in members.as_dict().items())


def _shown(members: Members) -> str:
    return json_text.dump(members.as_dict())
