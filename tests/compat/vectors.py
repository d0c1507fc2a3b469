"""Searches by vector, which no node answers exactly: judged by how many of the true nearest are among the hits."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

from tests.compat.cases import Case
from tests.compat.corpus import Document
from tests.compat.variants import DIMENSIONS_OF


def is_semantic(case: Case) -> bool:
    """Whether vectors take part in the order of its hits."""
    if case.route == "similar":
        return True
    hybrid = case.body.get("hybrid")
    ratio = hybrid.get("semanticRatio", 0.5) if isinstance(hybrid, dict) else 0
    return case.kind != "bad" and bool(ratio)


def nearest(case: Case, documents: Sequence[Document], count: int) -> set[Any]:
    """Keys of the nearest documents, by brute force. The case has no filter but `rating >= n`."""
    embedder = case.body["embedder"] if case.route == "similar" else case.body["hybrid"]["embedder"]
    length = DIMENSIONS_OF[embedder]
    if case.route == "similar":
        asked = next(document for document in documents if document["id"] == case.body["id"])
        vector = asked["_vectors"]["manual"][:length]
    else:
        vector = case.body["vector"]
    least = int(str(case.body.get("filter") or "rating >= 0").removeprefix("rating >= "))
    found = [
        (_cosine(vector, document["_vectors"]["manual"][:length]), document["id"])
        for document in documents
        if document["_vectors"]["manual"] is not None
        and (least == 0 or document.get("rating", 0) >= least)
        and (case.route != "similar" or document["id"] != case.body["id"])
    ]
    found.sort(reverse=True)
    return {key for _, key in found[:count]}


def recall(hits: Sequence[Document], wanted: set[Any]) -> float:
    """Which share of the wanted keys is there."""
    return len({hit["id"] for hit in hits} & wanted) / len(wanted) if wanted else 1.0


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / (sqrt(sum(a * a for a in one)) * sqrt(sum(b * b for b in other)))
