"""Stamped bytes: every document of a batch with our fields in front of its own, once, whatever number of nodes gets it.

A document is spliced, never decoded and written again, so numbers, escapes and order reach the node as they were sent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress, repeat
from typing import Final

from miroir.cluster import shards_of
from miroir.ingest.batch import Batch, read_batch
from miroir.ingest.document_id import read_ids
from miroir.stamps import document_stamps, shard_text
from miroir.stamps.fields import position_bytes

__all__ = ["Batch", "Stamped", "node_payload", "read_batch", "read_ids", "stamp_batch"]

_FEW: Final = 10_000


@dataclass(frozen=True, slots=True)
class Stamped:
    """`documents[i]` belongs to `shards[i]`; positions are places in the lists, in the client's order."""

    documents: list[bytes]
    shards: list[int]

    def of_shard(self, shard: int) -> list[tuple[int, bytes]]:
        """The documents of one shard with their positions in the payload."""
        return [
            (position, document)
            for position, (document, own) in enumerate(zip(self.documents, self.shards, strict=True))
            if own == shard
        ]


def stamp_batch(batch: Batch, *, stamp: int, shards: int, updated: bool) -> Stamped:
    """Stamp a batch for an index of `shards` shards. `updated`: anti-entropy is on. No document of a batch is `{}`."""
    placed = shards_of(batch.keys, shards)
    head, middle, tail = document_stamps(stamp, updated=updated)
    heads = {shard: b"{" + head + shard_text(shard).encode() + middle for shard in set(placed)}
    documents = map(
        b"".join,
        zip(
            map(heads.__getitem__, placed),
            _positions(len(placed)),
            repeat(tail),
            [document[1:] for document in batch.items],
            strict=False,
        ),
    )
    return Stamped(list(documents), placed)


def node_payload(stamped: Stamped, shards: Collection[int]) -> bytes:
    """The body for a node that owns `shards`: all its documents in the client's order, as one JSON array."""
    wanted = frozenset(shards)
    return b"[" + b",".join(compress(stamped.documents, map(wanted.__contains__, stamped.shards))) + b"]"


def _positions(count: int) -> Iterable[bytes]:
    return _few_positions(count) if count <= _FEW else map(position_bytes, range(count))


@lru_cache(maxsize=32)
def _few_positions(count: int) -> tuple[bytes, ...]:
    """The first positions as bytes; the lengths of payloads repeat, because clients send batches of one size."""
    return tuple(map(position_bytes, range(count)))
