"""Stamps: the fields of ours that every stored document carries, written so that no query can match them."""

from miroir.stamps.alphabet import ALPHABET, decode, encode, is_silent
from miroir.stamps.fields import (
    EXPIRES_FIELD,
    PLACED_FIELD,
    RESERVED_FIELDS,
    SEQ_FIELD,
    SEQ_LETTERS,
    SHARD_FIELD,
    STAMP_FIELDS,
    UPDATED_FIELD,
    document_stamps,
    last_change,
    seq_text,
    shard_filter,
    shard_text,
    stamp_text,
)
from miroir.stamps.strip import strip, strip_text

__all__ = [
    "ALPHABET",
    "EXPIRES_FIELD",
    "PLACED_FIELD",
    "RESERVED_FIELDS",
    "SEQ_FIELD",
    "SEQ_LETTERS",
    "SHARD_FIELD",
    "STAMP_FIELDS",
    "UPDATED_FIELD",
    "decode",
    "document_stamps",
    "encode",
    "is_silent",
    "last_change",
    "seq_text",
    "shard_filter",
    "shard_text",
    "stamp_text",
    "strip",
    "strip_text",
]
