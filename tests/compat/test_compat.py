"""Generated requests are answered as one node answers them: shapes of clusters against one plain node.

`docs/compatibility.md` explains the approximations; `python -m tests.compat` runs more of the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import pytest

from tests.compat.cases import Case, cases
from tests.compat.corpus import Document, corpus
from tests.compat.federated import federated_cases
from tests.compat.report import Report
from tests.compat.run import Comparison, Side
from tests.compat.variants import LANGUAGES, PLAIN
from tests.compat.vectors import is_semantic
from tests.nodes import Cluster, RealNode

DOCUMENTS = 700
REQUESTS = 240
FEDERATED = 40
SEMANTIC_AMONG = 2000
"""Requests drawn for the sake of the searches by vector among them, which are asked for by themselves."""
RECALL_CHANCE = 0.02
"""Nodes build their graphs by chance: so much the recall of one and the same node differs from load to load."""


@pytest.fixture(scope="module")
def documents() -> Sequence[Document]:
    return corpus(DOCUMENTS, 1)


@pytest.fixture(scope="module")
def plain(single_node: RealNode, documents: Sequence[Document]) -> Iterator[Side]:
    side = Side(single_node.api)
    side.load(documents)
    yield side
    side.unload()


def explained(report: Report) -> str:
    """What differs, for a test that fails."""
    return "\n".join(f"{outcome.case}\n    " + "\n    ".join(outcome.where[:6]) for outcome in report.differing[:10])


@pytest.mark.allow_stamps  # a malformed request may name one, and is told that there is none, as by a node
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("groups", "nodes", "rf", "limit", "seed"),
    [(1, 3, 1, None, 1), (2, 2, 2, None, 2), (1, 6, 1, 1000, 3)],
    ids=["3 nodes", "2 groups x 2, RF 2", "6 nodes, limit 1000"],
)
def test_generated_requests_are_answered_as_by_one_node(
    cluster: Callable[..., Cluster],
    plain: Side,
    documents: Sequence[Document],
    groups: int,
    nodes: int,
    rf: int,
    limit: int | None,
    seed: int,
) -> None:
    running = cluster(groups=groups, nodes=nodes, rf=rf)
    right = Side(running.client)
    right.load(documents)
    report = Report.of(Comparison(plain, right, documents).run(cases(seed, REQUESTS, documents, limit=limit)))
    assert not report.differing, explained(report)
    assert report.total.unbuilt == 0
    assert report.same_hits >= 0.98
    assert report.features["pages put together"].different == 0
    federated = Report.of(Comparison(plain, right, documents).run(federated_cases(seed, FEDERATED, documents)))
    assert not federated.differing, explained(federated)
    assert federated.total.unbuilt == 0
    by_vector = filter(is_semantic, cases(seed, SEMANTIC_AMONG, documents, limit=limit))
    neighbours = Report.of(Comparison(plain, right, documents).run(by_vector))
    assert not neighbours.differing, explained(neighbours)
    assert neighbours.semantic >= 50
    left_recall, right_recall = neighbours.recall
    assert right_recall >= left_recall - RECALL_CHANCE
    right.unload()


def ranks(hits: list[dict[str, Any]]) -> list[tuple[object, list[str]]]:
    """The hits in groups of those that every ranking rule takes for equal; within a group by key."""
    grouped = groupby(hits, key=lambda hit: hit["_rankingScoreDetails"])
    return [(details, sorted(str(hit.get("id", hit.get("sku"))) for hit in group)) for details, group in grouped]


def test_without_exact_ties_only_ties_are_in_another_order(
    cluster: Callable[..., Cluster], plain: Side, documents: Sequence[Document]
) -> None:
    running = cluster(over={"scatter": {"exact_ties": False}})
    right = Side(running.client)
    variants = (PLAIN, LANGUAGES)
    right.load(documents, variants)

    def comparable(case: Case) -> bool:
        """Every hit in one answer, ranked by the query, the filter and the sort alone."""
        body = case.body
        is_bare = (
            case.kind == "search" and case.method == "POST" and not body.keys() & {"distinct", "rankingScoreThreshold"}
        )
        return is_bare and case.variant in variants

    compared = 0
    for case in filter(comparable, cases(4, 300, documents)):
        taken = ("q", "filter", "sort", "matchingStrategy", "attributesToSearchOn", "locales")
        body = {name: case.body[name] for name in taken if name in case.body and case.body[name] != "frequency"}
        body |= {"limit": 1000, "showRankingScoreDetails": True}
        asked = Case(case.number, case.variant, "search", "POST", "search", body)
        one, other = plain.ask(asked), right.ask(asked)
        assert one.status == other.status, str(asked)
        if one.status != 200:  # what an index does not allow
            continue
        left, ours = one.json(), other.json()
        assert ranks(ours["hits"]) == ranks(left["hits"]), str(asked)
        assert ours["estimatedTotalHits"] == left["estimatedTotalHits"]
        compared += 1
    assert compared > 50
    right.unload(variants)
