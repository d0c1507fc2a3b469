"""Canonical JSON of settings: one byte string for all that mean the same, and its fingerprint.

After RFC 8785 (JSON Canonicalization Scheme): members sorted, no whitespace, one spelling for a number. Sorted by
code point, not by UTF-16 unit, and whole numbers of any size keep all their digits (`maxTotalHits` may be 2^64 - 2).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, Final

# Lists that a node treats as sets, by the path that leads to them; `*` is any member.
_SETS: Final = frozenset(
    {
        ("displayedAttributes",),
        ("sortableAttributes",),
        ("stopWords",),
        ("nonSeparatorTokens",),
        ("separatorTokens",),
        ("dictionary",),
        ("synonyms", "*"),
        ("typoTolerance", "disableOnWords"),
        ("typoTolerance", "disableOnAttributes"),
    }
)
_LONGEST_EXACT: Final = 1e21


def canonical(settings: Mapping[str, Any]) -> bytes:
    """The settings in canonical form, UTF-8. Lists whose order means nothing to a node are sorted and deduplicated.

    `1` and `1.0` are one number, `-0.0` is `0`; a number that JSON cannot hold (NaN, infinity) is written as null.
    """
    text = json.dumps(_normal(settings, ()), ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def fingerprint(settings: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical form, in hex: what two-phase changes and drift checks compare."""
    return hashlib.sha256(canonical(settings)).hexdigest()


def _normal(value: object, path: tuple[str, ...]) -> object:
    if isinstance(value, Mapping):
        return {str(name): _normal(member, (*path, str(name))) for name, member in value.items()}
    if isinstance(value, list | tuple):
        members = [_normal(member, ()) for member in value]
        return _as_set(members) if _is_set(path) else members
    if isinstance(value, float):
        return _number(value)
    return value


def _is_set(path: tuple[str, ...]) -> bool:
    return path in _SETS or (len(path) == 2 and (path[0], "*") in _SETS)


def _as_set(members: list[object]) -> list[object]:
    by_text = {json.dumps(member, sort_keys=True): member for member in members}
    return [by_text[text] for text in sorted(by_text)]


def _number(value: float) -> int | float | None:
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) < _LONGEST_EXACT else value
