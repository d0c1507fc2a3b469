"""Facet search over several nodes: the values each found, as one list in the order one node gives.

A node walks a facet's values in the order of their texts: as filed when nothing is searched for, and otherwise in that
of the words index, where accents and other marks do not count. With `count` it keeps the most frequent instead.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import heappush, heapreplace
from heapq import merge as merge_sorted
from typing import Any, Final

import msgspec
import orjson

from miroir.indexes.view import IndexView
from miroir.search.facets import normalise
from miroir.search.node_body import NodeBody

# What the words index writes otherwise beyond decomposing and lowering: ligatures, quotes, dotless and barred letters.
_FOLDED: Final = str.maketrans({"æ": "ae", "œ": "oe", "đ": "d", "ð": "d", "ı": "i", "’": "'", "‘": "'", "`": "'"})
_SEARCHED_FOR: Final = (
    "q",
    "filter",
    "matchingStrategy",
    "attributesToSearchOn",
    "rankingScoreThreshold",
    "locales",
)
_KATAKANA: Final = range(0x30A1, 0x30F7)
_TO_HIRAGANA: Final = 0x60


class FacetHit(msgspec.Struct):
    """One value and the number of documents that have it."""

    value: str
    count: int


class FacetAnswer(msgspec.Struct, rename="camel"):
    """One node's answer to a facet search."""

    facet_hits: list[FacetHit]
    processing_time_ms: int
    facet_query: msgspec.Raw = msgspec.Raw(b"null")


_decoder: Final = msgspec.json.Decoder(FacetAnswer)


def parse_facet_answer(body: bytes) -> FacetAnswer:
    """A node's 200 answer; `msgspec.DecodeError` if it is not one."""
    return _decoder.decode(body)


@dataclass(frozen=True, slots=True, eq=False)
class FacetSearch:
    """A facet search ready to be scattered."""

    node_body: NodeBody
    facet_query: str | None
    by_count: bool
    max_values: int


def prepare_facet_search(body: Mapping[str, Any], index: IndexView) -> FacetSearch:
    """What the nodes are asked for a client's `body`, any JSON object. All judgement is the nodes'."""
    orders = dict(index.sort_facet_values_by)
    name, query = body.get("facetName"), body.get("facetQuery")
    order = orders.get(name) if isinstance(name, str) else None
    return FacetSearch(
        node_body=NodeBody.of(dict(body)),
        facet_query=query if isinstance(query, str) else None,
        by_count=(order or orders.get("*", "alpha")) == "count",
        max_values=index.max_values_per_facet,
    )


@lru_cache(maxsize=1 << 14)
def words_key(text: str) -> tuple[str, str]:
    """Where a value stands in the words index: by its letters alone, then as filed."""
    filed = normalise(text)
    if filed.isascii():
        return filed.replace("`", "'"), filed
    letters = "".join(
        chr(ord(letter) - _TO_HIRAGANA) if ord(letter) in _KATAKANA else letter
        for letter in filed
        if unicodedata.category(letter) != "Mn"
    )
    return letters.translate(_FOLDED), filed


def _filed_key(text: str) -> tuple[str, str]:
    filed = normalise(text)
    return filed, filed


def _united(lists: Sequence[Sequence[FacetHit]], key: Callable[[str], tuple[str, str]]) -> list[FacetHit]:
    """The lists as one, each kept in its order; of the spellings of one value that of the node with the most."""
    found: dict[str, tuple[FacetHit, int]] = {}
    for hit in merge_sorted(*lists, key=lambda hit: key(hit.value)):
        filed = normalise(hit.value)
        known = found.get(filed)
        if known is None:
            found[filed] = (FacetHit(hit.value, hit.count), hit.count)
            continue
        total, most = known
        total.count += hit.count
        if hit.count > most:
            total.value = hit.value
            found[filed] = (total, hit.count)
    return [hit for hit, _ in found.values()]


def _most_frequent(walked: Sequence[FacetHit], most: int) -> list[FacetHit]:
    """As many as a node keeps on its walk, where one that is as frequent as the least frequent kept takes its place."""
    kept: list[tuple[int, str]] = []
    for hit in walked:
        if len(kept) < most:
            heappush(kept, (hit.count, hit.value))
        elif kept and hit.count >= kept[0][0]:
            heapreplace(kept, (hit.count, hit.value))
    return [FacetHit(value, count) for count, value in sorted(kept, reverse=True)]


def winners_search(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The search whose hits are counted for a facet search: all if exhaustive, else what it takes to find twenty.

    A node counts so too, but with words it stops at twenty even if exhaustive, at the end of a rank.
    """
    window = {"page": 1, "hitsPerPage": 1} if body.get("exhaustiveFacetCount") is True else {}
    asked = {member: body[member] for member in _SEARCHED_FOR if member in body}
    return {**asked, **window, "facets": [name], "attributesToRetrieve": []}


def merge_facet_search(
    answers: Sequence[FacetAnswer], asked: FacetSearch, counts: Mapping[str, int] | None = None
) -> bytes:
    """The client's answer; no node's at all is a valid input.

    `counts`: of each value, by what it is filed under, in place of the nodes' sums; one without any is left out.
    """
    key = _filed_key if asked.facet_query is None else words_key
    hits = _united([answer.facet_hits for answer in answers], key)
    if counts is not None:
        counted = [FacetHit(hit.value, counts.get(normalise(hit.value), 0)) for hit in hits]
        hits = [hit for hit in counted if hit.count]
    if asked.by_count:
        hits = _most_frequent(sorted(hits, key=lambda hit: key(hit.value)), asked.max_values)
    echoed = bytes(answers[0].facet_query) if answers else orjson.dumps(asked.facet_query)
    return b'{"facetHits":%s,"facetQuery":%s,"processingTimeMs":%d}' % (
        msgspec.json.encode(hits[: asked.max_values]),
        echoed,
        max([answer.processing_time_ms for answer in answers], default=0),
    )
