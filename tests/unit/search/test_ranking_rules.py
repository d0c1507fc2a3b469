"""Ranking rules made canonical: what is left of them, what is noted, and when two queries can be compared."""

from __future__ import annotations

import re
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miroir.search.ranking_rules import CanonicalRules, Comparison, canonical_rules, incompatibility, same_kinds

RELEVANCY = ["words", "typo", "proximity", "attribute", "exactness"]

rules = st.lists(st.sampled_from([*RELEVANCY, "sort", "price:asc", "price:desc", "rating:desc"]), max_size=9)
sorts = st.none() | st.lists(
    st.sampled_from(["price:asc", "price:desc", "title:asc", "_geoPoint(1, 2):asc", "_geoPoint(1, 2):desc"]), max_size=4
)
words = st.sampled_from(["", "red shoe"])
strategies = st.sampled_from([None, "last", "all", "frequency"])
queries = st.builds(
    lambda q, sort, strategy: {"q": q, "sort": sort, "matchingStrategy": strategy}, words, sorts, strategies
)
VECTOR: dict[str, Any] = {"vector": [1.0], "hybrid": {"embedder": "e", "semanticRatio": 1.0}}


def made(found: list[str], query: dict[str, Any], position: int = 0) -> CanonicalRules:
    canonical = canonical_rules(found, query, uid="books", position=position)
    assert canonical is not None
    return canonical


def relevancy_of(canonical: CanonicalRules) -> list[list[str]]:
    """Rules of each group; a `sort` by nothing, which does not part two of them, a node names too."""
    groups = [group for group in canonical.groups if group.kind is Comparison.RELEVANCY]
    named = [group.rules.removeprefix("rule(s) ").split(", ") for group in groups]
    return [[rule for rule in rules if rule != "sort"] for rules in named]


def kinds(canonical: CanonicalRules) -> list[Comparison]:
    return [group.kind for group in canonical.groups]


def said(canonical: CanonicalRules, beginning: str) -> int:
    return sum(re.match(rf" +\d+\. {beginning}", note) is not None for note in canonical.notes)


@given(rules, queries)
def test_groups_of_relevancy_never_stand_next_to_each_other_and_notes_are_numbered(
    found: list[str], query: dict[str, Any]
) -> None:
    canonical = made(found, query)
    for kind, run in groupby(kinds(canonical)):
        assert kind is not Comparison.RELEVANCY or len(list(run)) == 1
    assert [note.split(".")[0].strip() for note in canonical.notes] == [
        str(number) for number in range(1, len(canonical.notes) + 1)
    ]


@given(rules, sorts, strategies)
def test_without_words_nothing_is_relevant(found: list[str], sort: list[str] | None, strategy: str | None) -> None:
    canonical = made(found, {"q": "", "sort": sort, "matchingStrategy": strategy})
    assert Comparison.RELEVANCY not in kinds(canonical)
    relevant = sum(rule in RELEVANCY for rule in found)
    assert said(canonical, "Removed relevancy rule .* because the query is a placeholder") == relevant


@given(rules, sorts)
def test_words_come_before_all_relevancy_and_everything_stays_in_its_order(
    found: list[str], sort: list[str] | None
) -> None:
    canonical = made(found, {"q": "red shoe", "sort": sort})
    left = [rule for group in relevancy_of(canonical) for rule in group]
    asked = [rule for rule in found if rule in RELEVANCY]
    others = list(dict.fromkeys(rule for rule in asked if rule != "words"))
    assert [rule for rule in left if rule != "words"] == others
    assert left[:1] == (["words"] if asked else [])
    assert said(canonical, "Prepended rule `words`") == (asked[:1] not in ([], ["words"]))


@given(rules, sorts)
def test_where_every_word_must_match_words_is_no_rule(found: list[str], sort: list[str] | None) -> None:
    canonical = made(found, {"q": "red shoe", "sort": sort, "matchingStrategy": "all"})
    left = [rule for group in relevancy_of(canonical) for rule in group]
    assert left == list(dict.fromkeys(rule for rule in found if rule in RELEVANCY and rule != "words"))
    assert said(canonical, "Removed rule `words` .* is set to") == found.count("words")


@given(rules, sorts)
def test_a_vector_is_one_rule_and_behind_a_sort_the_next_relevancy_ends_the_list(
    found: list[str], sort: list[str] | None
) -> None:
    canonical = made(found, {**VECTOR, "sort": sort})
    relevant = [rule for rule in found if rule in RELEVANCY]
    assert relevancy_of(canonical) == [[rule] for rule in relevant[:1]]
    assert said(canonical, "Truncated relevancy rule") <= 1


@given(rules, queries)
def test_no_field_is_sorted_by_twice(found: list[str], query: dict[str, Any]) -> None:
    canonical = made(found, query)
    fields = []
    for group in canonical.groups:
        if group.kind is Comparison.RELEVANCY:
            continue
        if "].sort[" in group.place or ".sort[" in group.place:
            named = re.fullmatch(r"rule\(s\) (?:on field `(\w+)`|default)", group.rules)
            assert named is not None
            fields.append(named[1] or "_geo")
        else:
            fields.append(group.rules.removeprefix("rule(s) ").partition(":")[0])
    assert len(fields) == len(set(fields))
    if "sort" in found and query["sort"]:
        wanted = {each.partition(":")[0] if "_geo" not in each else "_geo" for each in query["sort"]}
        assert wanted <= set(fields)


@given(queries)
def test_a_sort_takes_the_direction_it_was_asked_in(query: dict[str, Any]) -> None:
    canonical = made(["sort"], query)
    first: dict[str, Comparison] = {}
    for each in query["sort"] or ():
        geo, up = each.startswith("_geo"), each.endswith(":asc")
        kind = {
            (False, True): Comparison.ASCENDING,
            (False, False): Comparison.DESCENDING,
            (True, True): Comparison.GEO_ASCENDING,
            (True, False): Comparison.GEO_DESCENDING,
        }[geo, up]
        first.setdefault("_geo" if geo else each.partition(":")[0], kind)
    assert kinds(canonical) == list(first.values())


@given(rules, queries, rules, queries)
def test_two_queries_can_be_compared_as_far_as_their_kinds_go_together(
    one: list[str], query: dict[str, Any], other: list[str], second: dict[str, Any]
) -> None:
    before, now = made(one, query), made(other, second, 3)
    alike = all(left is right for left, right in zip(kinds(before), kinds(now), strict=False))
    problem = incompatibility(before, 0, now, 3)
    assert (problem is None) is alike
    assert (incompatibility(now, 3, before, 0) is None) is alike
    assert same_kinds(before, now) is (kinds(before) == kinds(now))
    if problem is not None:
        at = next(at for at, (left, right) in enumerate(zip(kinds(before), kinds(now), strict=False)) if left != right)
        assert problem.startswith("The results of queries #0 and #3 are incompatible: \n")
        assert f"  1. {before.groups[at].place}: {before.groups[at].kind.value} " in problem
        assert f"  2. {now.groups[at].place}: {now.groups[at].kind.value} " in problem
        assert all(note in problem for note in (*before.notes, *now.notes))
        assert ("query #0 were modified" in problem) is bool(before.notes)


@given(st.permutations(RELEVANCY), st.permutations(RELEVANCY), words)
def test_the_order_among_rules_of_relevancy_keeps_no_queries_apart(one: list[str], other: list[str], q: str) -> None:
    assert incompatibility(made([*one, "price:asc"], {"q": q}), 0, made([*other, "price:asc"], {"q": q}), 1) is None


@pytest.mark.parametrize("sort", ["price", ["price"], ["price:up"], [3], 3, [":"], ["price:asc", None]])
def test_a_sort_that_a_node_refuses_has_no_canonical_form(sort: Any) -> None:
    assert canonical_rules(["sort"], {"q": "x", "sort": sort}, uid="books", position=0) is None


# Texts of a node: three indexes with these rules, each before one that is sorted by price downwards.
@pytest.mark.parametrize(
    ("found", "query", "text"),
    [
        (
            ["words", "sort", "typo"],
            {"q": "x", "sort": []},
            """  1. `queries[0]`, `books.rankingRules[0..=2]`: relevancy rule(s) words, sort, typo
  2. `queries[1]`, `films.rankingRules[0]`: descending sort rule(s) price:desc
  - cannot compare a relevancy rule with a sort rule
""",
        ),
        (
            ["typo", "words", "price:asc"],
            {"q": "x"},
            """  1. `queries[0]`, `books.rankingRules[0..=2]`: relevancy rule(s) words, typo, words
  2. `queries[1]`, `films.rankingRules[0]`: descending sort rule(s) price:desc
  - cannot compare a relevancy rule with a sort rule
  - note: The ranking rules of query #0 were modified during canonicalization:
    1. Prepended rule `words` before first relevancy rule `typo` at position #0 in ranking rules
    2. Removed rule `words` at position #1 in ranking rules because it was previously prepended
""",
        ),
        (
            ["sort", "typo"],
            {"q": "x", "sort": ["price:asc", "_geoPoint(1,2):asc", "price:desc"]},
            """  1. `queries[0].sort[0]`, `books.rankingRules[0]`: ascending sort rule(s) on field `price`
  2. `queries[1]`, `films.rankingRules[0]`: descending sort rule(s) price:desc
  - cannot compare two sort rules in opposite directions
  - note: The ranking rules of query #0 were modified during canonicalization:
    1. Removed duplicate rule `price:asc` at position #2 in `query.sort` (as `sort` is #0 in ranking rules) as it \
already appears at position #0 in `query.sort` (as `sort` is #0 in ranking rules)
    2. Prepended rule `words` before first relevancy rule `typo` at position #1 in ranking rules
""",
        ),
    ],
)
def test_what_cannot_be_compared_is_said_as_by_a_node(found: list[str], query: dict[str, Any], text: str) -> None:
    films = canonical_rules(["price:desc"], {"q": "x"}, uid="films", position=1)
    assert films is not None
    head = "The results of queries #0 and #1 are incompatible: \n"
    assert incompatibility(made(found, query), 0, films, 1) == head + text
