"""The answers to a federated search's queries as one: hits in one order, each document once, totals, facets.

Each query's hits are merged over the nodes as those of any search. Then, as a node does it, the lists of an index's
queries become one, in which a document is kept where it comes first, and the lists of the indexes become one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import merge as merge_in_order
from itertools import islice
from typing import Final

import msgspec
import orjson

from miroir.search.display import Presentation
from miroir.search.distinct import keep_distinct
from miroir.search.facets import Counts, FacetPlan, FacetStats, Stats, distribution, gather, merge_stats
from miroir.search.federated import Federation
from miroir.search.ranking import key_of, merged, seq_of
from miroir.search.request import Prepared
from miroir.search.weighted_scores import Value, clients_values, compare

_BEHIND: Final = frozenset({"_formatted", "_matchesPosition", "_rankingScore", "_rankingScoreDetails"})
"""Members of a hit that come after the document's, and after `_federation`."""

_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Federated(msgspec.Struct):
    federation: msgspec.Raw = msgspec.field(name="_federation")


class _Scores(msgspec.Struct, rename="camel"):
    weighted_ranking_score: msgspec.Raw
    weighted_score_values: list[Value]


_federated: Final = msgspec.json.Decoder(_Federated)
_scores: Final = msgspec.json.Decoder(_Scores)


class NodeFacets(msgspec.Struct):
    """One index's entry in a node's `facetsByIndex`."""

    distribution: dict[str, Counts]
    stats: dict[str, FacetStats]


class FederatedAnswer(msgspec.Struct, rename="camel"):
    """One node's answer about one index."""

    hits: list[msgspec.Raw]
    processing_time_ms: int
    estimated_total_hits: int
    semantic_hit_count: int | None = None
    query_vectors: dict[str, msgspec.Raw] | None = None
    facets_by_index: dict[str, NodeFacets] = {}


_answer: Final = msgspec.json.Decoder(FederatedAnswer)


def parse_federated(body: bytes) -> FederatedAnswer:
    """A node's 200 answer; `msgspec.DecodeError` (or its `ValidationError`) if it is not one."""
    answer = _answer.decode(body)
    for hit in answer.hits:
        if memoryview(hit)[0] != 0x7B:
            raise msgspec.ValidationError("a hit is not an object")
        _federated.decode(hit)
    return answer


@dataclass(slots=True)
class QueryFound:
    """What the nodes said to one query."""

    uid: str
    """The index as the client names it."""
    position: int
    prepared: Prepared
    answers: Sequence[FederatedAnswer]
    left_out: int = 0
    """Documents that `distinct` left out in the merge: nodes have counted them."""


@dataclass(slots=True)
class IndexFound:
    """What was found in one index. `counts`: the answers that totals and facets are taken from."""

    queries: Sequence[QueryFound]
    counts: Sequence[FederatedAnswer]
    facets: FacetPlan | None = None


class _Hit:
    """A hit of a query; those that come first are smaller."""

    __slots__ = ("__dict__", "found", "raw")

    def __init__(self, raw: bytes, found: QueryFound) -> None:
        self.raw = raw
        self.found = found

    @cached_property
    def said(self) -> bytes:
        """`_federation` as the node wrote it."""
        return bytes(_federated.decode(self.raw).federation)

    @cached_property
    def scores(self) -> _Scores:
        """What it is compared by."""
        return _scores.decode(self.said)

    @cached_property
    def values(self) -> Sequence[Value]:
        """Its values without ours."""
        return clients_values(self.scores.weighted_score_values)

    @cached_property
    def seq(self) -> bytes:
        """Its insertion stamp; no two documents have the same. Of indexes behind one alias it orders equal hits."""
        return seq_of(self.raw)

    @property
    def is_semantic(self) -> bool:
        """Whether it was found by its vector."""
        return any("vectorSort" in value for value in self.values)

    def __lt__(self, other: _Hit) -> bool:
        order = compare(
            self.values,
            float(bytes(self.scores.weighted_ranking_score)),
            other.values,
            float(bytes(other.scores.weighted_ranking_score)),
        )
        if order or self.found.position != other.found.position:
            return order > 0 or (order == 0 and self.found.position < other.found.position)
        return self.seq < other.seq


def _of_query(found: QueryFound, reach: int) -> Iterator[_Hit]:
    """A query's hits over all nodes, as many as one node would have taken for it."""
    prepared = found.prepared
    key = key_of(prepared.order, exact_ties=prepared.index.exact_ties, semantic_ratio=prepared.semantic_ratio)
    hits = merged([answer.hits for answer in found.answers], key)
    if prepared.distinct is not None and len(found.answers) > 1:
        kept, dropped = keep_distinct(hits, prepared.distinct, reach)
        found.left_out = len(dropped)
        hits = iter(kept)
    return (_Hit(hit, found) for hit in islice(hits, reach))


def _of_index(index: IndexFound, reach: int) -> Iterator[_Hit]:
    """An index's hits, each document where the first of its queries puts it."""
    lists = [_of_query(found, reach) for found in index.queries]
    if len(lists) == 1:
        return lists[0]
    return islice(_once(merge_in_order(*lists)), reach)


def _once(hits: Iterator[_Hit]) -> Iterator[_Hit]:
    seen: set[bytes] = set()
    for hit in hits:
        if hit.seq not in seen:
            seen.add(hit.seq)
            yield hit


class _Presenter:
    """Hits as the client sees them."""

    def __init__(self, *, shows_values: bool) -> None:
        self._shows_values = shows_values
        self._shapes: dict[int, tuple[Presentation, bool]] = {}

    def __call__(self, hit: _Hit) -> bytes:
        found = hit.found
        known = self._shapes.get(id(found))
        if known is None:
            shape = found.prepared.presentation
            ends = not (shape.has_formatted or shape.has_positions or shape.keep_score or shape.keep_details)
            known = self._shapes[id(found)] = (shape, ends)
        shape, ends = known
        shown = b"".join(shape.shown((_without(hit.raw, b'"_federation":%s' % hit.said),)))
        member = b'"_federation":{"indexUid":%s,"queriesPosition":%d,"weightedRankingScore":%s%s}' % (
            orjson.dumps(found.uid),
            found.position,
            bytes(hit.scores.weighted_ranking_score),
            b',"weightedScoreValues":%s' % msgspec.json.encode(hit.values) if self._shows_values else b"",
        )
        if ends:
            return b"%s,%s}" % (shown[:-1], member) if len(shown) > 2 else b"{%s}" % member
        return _inserted(shown, member)


def _without(hit: bytes, member: bytes) -> bytes:
    """A hit without one of its members, given as it stands there."""
    start = hit.rfind(member)
    end = start + len(member)
    if hit[end] == 0x2C:
        end += 1
    elif hit[start - 1] == 0x2C:
        start -= 1
    return hit[:start] + hit[end:]


def _inserted(hit: bytes, member: bytes) -> bytes:
    """A hit with a member put behind those of the document."""
    before: list[bytes] = []
    behind: list[bytes] = []
    for name, value in _members.decode(hit).items():
        (behind if name in _BEHIND else before).append(b"%s:%s" % (orjson.dumps(name), bytes(value)))
    return b"{%s}" % b",".join([*before, member, *behind])


def _facets_of(indexes: Sequence[IndexFound]) -> tuple[dict[str, Counts], Stats] | None:
    """The facets under one name over all nodes: values in their order, smallest and greatest numbers."""
    plan = indexes[0].facets
    if plan is None:
        return None
    counts = [answer for index in indexes for answer in index.counts]
    found = [facets for answer in counts for facets in answer.facets_by_index.values()]
    stats = [facets.stats for facets in found]
    total = sum([answer.estimated_total_hits for answer in counts])
    shown = distribution(gather([facets.distribution for facets in found], stats, plan, total), plan)
    if not found:
        shown = {name: {} for name in sorted(set(plan.names) - plan.hidden - {"*"})}
    return shown, merge_stats(stats, plan.hidden)


def _stats(stats: Stats) -> bytes:
    return b"{%s}" % b",".join(
        [b'%s:{"min":%s,"max":%s}' % (orjson.dumps(name), low, high) for name, (low, high) in stats.items()]
    )


def _summed(parts: Sequence[Mapping[str, Counts]], by_count: Mapping[str, bool], most: int | None) -> bytes:
    """`facetDistribution` over several indexes. `by_count`: how attributes that were named are ordered."""
    counts: dict[str, Counts] = {}
    for part in parts:
        for name, values in part.items():
            sums = counts.setdefault(name, {})
            for value, count in values.items():
                sums[value] = sums.get(value, 0) + count
    shown = {}
    for name in sorted(counts):
        if by_count.get(name, False):
            ordered = sorted(counts[name].items(), key=lambda item: -item[1])
        else:
            ordered = sorted(counts[name].items())
        shown[name] = dict(ordered[:most])
    return orjson.dumps(shown)


def _facet_members(found: Mapping[str, Sequence[IndexFound]], federation: Federation) -> bytes:
    by_name = {uid: facets for uid, indexes in found.items() if (facets := _facets_of(indexes)) is not None}
    if not by_name:
        return b""
    if not federation.merges_facets:
        parts = [
            b'%s:{"distribution":%s,"stats":%s}' % (orjson.dumps(uid), orjson.dumps(shown), _stats(stats))
            for uid, (shown, stats) in by_name.items()
        ]
        return b',"facetsByIndex":{%s}' % b",".join(parts)
    by_count = {
        name: plan.orders_by_count(name)
        for indexes in found.values()
        if (plan := indexes[0].facets) is not None
        for name in plan.names
    }
    counts = _summed([shown for shown, _ in by_name.values()], by_count, federation.max_values_per_facet)
    stats: Stats = {}
    for _, part in by_name.values():
        for name, (low, high) in part.items():
            known = stats.get(name, (low, high))
            stats[name] = (min(known[0], low, key=float), max(known[1], high, key=float))
    return b',"facetDistribution":%s,"facetStats":%s' % (counts, _stats(dict(sorted(stats.items()))))


def merge_federated(found: Mapping[str, Sequence[IndexFound]], federation: Federation, *, wants_vectors: bool) -> bytes:
    """The client's answer. `found`: what was found under each name, in the order of the names."""
    indexes = [index for each in found.values() for index in each]
    answers = [answer for index in indexes for query in index.queries for answer in query.answers]
    reach = federation.reach
    lists = [_of_index(index, reach) for index in indexes]
    hits = lists[0] if len(lists) == 1 else merge_in_order(*lists)
    page = list(islice(hits, federation.offset, reach))
    total = sum([answer.estimated_total_hits for index in indexes for answer in index.counts])
    total -= sum([query.left_out for index in indexes for query in index.queries])
    present = _Presenter(shows_values=federation.shows_values)
    parts = [
        b'{"hits":[%s]' % b",".join([present(hit) for hit in page]),
        b',"processingTimeMs":%d' % max([answer.processing_time_ms for answer in answers], default=0),
        b',"limit":%d,"offset":%d,"estimatedTotalHits":%d' % (federation.limit, federation.offset, max(total, 0)),
    ]
    if wants_vectors:
        vectors = {
            query.position: bytes(vector)
            for index in indexes
            for query in index.queries
            for answer in query.answers
            for vector in (answer.query_vectors or {}).values()
        }
        listed = [b'"%d":%s' % (position, vectors[position]) for position in sorted(vectors)]
        parts.append(b',"queryVectors":{%s}' % b",".join(listed))
    if any(answer.semantic_hit_count is not None for answer in answers):
        parts.append(b',"semanticHitCount":%d' % sum(1 for hit in page if hit.is_semantic))
    parts += (_facet_members(found, federation), b"}")
    return b"".join(parts)
