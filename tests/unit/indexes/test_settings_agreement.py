"""When a node agrees with what was asked of it, what it is sent for a change, and what becomes of a change."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miroir.indexes.broadcast import judge_change
from miroir.indexes.node_index import NodeIndex
from miroir.indexes.settings import apply_change
from miroir.store import IndexRow, NodeTask, NodeTaskStatus

NODE_INDEX = NodeIndex(exact_ties=True, anti_entropy=True)
ROW = IndexRow("books", "books", "id", 4, b"{}", 1, False, "", "")
WORDS = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=4, unique=True)
RULES = st.lists(
    st.one_of(
        st.sampled_from(["a", "b"]),
        st.builds(
            lambda pattern, facets: {"attributePatterns": [pattern], "features": {"facetSearch": facets}},
            st.sampled_from(["c*", "d"]),
            st.booleans(),
        ),
    ),
    max_size=3,
)


@given(sets=WORDS, rules=RULES, seed=st.integers())
def test_the_order_of_sets_and_what_goes_without_saying_make_no_difference(
    sets: list[str], rules: list[Any], seed: int
) -> None:
    shuffled = random.Random(seed).sample(sets, len(sets))
    spelled_out = [
        rule
        if isinstance(rule, str)
        else {
            "features": {**rule["features"], "filter": {"comparison": False, "equality": True}},
            "attributePatterns": rule["attributePatterns"],
        }
        for rule in rules
    ]
    asked = apply_change({}, {"stopWords": sets, "sortableAttributes": sets, "filterableAttributes": rules})
    same = apply_change(
        {},
        {
            "filterableAttributes": spelled_out,
            "sortableAttributes": shuffled,
            "stopWords": [*shuffled, *sets],
            "pagination": {"maxTotalHits": 1000},
            "searchCutoffMs": None,
        },
    )
    shown = NODE_INDEX.expected(ROW, asked)
    assert NODE_INDEX.shows(dict(reversed(shown.items())), ROW, same)


@given(
    first=WORDS, second=WORDS, name=st.sampled_from(["searchableAttributes", "rankingRules", "filterableAttributes"])
)
def test_the_order_of_lists_does(first: list[str], second: list[str], name: str) -> None:
    shown = NODE_INDEX.expected(ROW, apply_change({}, {name: first}))
    assert NODE_INDEX.shows(shown, ROW, apply_change({}, {name: second})) == (first == second)


def test_settings_that_we_know_nothing_of_are_the_nodes_own() -> None:
    shown = NODE_INDEX.expected(ROW, {})
    assert NODE_INDEX.shows({**shown, "ofTheFuture": True}, ROW, {})
    assert not NODE_INDEX.shows({**shown, "chat": {"description": "x"}}, ROW, {})
    assert not NODE_INDEX.shows({name: value for name, value in shown.items() if name != "synonyms"}, ROW, {})


def test_only_words_that_a_node_alone_can_spell_may_be_spelled_otherwise() -> None:
    asked = apply_change({}, {"stopWords": ["the", "الكتاب"]})
    shown = NODE_INDEX.expected(ROW, asked)
    otherwise = {**shown, "stopWords": ["the", "كتاب"]}
    assert NODE_INDEX.shows(otherwise, ROW, asked, words=False)
    assert not NODE_INDEX.shows(otherwise, ROW, asked)
    for words in (["the"], ["of", "كتاب"], ["كتاب"], []):
        assert not NODE_INDEX.shows({**shown, "stopWords": words}, ROW, asked, words=False)


def test_a_change_says_nothing_of_what_it_does_not_touch() -> None:
    before = apply_change(
        {}, {"embedders": {"e": {"source": "rest", "url": "http://nowhere"}}, "synonyms": {"a": ["b"]}}
    )
    after = apply_change(before, {"stopWords": ["the"]})
    call = NODE_INDEX.change_call(ROW, before, after, frozenset({"stopWords"}))
    assert msgspec.json.decode(call.body) == {"stopWords": ["the"]}


def test_what_we_add_goes_with_what_it_is_added_to() -> None:
    after = apply_change({}, {"sortableAttributes": ["price"]})
    call = NODE_INDEX.change_call(ROW, {}, after, frozenset({"sortableAttributes"}))
    assert msgspec.json.decode(call.body) == {"sortableAttributes": ["_miroir_seq", "price"]}


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        ({"a": "succeeded", "b": "succeeded"}, "succeeded"),
        ({"a": "succeeded", "b": "open"}, None),
        ({"a": "succeeded", "away": "open"}, "succeeded"),
        ({"away": "open"}, None),
        ({"a": "failed", "b": "open"}, None),
        ({"a": "failed", "b": "succeeded"}, "failed"),
        ({"a": "failed", "b": "canceled"}, "failed"),
        ({"a": "canceled", "b": "succeeded"}, "canceled"),
        ({"a": "lost", "b": "succeeded"}, "succeeded"),
        ({"a": "lost"}, "succeeded"),
        ({"a": "failed", "away": "open"}, "failed"),
    ],
)
def test_what_becomes_of_a_change(parts: dict[str, NodeTaskStatus], verdict: str | None) -> None:
    tasks = [NodeTask(node, "", 1, (), status) for node, status in parts.items()]
    assert judge_change(tasks, lambda node: node == "away") == verdict
