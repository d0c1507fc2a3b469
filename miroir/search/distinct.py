"""`distinct` over several nodes: each sends its own winners, the merge keeps the best of every value.

A document is left out when it shares a facet value of the attribute with one that ranks before it. Documents without a
value are always kept. With pages a node counts its winners exactly, so all of them are merged; with offset and limit it
leaves out only what the hits it returned rule out (an estimate, by its name), and the merge stops there too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from miroir.search.facets import Number, facet_number, normalise


def leaves(value: Any, path: str) -> Iterator[Any]:
    """The scalars that stand at a dotted path, through arrays; a member's own name may hold dots too."""
    if isinstance(value, list):
        for item in value:
            yield from leaves(item, path)
    elif isinstance(value, dict):
        for name, member in value.items():
            if name == path:
                yield from leaves(member, "")
            elif path.startswith(f"{name}."):
                yield from leaves(member, path[len(name) + 1 :])
    elif not path and value is not None:
        yield value


def facet_values(document: Any, path: str) -> set[Number | str]:
    """The facet values of a document at a path: numbers, and normalised texts (booleans are texts).

    An empty text is none; one of blanks is, though nothing is left of it.
    """
    values: set[Number | str] = set()
    for leaf in leaves(document, path):
        if isinstance(leaf, bool):
            values.add("true" if leaf else "false")
        elif isinstance(leaf, (int, float)):
            values.add(facet_number(float(leaf)))
        elif leaf:
            values.add(normalise(leaf))
    return values


def keep_distinct(ranked: Iterable[bytes], path: str, most: int) -> tuple[list[bytes], list[Any]]:
    """The ranked hits without duplicates, `most` at most, and the documents left out on the way (decoded)."""
    kept: list[bytes] = []
    dropped: list[Any] = []
    seen: set[Number | str] = set()
    for hit in ranked:
        if len(kept) == most:
            break
        document = orjson.loads(hit)
        values = facet_values(document, path)
        if values.isdisjoint(seen):
            seen |= values
            kept.append(hit)
        else:
            dropped.append(document)
    return kept, dropped
