"""Rendezvous hashing: which shard a document belongs to, and which nodes a shard prefers.

Source: Thaler and Ravishankar, "A name-based mapping scheme for rendezvous" (1996). Two processes that know the same
names compute the same answers; nothing is negotiated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xxhash import xxh64_intdigest


def shard_of(primary_key: str, shards: int) -> int:
    """The shard of a document among `shards`. An integer key hashes as its decimal text: `7` and `"7"` are one."""
    return xxh64_intdigest(primary_key.encode() + b"\xff") % shards


def shards_of(primary_keys: Iterable[str], shards: int) -> list[int]:
    """`shard_of` for many keys, in their order."""
    digest = xxh64_intdigest
    return [digest(key.encode() + b"\xff") % shards for key in primary_keys]


def score(shard: int, node_id: str) -> int:
    """How much a shard prefers a node, 0 to 2^64 - 1; the highest wins."""
    return xxh64_intdigest(shard.to_bytes(4, "little") + node_id.encode() + b"\xff")


def preferred(shard: int, node_ids: Sequence[str], copies: int) -> tuple[str, ...]:
    """The `copies` nodes that a shard prefers, best first; ties go to the lexicographically smaller id."""
    return tuple(sorted(node_ids, key=lambda node_id: (-score(shard, node_id), node_id))[:copies])
