"""NDJSON as a node reads it: JSON objects one after another, white space between them or none, lines or not."""

from __future__ import annotations

import json
import re
from typing import Final

import orjson

from miroir.ingest.splitting import are_documents
from miroir.ingest.unjudged import Unjudged

_SPACE: Final = re.compile(r"[ \t\r\n]*")


def read_ndjson(body: bytes) -> list[bytes]:
    """The objects as sent; `Unjudged` if anything else is among them."""
    texts = [line for line in map(_trim, body.split(b"\n")) if line]
    if are_documents(texts):
        return texts
    try:
        values = list(map(orjson.loads, texts))
    except orjson.JSONDecodeError:
        texts = _values_of(body)
        try:
            values = list(map(orjson.loads, texts))
        except orjson.JSONDecodeError as error:
            raise Unjudged(f"a value is no JSON to us: {error}") from None
    if not set(map(type, values)) <= {dict}:
        raise Unjudged("not every value is an object")
    return texts


def _trim(line: bytes) -> bytes:
    return line.strip(b" \t\r")


def _values_of(body: bytes) -> list[bytes]:
    """Where lines are not values: the text of each value. What this lax parser lets pass, the strict one judges."""
    decode = json.JSONDecoder().raw_decode
    texts = []
    try:
        text = body.decode()
        at = _end_of_space(text, 0)
        while at < len(text):
            _, end = decode(text, at)
            texts.append(text[at:end].encode())
            at = _end_of_space(text, end)
    except (ValueError, RecursionError) as error:
        raise Unjudged(f"the values cannot be told apart: {error}") from None
    return texts


def _end_of_space(text: str, start: int) -> int:
    match = _SPACE.match(text, start)
    return match.end() if match else start
