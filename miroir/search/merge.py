"""The nodes' answers as one: hits in order, totals, facets, the members in a node's order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec
import orjson

from miroir.search.distinct import facet_values, keep_distinct
from miroir.search.facets import (
    Buckets,
    FacetPlan,
    FacetStats,
    Stats,
    distribution,
    facet_number,
    gather,
    merge_stats,
)
from miroir.search.hybrid import is_semantic
from miroir.search.ranking import Order, key_of, merged
from miroir.search.request import Prepared
from miroir.search.written import Parts, in_order

_NODE_CUT: Final = 1000
"""Nodes list at least this many values of a facet; fewer means that all are there."""

_WORD: Final = 1 << 64
"""Nodes count pages within 64 bits."""

_ABSENT: Final = msgspec.Raw(b"")


class NodeAnswer(msgspec.Struct, rename="camel"):
    """One node's answer to a search. Hits stay bytes; members we do not know are left out."""

    hits: list[msgspec.Raw]
    processing_time_ms: int
    query: msgspec.Raw = msgspec.Raw(b'""')
    estimated_total_hits: int | None = None
    total_hits: int | None = None
    facet_distribution: dict[str, dict[str, int]] | None = None
    facet_stats: dict[str, FacetStats] | None = None
    query_vector: msgspec.Raw = _ABSENT  # a `Raw | None` would take nothing but null
    semantic_hit_count: int | None = None
    request_uid: msgspec.Raw = _ABSENT

    @property
    def total(self) -> int:
        """How many documents match, as far as the node counts (`maxTotalHits`)."""
        return self.total_hits if self.total_hits is not None else self.estimated_total_hits or 0


_decoder: Final = msgspec.json.Decoder(NodeAnswer)


def parse_answer(body: bytes) -> NodeAnswer:
    """A node's 200 answer; `msgspec.DecodeError` (or its `ValidationError`) if it is not one."""
    answer = _decoder.decode(body)
    for hit in answer.hits:
        if memoryview(hit)[0] != 0x7B:
            raise msgspec.ValidationError("a hit is not an object")
    return answer


def _without_dropped(buckets: dict[str, Buckets], stats: Stats, dropped: Sequence[Any]) -> Stats:
    """Take duplicates out of the counts; the smallest and greatest number are read off what is left."""
    for name, part in buckets.items():
        before = len(part.numbers)
        for document in dropped:
            for value in facet_values(document, name):
                part.drop(value)
        if name not in stats or before >= _NODE_CUT or len(part.numbers) == before:
            continue
        if part.numbers:
            found = [float(text) for text in part.numbers]
            low, high = min(found, key=facet_number), max(found, key=facet_number)
            stats[name] = (msgspec.json.encode(low), msgspec.json.encode(high))  # a node's way: 1e17, not 1e+17
        else:
            del stats[name]
    return stats


def _facet_members(
    answers: Sequence[NodeAnswer], plan: FacetPlan, total: int, cap: int, dropped: Sequence[Any]
) -> bytes:
    parts = [answer.facet_distribution or {} for answer in answers]
    stats_of = [answer.facet_stats or {} for answer in answers]
    buckets = gather(parts, stats_of, plan, total, clamped=any(answer.total >= cap for answer in answers))
    stats = merge_stats(stats_of, plan.hidden)
    if dropped:
        stats = _without_dropped(buckets, stats, dropped)
    shown = distribution(buckets, plan)
    if not answers:
        shown = {name: {} for name in sorted(set(plan.names) - plan.hidden - {"*"})}
    listed = b",".join(
        [b'%s:{"min":%s,"max":%s}' % (orjson.dumps(name), low, high) for name, (low, high) in stats.items()]
    )
    return b',"facetDistribution":%s,"facetStats":{%s}' % (orjson.dumps(shown), listed)


def _totals(prepared: Prepared, total: int) -> bytes:
    window = prepared.window
    if not window.paged:
        return b',"limit":%d,"offset":%d,"estimatedTotalHits":%d' % (window.echo_limit, window.offset, total)
    pages = (total + window.echo_limit - 1) % _WORD // window.echo_limit if window.echo_limit else 0
    return b',"hitsPerPage":%d,"page":%d,"totalPages":%d,"totalHits":%d' % (
        window.echo_limit,
        window.echo_page,
        pages,
        total,
    )


def _first(members: Sequence[msgspec.Raw]) -> bytes:
    """The first of these members that came at all; empty if none did."""
    return next(filter(None, map(bytes, members)), b"")


class Ranking(NamedTuple):
    """The nodes' lists as one, as far as the client's window reaches."""

    sent: Sequence[bytes]
    """From the best hit to the last one needed, as the nodes sent them (`msgspec.Raw`, or bytes)."""
    total: int
    """How many documents match, `maxTotalHits` aside."""
    dropped: list[Any]
    """Documents that `distinct` took out on the way (decoded)."""
    apart: list[Parts] | None = None
    """The parts of the hits, if they were taken apart on the way."""

    @property
    def hits(self) -> list[bytes]:
        """What was sent, as bytes."""
        return list(map(bytes, self.sent))

    def shown(self, prepared: Prepared) -> list[bytes]:
        """The hits of the client's window as the client gets them, in pieces with the commas."""
        window = prepared.window
        page = slice(window.offset, window.offset + window.limit)
        return prepared.presentation.shown(self.sent[page], None if self.apart is None else self.apart[page])


def rank(answers: Sequence[NodeAnswer], prepared: Prepared, *, times: int = 1) -> Ranking:
    """The hits in order, so many `times` as the window needs; no answer at all is a valid input."""
    index, window = prepared.index, prepared.window
    lists = [answer.hits for answer in answers]
    total = sum([answer.total for answer in answers])
    most = min(window.reach * times, index.max_total_hits)
    distinct = prepared.distinct if len(answers) > 1 else None
    if prepared.order in (Order.SCORE, Order.SEQ) and distinct is None:
        found = in_order(lists, most, scored=prepared.order is Order.SCORE, exact_ties=index.exact_ties)
        if found is not None:
            return Ranking(found[0], total, [], found[1])
    key = key_of(prepared.order, exact_ties=index.exact_ties, semantic_ratio=prepared.semantic_ratio)
    ranked = merged(lists, key)
    if distinct is None:
        return Ranking(list(islice(ranked, most)), total, [])
    hits, dropped = keep_distinct(ranked, distinct, index.max_total_hits if window.paged else most)
    return Ranking(hits, total - len(dropped), dropped)


def counted_texts(answers: Sequence[NodeAnswer], prepared: Prepared, name: str) -> dict[str, int] | None:
    """How many of the hits that `distinct` leaves have each text of an attribute, by what the text is filed under.

    None if a node listed only some of its values.
    """
    parts = [answer.facet_distribution or {} for answer in answers]
    if prepared.facets is None or any(len(part.get(name, ())) >= _NODE_CUT for part in parts):
        return None
    ranking = rank(answers, prepared)
    buckets = gather(parts, [answer.facet_stats or {} for answer in answers], prepared.facets, ranking.total)
    _without_dropped(buckets, {}, ranking.dropped)
    return {filed: count for filed, (_, count) in buckets[name].texts.items()} if name in buckets else {}


def merge(answers: Sequence[NodeAnswer], prepared: Prepared) -> bytes:
    """The client's answer. The same answers in the same order give the same bytes; none at all is a valid input."""
    ranking = rank(answers, prepared)
    semantic = None
    if any(answer.semantic_hit_count is not None for answer in answers):
        window = prepared.window
        semantic = sum(map(is_semantic, ranking.hits[window.offset : window.offset + window.limit]))
    return write(answers, prepared, ranking, ranking.shown(prepared), semantic)


def write(
    answers: Sequence[NodeAnswer],
    prepared: Prepared,
    ranking: Ranking,
    shown: Iterable[bytes],
    semantic_hits: int | None,
) -> bytes:
    """An answer around the hits shown, pieces with their commas.

    `semantic_hits`: how many were found by vector; None: no vector took part.
    """
    cap = prepared.index.max_total_hits
    parts = [
        b'{"hits":[',
        *shown,
        b'],"query":',
        bytes(answers[0].query) if answers else orjson.dumps(prepared.query),
    ]
    vector = _first([answer.query_vector for answer in answers])
    if vector:
        parts += (b',"queryVector":', vector)
    parts.append(b',"processingTimeMs":%d' % max([answer.processing_time_ms for answer in answers], default=0))
    parts.append(_totals(prepared, min(ranking.total, cap)))
    if prepared.facets is not None:
        parts.append(_facet_members(answers, prepared.facets, ranking.total, cap, ranking.dropped))
    uid = _first([answer.request_uid for answer in answers])
    if uid:
        parts += (b',"requestUid":', uid)
    if semantic_hits is not None:
        parts.append(b',"semanticHitCount":%d' % semantic_hits)
    parts.append(b"}")
    return b"".join(parts)
