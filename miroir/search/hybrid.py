"""Searches by words and by vector at once: which they are, what is asked for either, and how two lists become one.

A node searches by words, then by vector, and unites the two lists of `offset + limit` hits by weighted score. Nodes
that unite their own lists each leave out what the others would need: one skips its vectors because its own hits by
words are good enough, another has no such hits. So every node is asked for both lists apart, each is merged as it would
be for itself, and then united here in a node's own way.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

from miroir.search.ranking import DETAILS_MEMBER, SEQ_RULE, details_of, rule_order, score_of, seq_of, sort_element

DEFAULT_RATIO: Final = 0.5
_ONE_LIST: Final = 1.0
_VECTORS_FIRST: Final = 0.999999
"""A ratio that puts every hit with a vector before those without, and still lets the words be marked in them."""
_GOOD_ENOUGH: Final = 0.45
_EPSILON: Final = 2.0**-52
_SEMANTIC_MARK: Final = b'"vectorSort":{'
_MARKING: Final = ("attributesToHighlight", "attributesToCrop")
_NEGATED: Final = re.compile(r'(?<!\S)-(?:"[^"]*"?|\S*)')
_BY_VECTOR: Final = ("hybrid", "vector", "media")

_OF_SCORES: Final = 1
_OF_SORTS: Final = 0


class Kind(Enum):
    """What a search finds its hits by."""

    KEYWORD = "keyword"
    SEMANTIC = "semantic"
    HYBRID = "hybrid"


class Hit(NamedTuple):
    """A hit of a united list."""

    hit: bytes
    is_semantic: bool
    """It stands where its vector put it, not its words."""


def ratio_of(body: Mapping[str, Any]) -> float:
    """The weight of vectors in a search with `hybrid`; 0 for one that a node refuses, and for a search without."""
    hybrid = body.get("hybrid")
    if not isinstance(hybrid, Mapping):
        return 0.0
    ratio = hybrid.get("semanticRatio", DEFAULT_RATIO)
    is_number = isinstance(ratio, int | float) and not isinstance(ratio, bool)
    return float(ratio) if is_number and 0.0 <= ratio <= 1.0 else 0.0


def kind_of(body: Mapping[str, Any]) -> Kind:
    """As a node tells them apart. What it refuses counts as a search by words, which every node is sent as it is."""
    ratio = ratio_of(body)
    query = body.get("q")
    if ratio == 0.0 or not (query is None or isinstance(query, str)):
        return Kind.KEYWORD
    is_blank = not query or not query.strip()
    if is_blank and body.get("vector") is None and body.get("media") is None:
        return Kind.KEYWORD
    return Kind.SEMANTIC if ratio == 1.0 or is_blank else Kind.HYBRID


def with_ratio(body: Mapping[str, Any], ratio: float) -> dict[str, Any]:
    """The search with this ratio where it names none of its own."""
    hybrid = body.get("hybrid")
    if isinstance(hybrid, Mapping) and "semanticRatio" not in hybrid:
        return {**body, "hybrid": {**hybrid, "semanticRatio": ratio}}
    return dict(body)


def may_stand_alone(ratio: float) -> bool:
    """Whether there are scores for which hits by words would do, so that a node looks at no vector."""
    return 1.0 * _keyword_weight(ratio) >= _GOOD_ENOUGH


def is_good_enough(hits: Sequence[bytes], wanted: int, ratio: float) -> bool:
    """Whether these hits by words are enough of them and good enough for a node not to look at vectors."""
    weight = _keyword_weight(ratio)
    return len(hits) >= wanted and all(score_of(hit) * weight >= _GOOD_ENOUGH for hit in hits)


def keyword_part(body: Mapping[str, Any], *, counts_facets: bool) -> dict[str, Any]:
    """The search by words alone. Facets are counted in it only where it may be the whole answer."""
    left_out = _BY_VECTOR if counts_facets else (*_BY_VECTOR, "facets")
    return {name: value for name, value in body.items() if name not in left_out}


def semantic_part(body: Mapping[str, Any], vector: Sequence[float]) -> dict[str, Any]:
    """The search by vector: by the client's, or else by `vector`, which an embedder made of the query.

    Nodes mark words in hits only if they search by words as well, and only then count what either found (a threshold
    takes from both). So they do where that shows, at a ratio at which the vectors still come first.
    """
    hybrid: Mapping[str, Any] = body["hybrid"]
    shows_words = kind_of(body) is Kind.HYBRID and (
        body.get("rankingScoreThreshold") is not None or (_marks(body) and _NEGATED.sub("", body["q"]).strip() != "")
    )
    asked = {**body, "hybrid": {**hybrid, "semanticRatio": _VECTORS_FIRST if shows_words else _ONE_LIST}}
    if body.get("vector") is None:  # else a node is to see what it may refuse: media beside it
        asked["vector"] = vector
        asked.pop("media", None)
    return asked


def _marks(body: Mapping[str, Any]) -> bool:
    return bool(body.get("showMatchesPosition")) or any(body.get(name) for name in _MARKING)


def embedding_part(body: Mapping[str, Any]) -> dict[str, Any]:
    """A search whose answer shows the vector that an embedder made of the query, if it made one."""
    hybrid: Mapping[str, Any] = body["hybrid"]
    ratio = _VECTORS_FIRST if kind_of(body) is Kind.HYBRID else _ONE_LIST  # a hybrid search survives its embedder
    return {**body, "hybrid": {**hybrid, "semanticRatio": ratio}, "retrieveVectors": True}


def is_semantic(hit: bytes) -> bool:
    """Whether its vector put a hit where it stands in a node's list. `hit` has score details, as its last member."""
    return _SEMANTIC_MARK in hit[max(0, hit.rfind(DETAILS_MEMBER)) :]


def fused_by_score(keyword: Sequence[bytes], semantic: Sequence[bytes], ratio: float) -> Iterator[Hit]:
    """As a node unites them (convex combination): by weighted score, a hit by vector before its equal by words.

    Neither list is sorted again: where ranking rules sort by values, scores do not descend.
    """
    seen: set[bytes] = set()
    words_weight, vector_weight = _keyword_weight(ratio), _single(ratio)
    words = [_values(hit, words_weight) for hit in keyword]
    at = 0
    for hit in semantic:
        values = _values(hit, vector_weight)
        while at < len(keyword) and _is_better(words[at], values):
            yield from _unseen(Hit(keyword[at], False), seen)
            at += 1
        yield from _unseen(Hit(hit, True), seen)
    for hit in keyword[at:]:
        yield from _unseen(Hit(hit, False), seen)


def fused_by_rank(keyword: Sequence[bytes], semantic: Sequence[bytes], ratio: float, k: int) -> Iterator[Hit]:
    """Reciprocal rank fusion, each list with its weight: the sum of weight / (k + rank) over the lists a hit is in.

    Cormack, Clarke and Büttcher 2009, where both weights are 1. A hit in both lists is shown as the one that gave it
    more. Of equals the one found by vector comes first, then the one of better rank.
    """
    sums: dict[bytes, float] = {}
    best: dict[bytes, tuple[float, Hit]] = {}
    for hits, weight, by_vector in ((semantic, ratio, True), (keyword, 1.0 - ratio, False)):
        for rank, hit in enumerate(hits, start=1):
            key, share = seq_of(hit), weight / (k + rank)
            sums[key] = sums.get(key, 0.0) + share
            if key not in best or share > best[key][0]:
                best[key] = (share, Hit(hit, by_vector))
    for key in sorted(sums, key=sums.__getitem__, reverse=True):  # stable
        yield best[key][1]


def _unseen(hit: Hit, seen: set[bytes]) -> Iterator[Hit]:
    key = seq_of(hit.hit)
    if key not in seen:
        seen.add(key)
        yield hit


def _single(number: float) -> float:
    """The number in 32 bits, in which a node keeps the ratio."""
    rounded: float = struct.unpack("<f", struct.pack("<f", number))[0]
    return rounded


def _keyword_weight(ratio: float) -> float:
    return _single(1.0 - _single(ratio))


def _values(hit: bytes, weight: float) -> list[tuple[int, Any]]:
    """What a hit of one list is compared with one of the other by: sorts, its score, further sorts.

    Several rules of words side by side are one score. Only the first is known as a number, and only the first meets a
    score of the other list.
    """
    values: list[tuple[int, Any]] = []
    for rule, detail in sorted(details_of(hit).items(), key=rule_order):
        if rule == SEQ_RULE:
            continue
        if "value" in detail or "distance" in detail:
            values.append((_OF_SORTS, sort_element(rule, detail)))
        elif not values or values[-1][0] != _OF_SCORES:
            values.append((_OF_SCORES, score_of(hit) * weight))
    return values


def _is_better(one: Sequence[tuple[int, Any]], other: Sequence[tuple[int, Any]]) -> bool:
    """Whether a hit with the values `one` ranks before one with `other`; equals do not."""
    for (kind, value), (other_kind, other_value) in zip(one, other, strict=False):
        if kind != other_kind:
            return bool(value > 0.0 if kind == _OF_SCORES else other_value == 0.0)
        if kind == _OF_SORTS:
            if value != other_value:
                return bool(value < other_value)
        elif abs(value - other_value) > _EPSILON:
            return bool(value > other_value)
    return len(one) > len(other)
