"""Our fields: their names, their widths, and the bytes that put them in front of a document's own members.

They stand first in a document, because a node gives field numbers by first appearance and returns members in that
order: all of ours sit together, right behind the primary key, and the client's keep the order they would have had.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from miroir.stamps.alphabet import encode

SHARD_FIELD: Final = "_miroir_shard"
SEQ_FIELD: Final = "_miroir_seq"
UPDATED_FIELD: Final = "_miroir_updated_at"
PLACED_FIELD: Final = "_miroir_placed_at"
EXPIRES_FIELD: Final = "_miroir_expires_at"

STAMP_FIELDS: Final = (SHARD_FIELD, SEQ_FIELD, UPDATED_FIELD, PLACED_FIELD, EXPIRES_FIELD)
"""Every field that is ours in some configuration, in the order in which a document carries them."""

RESERVED_FIELDS: Final = (SHARD_FIELD, SEQ_FIELD, UPDATED_FIELD, PLACED_FIELD)
"""What no client may send (`_miroir_updated_at` only while anti-entropy is on)."""

_SHARD_WIDTH: Final = 4
_STAMP_WIDTH: Final = 11
_POSITION_WIDTH: Final = 5
SEQ_LETTERS: Final = _STAMP_WIDTH + _POSITION_WIDTH
"""Letters of a `_miroir_seq` that tell the insertion order; those of the last edit may follow."""


@lru_cache(maxsize=1 << 16)
def shard_text(shard: int) -> str:
    """A shard number as stored, 4 letters: up to 1,048,575."""
    return encode(shard, _SHARD_WIDTH)


def stamp_text(stamp: int) -> str:
    """A stamp (microseconds of the Unix clock) as stored, 11 letters: until the year 3111."""
    return encode(stamp, _STAMP_WIDTH)


def seq_text(stamp: int, position: int) -> str:
    """Insertion order: the write's stamp, then the document's place in its payload (up to 33,554,431), 16 letters."""
    return encode(stamp, _STAMP_WIDTH) + encode(position, _POSITION_WIDTH)


def last_change(seq: str) -> str:
    """What says when a document of this `_miroir_seq` was last changed, comparable with a stamp's text.

    An edit by function leaves the insertion order and puts its own stamp behind it.
    """
    return seq[SEQ_LETTERS:] or seq


def document_stamps(stamp: int, *, updated: bool = True) -> tuple[bytes, bytes, bytes]:
    """What one write puts in front of each of its documents, in three pieces around shard and position.

    A document's members are `pieces[0] + shard + pieces[1] + position + pieces[2]`, a comma at the end. `updated`:
    anti-entropy is on, the documents carry `_miroir_updated_at`.
    """
    text = stamp_text(stamp)
    tail = f'","{UPDATED_FIELD}":"{text}' if updated else ""
    return (
        f'"{SHARD_FIELD}":"'.encode(),
        f'","{SEQ_FIELD}":"{text}'.encode(),
        f'{tail}","{PLACED_FIELD}":"{text}",'.encode(),
    )


@lru_cache(maxsize=1 << 16)
def position_bytes(position: int) -> bytes:
    """The 5 letters of a place in a payload, as they follow `document_stamps`' second piece."""
    return encode(position, _POSITION_WIDTH).encode()


@lru_cache(maxsize=4096)
def _filter_of(shards: tuple[int, ...]) -> str:
    listed = ",".join(f'"{shard_text(shard)}"' for shard in shards)
    return f"{SHARD_FIELD} IN [{listed}]"


def shard_filter(shards: Iterable[int]) -> str:
    """The filter element that confines a request to these shards: `_miroir_shard IN [...]`."""
    return _filter_of(tuple(shards))
