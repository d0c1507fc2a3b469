"""Facet hits of several nodes as one list."""

from __future__ import annotations

from collections import Counter

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miroir.search.facet_search import merge_facet_search, parse_facet_answer, prepare_facet_search, words_key
from miroir.search.facets import normalise
from tests.unit.search.views import view


def answer(*hits: tuple[str, int], query: str | None = None) -> bytes:
    return orjson.dumps(
        {
            "facetHits": [{"value": value, "count": count} for value, count in hits],
            "facetQuery": query,
            "processingTimeMs": 3,
        }
    )


def merged(*answers: bytes, query: str | None = None, order: str = "alpha", most: int = 100) -> list[tuple[str, int]]:
    index = view(sort_facet_values_by=(("*", order),), max_values_per_facet=most)
    asked = prepare_facet_search({"facetName": "a", "facetQuery": query}, index)
    body = orjson.loads(merge_facet_search([parse_facet_answer(each) for each in answers], asked))
    assert list(body) == ["facetHits", "facetQuery", "processingTimeMs"]
    assert body["facetQuery"] == query
    return [(hit["value"], hit["count"]) for hit in body["facetHits"]]


def test_one_value_is_counted_once_and_shown_as_most_write_it() -> None:
    assert merged(answer(("acme", 2), ("b", 1)), answer(("ACME ", 5), ("c", 1))) == [("ACME ", 7), ("b", 1), ("c", 1)]


def test_by_count_ties_come_greatest_first() -> None:
    first, second = answer(("b", 3), ("a", 1)), answer(("c", 3), ("a", 2))
    assert merged(first, second, order="count", most=2) == [("c", 3), ("b", 3)]


def test_accents_count_only_where_nothing_is_searched_for() -> None:
    first, second = answer(("été", 1)), answer(("eta", 1), ("etf", 1))
    assert [value for value, _ in merged(first, second)] == ["eta", "etf", "été"]
    first, second = answer(("été", 1), query="e"), answer(("eta", 1), ("etf", 1), query="e")
    assert [value for value, _ in merged(first, second, query="e")] == ["eta", "été", "etf"]


def test_no_answer_is_an_answer() -> None:
    assert merged(query="x") == []


@pytest.mark.parametrize(
    ("text", "letters"),
    [("Café", "cafe"), ("Œuvre", "oeuvre"), ("カ", "か"), ("Đ", "d"), ("D’or", "d'or"), ("ﬁn", "fin"), ("ß", "ß")],
)
def test_what_the_words_index_makes_of_letters(text: str, letters: str) -> None:
    assert words_key(text) == (letters, normalise(text))


@given(st.lists(st.lists(st.text("aàbBé ", min_size=1, max_size=3), max_size=8), max_size=4), st.booleans())
def test_nothing_is_lost_and_order_does_not_depend_on_who_holds_what(parts: list[list[str]], searched: bool) -> None:
    query = "" if searched else None
    key = words_key if searched else normalise
    answers = []
    for part in parts:
        counted = Counter(map(normalise, part))
        answers.append(answer(*sorted(counted.items(), key=lambda item: key(item[0])), query=query))
    whole = Counter(normalise(value) for part in parts for value in part)
    assert merged(*answers, query=query) == sorted(whole.items(), key=lambda item: key(item[0]))
