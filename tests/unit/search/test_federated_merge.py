"""Hits of several queries, over several indexes, split over nodes in any way, become the one list they are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miroir.search.federated import Federation
from miroir.search.federated_merge import (
    FederatedAnswer,
    IndexFound,
    QueryFound,
    merge_federated,
    parse_federated,
)
from miroir.search.request import Window, prepare
from miroir.stamps import STAMP_FIELDS, seq_text, shard_text, stamp_text
from tests.unit.search.test_merge import _patient
from tests.unit.search.views import view

_STAMP = 1_700_000_000_000_000
NODES = 3


@dataclass(frozen=True)
class Match:
    """A document that a query finds."""

    position: int
    uid: str
    id: int
    score: float
    weight: float

    @property
    def weighted(self) -> float:
        return self.score * self.weight

    @property
    def rank(self) -> tuple[float, int, int]:
        """The best first; of equals the earlier query's, then the document that was written first."""
        return -self.weighted, self.position, self.id

    def stored(self) -> dict[str, Any]:
        """As a node sends it."""
        now = stamp_text(_STAMP)
        seq = seq_text(_STAMP, self.id)
        stamps = dict(zip(STAMP_FIELDS, (shard_text(self.id % 8), seq, now, now), strict=False))
        values = [{"weightedScore": self.weighted}, {"sort": {"value": seq, "asc": True}}]
        federation = {
            "indexUid": f"{self.uid}-1",
            "queriesPosition": self.position,
            "weightedRankingScore": self.weighted,
            "weightedScoreValues": values,
        }
        return {**stamps, "id": self.id, "_federation": federation, "_rankingScore": self.score}

    def shown(self) -> dict[str, Any]:
        """As the client sees it."""
        federation = {
            "indexUid": self.uid,
            "queriesPosition": self.position,
            "weightedRankingScore": self.weighted,
        }
        return {"id": self.id, "_federation": federation}


@st.composite
def searches(draw: st.DrawFn) -> list[list[Match]]:
    """What each query finds, of one of two indexes."""
    found = []
    for position in range(draw(st.integers(1, 4))):
        uid = draw(st.sampled_from(["books", "films"]))
        weight = draw(st.sampled_from([1.0, 0.5, 2.0]))
        scores = draw(st.dictionaries(st.integers(0, 12), st.sampled_from([1.0, 0.5, 0.25, 0.9]), max_size=10))
        found.append([Match(position, uid, id, score, weight) for id, score in scores.items()])
    return found


def answer(hits: list[dict[str, Any]], **members: Any) -> FederatedAnswer:
    whole = {"hits": hits, "processingTimeMs": 1, "limit": 20, "offset": 0, "estimatedTotalHits": len(hits), **members}
    return parse_federated(orjson.dumps(whole))


def found_by_nodes(
    found: list[list[Match]], uids: list[str], reach: int, owner_of: dict[int, int]
) -> dict[str, list[IndexFound]]:
    """What nodes say that hold the documents as `owner_of` has it, each no more than `reach` hits of a query."""
    indexes: dict[str, list[QueryFound]] = {}
    for position, matches in enumerate(found):
        uid = uids[position]
        parts: list[list[Match]] = [[] for _ in range(NODES)]
        for match in sorted(matches, key=lambda match: match.rank):
            parts[owner_of[match.id]].append(match)
        answers = [answer([match.stored() for match in part[:reach]], estimatedTotalHits=len(part)) for part in parts]
        prepared = prepare(
            {"q": "x"}, view(uid=uid, physical_uid=f"{uid}-1"), federated=Window(0, reach, False, reach, 1)
        )
        indexes.setdefault(uid, []).append(QueryFound(uid, position, prepared, answers))
    return {
        uid: [IndexFound(queries, [each for query in queries for each in query.answers])]
        for uid, queries in sorted(indexes.items())
    }


@_patient
@given(searches(), st.integers(0, 8), st.integers(0, 12), st.randoms(use_true_random=False))
def test_any_split_merges_to_one_list_with_each_document_where_it_comes_first(
    found: list[list[Match]], offset: int, limit: int, chance: Random
) -> None:
    federation = Federation(limit, offset)
    uids = [matches[0].uid if matches else "books" for matches in found]
    owner_of = {id: chance.randrange(NODES) for id in range(13)}
    body = merge_federated(found_by_nodes(found, uids, federation.reach, owner_of), federation, wants_vectors=False)
    whole: dict[tuple[str, int], Match] = {}
    for match in sorted((match for matches in found for match in matches), key=lambda match: match.rank):
        whole.setdefault((match.uid, match.id), match)
    merged = orjson.loads(body)
    assert merged["hits"] == [match.shown() for match in list(whole.values())[offset : offset + limit]]
    assert (merged["limit"], merged["offset"]) == (limit, offset)
    assert merged["estimatedTotalHits"] == sum(map(len, found))
    assert b"_miroir" not in body


@_patient
@given(st.dictionaries(st.integers(0, 12), st.tuples(st.sampled_from([1.0, 0.5]), st.booleans())), st.integers(1, 12))
def test_equal_hits_of_indexes_behind_one_alias_come_in_the_order_they_were_written(
    documents: dict[int, tuple[float, bool]], limit: int
) -> None:
    federation = Federation(limit)
    matches = [Match(0, "both", id, score, 1.0) for id, (score, _) in documents.items()]
    apart = [[match for match in matches if documents[match.id][1] is side] for side in (False, True)]
    owner_of = dict.fromkeys(range(13), 0)
    members = [found_by_nodes([part], ["both"], federation.reach, owner_of)["both"][0] for part in apart]
    merged = orjson.loads(merge_federated({"both": members}, federation, wants_vectors=False))
    ordered = sorted(matches, key=lambda match: match.rank)
    assert merged["hits"] == [match.shown() for match in ordered[:limit]]


@given(
    st.dictionaries(st.sampled_from(["brand", "color"]), st.dictionaries(st.sampled_from("abc"), st.integers(1, 9))),
    st.dictionaries(st.sampled_from(["brand", "color"]), st.dictionaries(st.sampled_from("abc"), st.integers(1, 9))),
    st.none() | st.integers(0, 3),
)
def test_facets_of_all_nodes_and_indexes_are_added_up(
    one: dict[str, dict[str, int]], other: dict[str, dict[str, int]], most: int | None
) -> None:
    names = ["brand", "color"]
    index = view(filterable=("brand", "color"))
    found: dict[str, list[IndexFound]] = {}
    expected: dict[str, Counter[str]] = {}
    for uid, distribution in (("books", one), ("films", other)):
        prepared = prepare({"q": "x", "facets": names}, index, federated=Window(0, 20, False, 20, 1))
        facets = {f"{uid}-1": {"distribution": distribution, "stats": {}}}
        answers = [answer([], estimatedTotalHits=50, facetsByIndex=facets) for _ in range(2)]
        found[uid] = [IndexFound([QueryFound(uid, len(found), prepared, answers)], answers, prepared.facets)]
        for name, values in distribution.items():
            expected.setdefault(name, Counter()).update({value: 2 * count for value, count in values.items()})
    federation = Federation(
        facets_by_index={"books": names, "films": names}, merges_facets=True, max_values_per_facet=most
    )
    merged = orjson.loads(merge_federated(found, federation, wants_vectors=False))
    shown = {name: values for name, values in merged["facetDistribution"].items() if values}
    cut = {name: dict(sorted(values.items())[:most]) for name, values in expected.items()}
    assert shown == {name: values for name, values in cut.items() if values}
    assert merged["estimatedTotalHits"] == 200
    apart = orjson.loads(
        merge_federated(found, Federation(facets_by_index=federation.facets_by_index), wants_vectors=False)
    )["facetsByIndex"]
    for uid, distribution in (("books", one), ("films", other)):
        doubled = {name: {value: 2 * count for value, count in values.items()} for name, values in distribution.items()}
        assert {name: values for name, values in apart[uid]["distribution"].items() if values} == {
            name: values for name, values in doubled.items() if values
        }


@pytest.mark.parametrize(
    "hit", [b"3", b"[]", b"{}", b'{"id":1}', b'{"_federation":'], ids=["number", "list", "empty", "plain", "cut off"]
)
def test_an_answer_whose_hits_are_none_of_a_federated_search_is_refused(hit: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        parse_federated(b'{"hits":[%b],"processingTimeMs":1,"estimatedTotalHits":1}' % hit)
