"""Searches by words and by vector: which is which, what is asked for either, and how two lists become one."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from miroir.search.hybrid import (
    Kind,
    embedding_part,
    fused_by_rank,
    fused_by_score,
    is_good_enough,
    is_semantic,
    keyword_part,
    kind_of,
    may_stand_alone,
    ratio_of,
    semantic_part,
    with_ratio,
)
from miroir.stamps import SEQ_FIELD, seq_text

E: dict[str, Any] = {"embedder": "e"}


def hit(number: int, score: float, **details: dict[str, Any]) -> bytes:
    """As a node sends it; details in the order given, ours last."""
    rules: dict[str, Any] = {}
    for order, (name, detail) in enumerate(details.items()):
        rules[name.replace("_asc", ":asc").replace("_desc", ":desc")] = {"order": order, **detail}
    rules[f"{SEQ_FIELD}:asc"] = {"order": len(rules), "value": seq_text(1, number)}
    stamps = {SEQ_FIELD: seq_text(1, number)}
    return orjson.dumps({"n": number, **stamps, "_rankingScore": score, "_rankingScoreDetails": rules})


def words(number: int, score: float, **sorts: dict[str, Any]) -> bytes:
    return hit(number, score, words={"score": score}, typo={"score": 1.0}, **sorts)


def near(number: int, similarity: float | None, **sorts: dict[str, Any]) -> bytes:
    return hit(number, similarity or 0.0, vectorSort={"similarity": similarity}, **sorts)


def shown(fused: Any) -> list[tuple[int, str]]:
    return [(orjson.loads(each.hit)["n"], "near" if each.is_semantic else "words") for each in fused]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"q": "x"}, Kind.KEYWORD),
        ({"q": "x", "hybrid": E}, Kind.HYBRID),
        ({"q": "x", "hybrid": {**E, "semanticRatio": 0}}, Kind.KEYWORD),
        ({"q": "x", "hybrid": {**E, "semanticRatio": 1}}, Kind.SEMANTIC),
        ({"q": "x", "hybrid": {**E, "semanticRatio": 1.5}}, Kind.KEYWORD),  # for a node to refuse, like the next
        ({"q": "x", "hybrid": {**E, "semanticRatio": "a"}}, Kind.KEYWORD),
        ({"q": "x", "hybrid": {**E, "semanticRatio": True}}, Kind.KEYWORD),
        ({"q": 3, "hybrid": E}, Kind.KEYWORD),
        ({"q": "x", "hybrid": [E]}, Kind.KEYWORD),
        ({"hybrid": {**E, "semanticRatio": 1}}, Kind.KEYWORD),
        ({"q": " ", "hybrid": E}, Kind.KEYWORD),
        ({"q": " ", "hybrid": E, "vector": [1]}, Kind.SEMANTIC),
        ({"hybrid": E, "media": {}}, Kind.SEMANTIC),
        ({"hybrid": {**E, "semanticRatio": 0}, "vector": [1]}, Kind.KEYWORD),
        ({"q": "x", "vector": [1]}, Kind.KEYWORD),
    ],
)
def test_kinds(body: dict[str, Any], kind: Kind) -> None:
    assert kind_of(body) is kind


def test_a_ratio_of_the_configuration_fills_only_the_gap() -> None:
    assert ratio_of(with_ratio({"hybrid": E}, 0.8)) == 0.8
    assert ratio_of(with_ratio({"hybrid": {**E, "semanticRatio": 0.1}}, 0.8)) == 0.1
    assert with_ratio({"hybrid": 3}, 0.8) == {"hybrid": 3}


@pytest.mark.parametrize(("ratio", "may"), [(0.01, True), (0.5, True), (0.5499, True), (0.55, False), (0.9, False)])
def test_from_some_ratio_on_no_words_are_good_enough(ratio: float, may: bool) -> None:
    assert may_stand_alone(ratio) is may
    assert is_good_enough([words(1, 1.0)], 1, ratio) is may


def test_words_are_good_enough_only_all_together() -> None:
    assert is_good_enough([words(1, 1.0), words(2, 0.9)], 2, 0.5)
    assert not is_good_enough([words(1, 1.0), words(2, 0.89)], 2, 0.5)
    assert not is_good_enough([words(1, 1.0)], 2, 0.5)


def test_the_parts_of_a_search() -> None:
    body: dict[str, Any] = {
        "q": "x",
        "hybrid": {**E, "semanticRatio": 0.3},
        "vector": [1],
        "facets": ["a"],
        "filter": "b = 1",
    }
    assert keyword_part(body, counts_facets=True) == {"q": "x", "facets": ["a"], "filter": "b = 1"}
    assert keyword_part(body, counts_facets=False) == {"q": "x", "filter": "b = 1"}
    assert semantic_part(body, [9]) == {**body, "hybrid": {**E, "semanticRatio": 1.0}}
    embedded = semantic_part({"q": "x", "media": {}, "hybrid": E}, [9])
    assert embedded == {"q": "x", "hybrid": {**E, "semanticRatio": 1.0}, "vector": [9]}


@pytest.mark.parametrize(
    ("q", "member", "value", "with_words"),
    [
        ("x", "attributesToHighlight", ["a"], True),
        ("x", "attributesToHighlight", [], False),
        ("x", "attributesToCrop", ["a"], True),
        ("x", "showMatchesPosition", True, True),
        ("x", "rankingScoreThreshold", 0.3, True),
        ("-x", "rankingScoreThreshold", 0.3, True),
        ('-x -"y z"', "showMatchesPosition", True, False),
        ("a-x", "showMatchesPosition", True, True),
        ("x", "facets", ["a"], False),
    ],
)
def test_words_take_part_in_the_search_by_vector_where_that_shows(
    q: str, member: str, value: object, with_words: bool
) -> None:
    body: dict[str, Any] = {"q": q, "hybrid": {**E, "semanticRatio": 0.3}, "vector": [1], member: value}
    assert (semantic_part(body, [])["hybrid"]["semanticRatio"] < 1.0) is with_words
    alone = {**body, "hybrid": {**E, "semanticRatio": 1}}
    assert semantic_part(alone, [])["hybrid"]["semanticRatio"] == 1.0


def test_a_hybrid_search_survives_its_embedder_and_one_by_vector_does_not() -> None:
    hybrid = embedding_part({"q": "x", "hybrid": {**E, "semanticRatio": 0.3}})
    assert 0.9 < hybrid["hybrid"]["semanticRatio"] < 1.0
    assert hybrid["retrieveVectors"] is True
    assert embedding_part({"q": "x", "hybrid": {**E, "semanticRatio": 1}})["hybrid"]["semanticRatio"] == 1.0


def test_fusion_by_score_weighs_and_shows_a_hit_where_it_stands_best() -> None:
    fused = fused_by_score([words(1, 1.0), words(2, 0.9), words(3, 0.5)], [near(4, 0.9), near(3, 0.5)], 0.5)
    assert shown(fused) == [(1, "words"), (4, "near"), (2, "words"), (3, "near")]
    fused = fused_by_score([words(1, 1.0), words(2, 0.9)], [near(4, 0.9), near(1, 0.7)], 0.7)
    assert shown(fused) == [(4, "near"), (1, "near"), (2, "words")]


def test_fusion_by_score_looks_at_sorts_where_a_node_does() -> None:
    one = [hit(1, 0.1, price_asc={"value": 1.0}, words={"score": 0.1})]
    other = [hit(2, 0.9, price_asc={"value": 2.0}, vectorSort={"similarity": 0.9})]
    assert shown(fused_by_score(one, other, 0.5)) == [(1, "words"), (2, "near")]  # a sort before the score
    other = [hit(2, 0.9, price_asc={"value": 1.0}, vectorSort={"similarity": 0.9})]
    assert shown(fused_by_score(one, other, 0.5)) == [(2, "near"), (1, "words")]
    equal = fused_by_score([words(1, 0.8, p_desc={"value": 3.0})], [near(2, 0.8, p_desc={"value": 2.0})], 0.5)
    assert shown(equal) == [(1, "words"), (2, "near")]  # a sort behind it
    missing = fused_by_score([words(1, 0.8, p_asc={"value": None})], [near(2, 0.8, p_asc={"value": 2.0})], 0.5)
    assert shown(missing) == [(2, "near"), (1, "words")]


def test_what_words_do_not_rank_comes_behind_every_vector_and_before_none() -> None:
    unranked = hit(1, 1.0, p_asc={"value": 1.0})  # the query has no word that could be found
    assert shown(fused_by_score([unranked], [near(2, 0.1)], 0.1)) == [(2, "near"), (1, "words")]
    assert shown(fused_by_score([unranked], [near(2, None)], 0.1)) == [(1, "words"), (2, "near")]
    assert shown(fused_by_score([hit(1, 1.0)], [near(2, None)], 0.1)) == [(2, "near"), (1, "words")]


def test_fusion_by_rank_adds_up_what_either_list_gives() -> None:
    one, other = [words(1, 1.0), words(2, 1.0), words(3, 1.0)], [near(4, 0.9), near(3, 0.8)]
    assert [number for number, _ in shown(fused_by_rank(one, other, 0.5, 60))] == [3, 4, 1, 2]
    assert shown(fused_by_rank(one, other, 0.01, 60)) == [(1, "words"), (2, "words"), (3, "words"), (4, "near")]
    assert shown(fused_by_rank(one, other, 0.99, 60))[:2] == [(4, "near"), (3, "near")]
    assert shown(fused_by_rank(one, other, 0.3, 1))[0] == (1, "words")  # a small k trusts the first of a list
    assert shown(fused_by_rank([], other, 0.5, 60)) == [(4, "near"), (3, "near")]


def test_hits_tell_where_they_come_from() -> None:
    assert is_semantic(near(1, None))
    assert not is_semantic(words(1, 1.0))
    named = orjson.loads(words(1, 1.0))
    assert not is_semantic(orjson.dumps({"vectorSort": {}, **named}))
