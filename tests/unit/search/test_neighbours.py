"""Similar documents: what nodes are asked, and their lists as one."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miroir.search.merge import parse_answer
from miroir.search.neighbours import (
    Neighbours,
    StoredVectors,
    document_key,
    merge_neighbours,
    parse_stored,
    prepare_neighbours,
)
from miroir.stamps import SEQ_FIELD, seq_text
from tests.unit.search.views import view

OWN = seq_text(1, 999)


def stored(*vectors: list[float]) -> StoredVectors:
    of_embedder = {"embeddings": vectors, "regenerate": False}
    return parse_stored(orjson.dumps({SEQ_FIELD: OWN, "_vectors": {"e": of_embedder}} if vectors else {SEQ_FIELD: OWN}))


def prepared(body: dict[str, Any], *vectors: list[float], **changes: Any) -> Neighbours:
    return prepare_neighbours({"id": 1, "embedder": "e", **body}, view(**changes), "1", stored(*vectors), over_fetch=3)


def answer(*hits: tuple[int, float | None], total: int = 0) -> Any:
    """A node's: documents by number with their similarities, nearest first."""
    shown = [
        {
            "n": number,
            SEQ_FIELD: seq_text(1, number),
            "_rankingScoreDetails": {"vectorSort": {"order": 0, "similarity": similarity}},
        }
        for number, similarity in hits
    ]
    return parse_answer(orjson.dumps({"hits": shown, "processingTimeMs": 1, "estimatedTotalHits": total or len(hits)}))


def found(asked: Neighbours, *of_vectors: list[Any]) -> tuple[list[int], int]:
    body = orjson.loads(merge_neighbours(of_vectors, asked))
    assert list(body) == ["hits", "id", "processingTimeMs", "limit", "offset", "estimatedTotalHits"]
    assert all(set(hit) == {"n"} for hit in body["hits"])
    return [hit["n"] for hit in body["hits"]], body["estimatedTotalHits"]


@pytest.mark.parametrize(
    ("given", "key"),
    [(7, "7"), (-7, "-7"), ("a-b_C", "a-b_C"), ("x" * 511, "x" * 511), ((1 << 64) - 1, "18446744073709551615"),
     (True, None), (7.0, None), (None, None), ("", None), ("a b", None), ("x" * 512, None), (1 << 64, None),
     ([], None)],
)  # fmt: skip
def test_keys(given: object, key: str | None) -> None:
    assert document_key(given) == key


def test_each_vector_is_a_search_without_the_document_itself() -> None:
    asked = prepared({"limit": 4, "offset": 1, "filter": "a = 1", "attributesToRetrieve": ["t"]}, [1, 2], [3, 4])
    first, second = (orjson.loads(body((0,))) for body in asked.node_bodies)
    assert first["filter"][1:] == [f'{SEQ_FIELD} != "{OWN}"', "a = 1"]
    assert (first["limit"], first["attributesToRetrieve"]) == (15, ["t", SEQ_FIELD])
    assert (first.pop("vector"), second.pop("vector")) == ([1, 2], [3, 4])
    assert first == second


def test_without_a_vector_documents_are_only_counted() -> None:
    asked = prepared({"limit": 4})
    (body,) = (orjson.loads(body((0,))) for body in asked.node_bodies)
    assert (body["limit"], "vector" in body) == (0, False)
    assert found(asked, [answer(total=5), answer(total=6)]) == ([], 11)


def test_what_has_no_vector_is_near_nothing() -> None:
    asked = prepared({}, [1])
    assert found(asked, [answer((1, 0.5), (2, None)), answer((3, 0.25))]) == ([1, 3], 3)


def test_a_document_near_two_vectors_comes_once() -> None:
    asked = prepared({}, [1], [2])
    lists = [answer((1, 0.9), (2, 0.3))], [answer((2, 0.8), (1, 0.1))]
    assert found(asked, *lists) == ([1, 2], 2)


def test_a_threshold_ends_the_count_only_where_it_is_met() -> None:
    near = [answer((1, 0.9), (2, 0.7), (3, 0.2), total=50)]
    assert found(prepared({"rankingScoreThreshold": 0.5}, [1]), near) == ([1, 2], 2)
    assert found(prepared({"rankingScoreThreshold": 0.5, "limit": 2}, [1]), near) == ([1, 2], 50)
    assert found(prepared({"rankingScoreThreshold": 0.95, "offset": 1}, [1]), near) == ([], 1)


def test_a_total_ends_at_the_limit_of_the_index() -> None:
    assert found(prepared({}, [1], max_total_hits=10), [answer((1, 0.5), total=8), answer((2, 0.4), total=8)])[1] == 10


def test_scores_are_shown_to_who_asks() -> None:
    asked = prepared({"showRankingScore": True, "showRankingScoreDetails": True}, [1])
    (hit,) = orjson.loads(merge_neighbours([[answer((1, 0.5))]], asked))["hits"]
    details = {"vectorSort": {"order": 0, "similarity": 0.5}}
    assert hit == {"n": 1, "_rankingScore": 0.5, "_rankingScoreDetails": details}


@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.9])), max_size=30),
    st.integers(0, 10),
    st.integers(0, 10),
)
def test_pages_of_any_spread_are_those_of_one_list(placed: list[tuple[int, float]], offset: int, limit: int) -> None:
    ranked = sorted(((-similarity, number) for number, (_, similarity) in enumerate(placed)))
    parts = [
        answer(*[(number, -distance) for distance, number in ranked if placed[number][0] == node]) for node in range(3)
    ]
    asked = prepared({"offset": offset, "limit": limit}, [1])
    expected = [number for _, number in ranked][offset : offset + limit]
    assert found(asked, parts) == (expected, len(placed))


def test_an_unreadable_document_is_an_error() -> None:
    with pytest.raises(msgspec.DecodeError):
        parse_stored(b"[")
