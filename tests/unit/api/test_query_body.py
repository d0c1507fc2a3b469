"""A search in a query string becomes the body that asks for the same, or none."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miroir.api.query_body import SEARCH_PARAMETERS, query_body
from miroir.api.reading import sort_criteria


def body_of(query: str) -> dict[str, object]:
    return query_body(parse_qsl(query, keep_blank_values=True), SEARCH_PARAMETERS)


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("", {}),
        ("q=red+shoe&limit=3", {"q": "red shoe", "limit": 3}),
        ("limit=x&limit=2", {"limit": 2}),
        ("facets=,a,,b,&locales=", {"facets": ["a", "b"], "locales": []}),
        ("facets=a, b", {"facets": ["a", " b"]}),
        ("filter=a %3D 1", {"filter": "a = 1"}),
        ('filter=["a %3D 1",["b","c"]]', {"filter": ["a = 1", ["b", "c"]]}),
        ("filter=null", {"filter": None}),
        ("filter=[", {"filter": "["}),
        ("sort=a:asc,_geoPoint(1, 2):desc,b:asc", {"sort": ["a:asc", "_geoPoint(1,2):desc", "b:asc"]}),
        ("showRankingScore=true&retrieveVectors=false", {"showRankingScore": True, "retrieveVectors": False}),
        ("rankingScoreThreshold=.5", {"rankingScoreThreshold": 0.5}),
        ("vector=1,-2.5e1,", {"vector": [1.0, -25.0]}),
        ("hybridEmbedder=e", {"hybrid": {"embedder": "e"}}),
        ("hybridSemanticRatio=0.25&hybridEmbedder=e", {"hybrid": {"embedder": "e", "semanticRatio": 0.25}}),
    ],
)
def test_what_a_query_asks_for(query: str, body: dict[str, object]) -> None:
    assert body_of(query) == body


@pytest.mark.parametrize(
    "query",
    ["limt=1", "=", "limit", "limit=-1", "limit=1.0", "limit= 1", "showRankingScore=1", "showRankingScore=",
     "rankingScoreThreshold=nan", "rankingScoreThreshold=inf", "rankingScoreThreshold=1_0", "vector=1, 2",
     "vector=a", "vector=1e999", "hybridSemanticRatio=0.5", "hybrid=e"],
)  # fmt: skip
def test_what_no_body_can_say_or_a_node_would_refuse(query: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        body_of(query)


@given(st.lists(st.from_regex(r"(?:[a-z]+|_geoPoint\(-?[0-9]{1,2}\.[0-9],[0-9]\)):(?:asc|desc)", fullmatch=True)))
def test_criteria_survive_being_joined_by_commas(criteria: list[str]) -> None:
    assert sort_criteria(",".join(criteria)) == (criteria or [""])
