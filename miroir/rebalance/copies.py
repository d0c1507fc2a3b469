"""Comparing copies: which documents one copy of a shard has that another has not, or has in another version.

A document's version is its `_miroir_seq`: the stamp of the write that made it and its place in the payload; copies keep
it. A document written before the first write in question (`since`) is the same wherever its version is. From then on
that is not so: an update that met a document which was not what it should have been, because the copy had missed a
write, carries the same version and other contents. Those are compared by their contents.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import msgspec
import orjson

from miroir.stamps import PLACED_FIELD, SEQ_FIELD, last_change, shard_filter, stamp_text

Versions = Mapping[str, str]
"""Primary key as text -> version."""

# Letters of the stamps' alphabet only: a client's own member, deeper inside, may be called the same.
_PLACED: Final = re.compile(rb'"%s":"(?:\xe2[\x80-\xbf]{2})+"' % PLACED_FIELD.encode())


@dataclass(frozen=True, slots=True)
class Difference:
    """What must happen to a copy to make it equal to its source."""

    to_copy: tuple[str, ...]
    to_delete: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.to_copy or self.to_delete)


def compare(source: Versions, copy: Versions) -> Difference:
    """Keys of which the copy lacks the source's version, and keys it should not have, both in the lists' order."""
    return Difference(
        tuple(key for key, version in source.items() if copy.get(key) != version),
        tuple(key for key in copy if key not in source),
    )


def doubtful(source: Versions, copy: Versions, since: int) -> list[str]:
    """Keys of one version in both whose contents must be compared all the same, in the source's order."""
    first = stamp_text(since)
    return [key for key, version in source.items() if copy.get(key) == version and last_change(version) >= first]


def read_versions(documents: Iterable[bytes], primary_key: str) -> dict[str, str]:
    """Key -> version, from documents cut down to those two fields."""
    versions = {}
    for raw in documents:
        document = orjson.loads(raw)
        versions[str(read_member(document, primary_key))] = document.get(SEQ_FIELD, "")
    return versions


def read_contents(documents: Iterable[bytes], primary_key: str) -> dict[str, bytes]:
    """Key -> digest of the whole document, but for when it landed on its node."""
    digests = {}
    for raw in documents:
        document = orjson.loads(raw)
        document.pop(PLACED_FIELD, None)
        text = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
        digests[str(read_member(document, primary_key))] = blake2b(text, digest_size=16).digest()
    return digests


def read_member(document: Mapping[str, Any], path: str) -> Any:
    """What stands under a primary key: `a.b` reads `{"a.b": 1}` and `{"a": {"b": 1}}`, as a node does."""
    if path in document:
        return document[path]
    head, _, rest = path.partition(".")
    inner = document.get(head)
    return read_member(inner, rest) if rest and isinstance(inner, dict) else None


def landed(document: bytes, stamp: int) -> bytes:
    """A document as it lands on another node: everything as it was, but placed there by `stamp`."""
    return _PLACED.sub(f'"{PLACED_FIELD}":"{stamp_text(stamp)}"'.encode(), document, count=1)


def batches(documents: Sequence[bytes], max_bytes: int) -> Iterator[bytes]:
    """JSON arrays of at most `max_bytes` each; a single larger document still makes one."""
    batch: list[bytes] = []
    size = 0
    for document in documents:
        if batch and size + len(document) > max_bytes:
            yield b"[" + b",".join(batch) + b"]"
            batch, size = [], 0
        batch.append(document)
        size += len(document) + 1
    if batch:
        yield b"[" + b",".join(batch) + b"]"


def portion(asked: int, size: int, most: int, max_bytes: int) -> int:
    """How many documents to fetch next, when `asked` of them came to `size` bytes.

    As many as come to `max_bytes` if they are like those; but they may not be, so no more than four times as many.
    """
    like_those = max_bytes * asked // max(size, 1)
    return max(1, min(most, 4 * asked, like_those))


def shares(shards: Sequence[int], documents: int, most: int) -> list[tuple[int, ...]]:
    """Shards that hold so many documents together, apart into shares of about `most` of them or less."""
    parts = min(max(-(-documents // most), 1), len(shards))
    return [tuple(shards[part::parts]) for part in range(parts)]


def guarded_deletion(keys: Sequence[str], primary_key: str, shards: Sequence[int], before: int) -> str:
    """A filter that deletes these keys only in the version seen: a document written after `before` survives."""
    attribute = msgspec.json.encode(primary_key).decode()
    listed = ",".join(f'"{key}"' for key in keys)
    return f'{attribute} IN [{listed}] AND {shard_filter(shards)} AND {SEQ_FIELD} <= "{stamp_text(before + 1)}"'
