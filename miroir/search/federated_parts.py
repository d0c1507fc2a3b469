"""What a federated search asks of the nodes: every query apart, and what an index's queries find together.

A node refuses queries together that our last ranking rule makes unlike, and would order their hits by it; so each is a
federated search of its own. Only the nodes can count what several queries find together: for that they are asked once
more, without sorts and without hits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from miroir.errors import ApiError
from miroir.indexes import Index
from miroir.search.federated import MOST, FederatedQuery, Federation
from miroir.search.federated_merge import FederatedAnswer, IndexFound, QueryFound
from miroir.search.hybrid import Kind, kind_of
from miroir.search.node_body import NodeBody, dumps
from miroir.search.ranking import SEQ_RULE
from miroir.search.ranking_rules import CanonicalRules, canonical_rules, same_kinds
from miroir.search.request import Prepared, Window, facet_plan, prepare
from miroir.search.scatter import Gathered

_UNSHOWN: Final = frozenset(
    {"sort", "attributesToHighlight", "attributesToCrop", "showRankingScore", "showRankingScoreDetails",
     "showMatchesPosition", "retrieveVectors"}
)  # fmt: skip
"""What of a query does not change what it finds."""

Asked = tuple[list[FederatedAnswer], Gathered[FederatedAnswer]]


@dataclass(slots=True)
class Query:
    """One query of one index, and what became of it."""

    query: FederatedQuery
    index: Index
    prepared: Prepared | None = None
    rules: CanonicalRules | None = None
    outcome: Asked | ApiError | None = None
    limit: int = 0
    """How many hits each node is asked for."""


@dataclass(slots=True)
class Part:
    """What is asked of one index. `facets`: their names, if any were asked for."""

    index: Index
    queries: list[Query]
    facets: Sequence[str] | None
    counts: list[Asked | ApiError] = field(default_factory=list)
    """What the queries find together, by groups that a node takes together; empty for a single query."""

    def asked(self) -> list[Asked]:
        """Everything that the nodes have answered about it."""
        outcomes = [*(each.outcome for each in self.queries), *self.counts]
        return [outcome for outcome in outcomes if isinstance(outcome, tuple)]

    def found(self) -> IndexFound:
        """What was found, once nothing has gone wrong."""
        queries = []
        for each in self.queries:
            assert each.prepared is not None
            assert isinstance(each.outcome, tuple)
            queries.append(QueryFound(self.index.uid, each.query.position, each.prepared, each.outcome[0]))
        counts = [answer for outcome in self.counts if isinstance(outcome, tuple) for answer in outcome[0]]
        facets = None if self.facets is None else facet_plan(self.facets, self.index.view)
        return IndexFound(queries, counts if len(queries) > 1 else queries[0].answers, facets)


def part_of(index: Index, queries: Sequence[FederatedQuery], federation: Federation, over_fetch: int) -> Part:
    """The part of a request that is about one index, ready to be asked. What we refuse is its queries' outcome.

    `over_fetch`: how many times the hits wanted each node is asked for where vectors take part.
    """
    uid, reach = index.uid, federation.reach
    part = Part(index, [Query(query, index) for query in queries], federation.facets_by_index.get(uid))
    for each in part.queries:
        each.rules = canonical_rules(index.view.ranking_rules, each.query.body, uid=uid, position=each.query.position)
        each.limit = reach if kind_of(each.query.body) is Kind.KEYWORD else min(reach * over_fetch, MOST)
        try:
            each.prepared = prepare(each.query.body, index.view, federated=Window(0, reach, False, reach, 1))
        except ApiError as refusal:
            each.outcome = said_inside(refusal, f".queries[{each.query.position}]")
    return part


def query_body(each: Query, facets: Sequence[str] | None) -> Callable[[tuple[int, ...]], bytes]:
    """One query as a federated search of its own."""
    assert each.prepared is not None
    node_body = each.prepared.node_body
    head = _head(each.index, each.limit, facets)
    options = _options(each)

    def body(shards: tuple[int, ...]) -> bytes:
        query = node_body(shards)
        return b"%s%s%s%s]}" % (head, options, b"," if len(query) > 2 else b"", query[1:])

    return body


def count_body(
    group: Sequence[Query], federation: Federation, facets: Sequence[str] | None
) -> Callable[[tuple[int, ...]], bytes]:
    """Several queries of an index as one federated search that is asked for no document."""
    views = group[0].index.view
    exact = any(
        each.query.body.get("rankingScoreThreshold") is not None or each.query.body.get("distinct") for each in group
    )
    # What such a query finds depends on how many hits are taken.
    head = _head(group[0].index, federation.reach if exact or views.distinct is not None else 0, facets)
    queries = [(_options(each), NodeBody.of(_counted(each.query.body))) for each in group]

    def body(shards: tuple[int, ...]) -> bytes:
        return b"%s%s]}" % (head, b",".join([b"%s,%s" % (options, query(shards)[1:]) for options, query in queries]))

    return body


def _head(index: Index, limit: int, facets: Sequence[str] | None) -> bytes:
    federation: dict[str, Any] = {"limit": limit}
    if facets is not None:
        federation["facetsByIndex"] = {index.physical_uid: facets}
    return b'{"federation":%s,"queries":[' % dumps(federation)


def _options(each: Query) -> bytes:
    options = {"weight": each.query.weight, "queryPosition": each.query.position}
    return b'{"indexUid":%s,"federationOptions":%s' % (dumps(each.index.physical_uid), dumps(options))


def _counted(body: Mapping[str, Any]) -> dict[str, Any]:
    """A query of which only what it finds is of interest, made like the others so that a node takes them together.

    A query of blanks finds what one without words finds, and has the ranking rules of those with words.
    """
    counted = {name: value for name, value in body.items() if name not in _UNSHOWN}
    counted["attributesToRetrieve"] = []
    text = body.get("q")
    if not (isinstance(text, str) and text) and kind_of(body) is not Kind.SEMANTIC:
        counted["q"] = " "
    return counted


def alike(queries: Sequence[Query]) -> list[list[Query]]:
    """The queries of an index in groups that a node takes together; nearly always one."""
    groups: list[tuple[CanonicalRules, list[Query]]] = []
    for each in queries:
        rules = [*each.index.view.ranking_rules, *([SEQ_RULE] if each.index.view.exact_ties else [])]
        found = canonical_rules(rules, _counted(each.query.body), uid="", position=0)
        assert found is not None  # there is no sort in it that could be wrong
        for kinds, group in groups:
            if same_kinds(kinds, found):
                group.append(each)
                break
        else:
            groups.append((found, [each]))
    return [group for _, group in groups]


def facets_body(index: Index, facets: Sequence[str] | None) -> Callable[[tuple[int, ...]], bytes]:
    """Facets alone, for a node to judge."""
    body = dumps({"federation": {"limit": 0, "facetsByIndex": {index.physical_uid: facets}}, "queries": []})
    return lambda _: body


def said_inside(error: ApiError, place: str) -> ApiError:
    """An error as a node says it of a part of a request: what is not found there is a bad request."""
    return ApiError(
        400 if error.status == 404 else error.status,
        f"Inside `{place}`: {error.message}",
        code=error.code,
        type=error.type,
        link=error.link,
        headers=error.headers,
    )
