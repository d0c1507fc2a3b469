"""Generated federated searches: their queries are searches of `tests.compat.cases`, over several indexes at once."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any, Final

from tests.compat.approximations import Knowledge, approximations_of
from tests.compat.cases import Body, Case, cases
from tests.compat.corpus import Document
from tests.compat.variants import HURRIED, PLAIN
from tests.compat.vectors import is_semantic

KIND: Final = "federated"
_PAGES: Final = frozenset({"offset", "limit", "page", "hitsPerPage"})
_DRAWN_FOR_ONE: Final = 6
_MOST_TOGETHER: Final = 4


def federated_cases(seed: int, count: int, documents: Sequence[Document]) -> Iterator[Case]:
    """`count` federated searches, of queries that by themselves are answered as one node answers them.

    `body` names variants where a request names indexes.
    """
    chance = random.Random(seed)
    known = Knowledge.of(documents)
    drawn = cases(seed, count * _DRAWN_FOR_ONE * _MOST_TOGETHER, documents)
    exact = (case for case in drawn if _is_plain(case) and not approximations_of(case, known))
    for number in range(count):
        together = [next(exact) for _ in range(chance.randint(1, _MOST_TOGETHER))]
        yield _federated(chance, number, together)


def named(body: Body, uid: Any) -> Body:
    """The request, with `uid(variant)` where it names a variant."""
    federation = dict(body["federation"])
    if "facetsByIndex" in federation:
        federation["facetsByIndex"] = {uid(name): facets for name, facets in federation["facetsByIndex"].items()}
    return {
        "federation": federation,
        "queries": [{**query, "indexUid": uid(query["indexUid"])} for query in body["queries"]],
    }


def _is_plain(case: Case) -> bool:
    is_search = case.kind == "search" and case.method == "POST" and not is_semantic(case)
    return is_search and case.variant is not HURRIED and not case.body.keys() & {"vector", "hybrid"}


def _federated(chance: random.Random, number: int, together: Sequence[Case]) -> Case:
    queries: list[Body] = []
    facets: dict[str, Any] = {}
    features = {"federated search"}
    keeps_sorts = chance.random() < 0.3  # unlike ones are refused together
    for case in together:
        query = {name: value for name, value in case.body.items() if name not in _PAGES and name != "facets"}
        if not keeps_sorts:
            query.pop("sort", None)
        if isinstance(case.body.get("facets"), list) and chance.random() < 0.5:
            facets[case.variant.name] = case.body["facets"]
        if chance.random() < 0.5:
            query["federationOptions"] = {"weight": chance.choice([0, 0.3, 1, 1.5, 2, 10])}
            features.add("federated search: weight")
        queries.append({"indexUid": case.variant.name, **query})
    federation: Body = {}
    if facets:
        federation["facetsByIndex"] = facets
        features.add("federated search: facetsByIndex")
        if chance.random() < 0.5:
            federation["mergeFacets"] = chance.choice([{}, {"maxValuesPerFacet": 3}])
            features.add("federated search: mergeFacets")
    for name in ("offset", "limit"):
        if chance.random() < 0.4:
            federation[name] = chance.choice([0, 3, 10, 40])
    if len({query["indexUid"] for query in queries}) < len(queries):
        features.add("federated search: several queries of an index")
    body = {"federation": federation, "queries": queries}
    return Case(number, PLAIN, KIND, "POST", "multi-search", body, frozenset(features))
