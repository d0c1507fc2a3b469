"""The wish: whatever comes, it stays a value that can be shown, sent and digested."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miroir.indexes.defaults import DEFAULTS, SETTINGS
from miroir.indexes.embedders import redact
from miroir.indexes.settings import (
    apply_change,
    canonical,
    expected_on_node,
    fingerprint,
    node_settings,
    reset_all,
    reset_one,
    shown,
    view,
)
from miroir.indexes.words import exact_word, stop_word

NAMES = [
    *SETTINGS,
    "enabled",
    "minWordSizeForTypos",
    "oneTypo",
    "disableOnWords",
    "maxValuesPerFacet",
    "sortFacetValuesBy",
    "maxTotalHits",
    "attributePatterns",
    "features",
    "filter",
    "equality",
    "locales",
    "source",
    "documentTemplate",
    "indexingFragments",
    "indexingEmbedder",
    "searchParameters",
    "*",
    "e",
]
TEXTS = st.one_of(st.text(max_size=4), st.sampled_from(["*", "a", "a:asc", "userProvided", "rest", "en", "id"]))
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(st.sampled_from(NAMES), TEXTS), inner, max_size=5)
    ),
    max_leaves=20,
)
CHANGES = st.dictionaries(st.sampled_from([*SETTINGS, "unheardOf"]), JSON, max_size=6)
OURS: dict[str, Any] = {"primary_key": "id", "exact_ties": True, "anti_entropy": True}


@settings(deadline=None, max_examples=60)
@given(st.lists(st.one_of(CHANGES, JSON), max_size=4))
def test_no_change_breaks_anything(changes: list[Any]) -> None:
    wish: dict[str, Any] = {}
    for change in changes:
        before = json.dumps(wish)
        after = apply_change(wish, change)
        assert json.dumps(wish) == before, "a wish is never changed in place"
        patch = node_settings(after, **OURS, node=expected_on_node(wish, **OURS))
        json.dumps(patch)
        wish = after
    assert list(shown(wish)) == list(DEFAULTS)
    index = view("a", "b", "id", 16, 1, wish, exact_ties=True)
    assert hash(index.ranking_rules) is not None
    assert canonical(shown(wish)) == canonical(json.loads(json.dumps(shown(wish))))
    reset = reset_all(wish)
    assert set(reset) == set(wish)
    assert shown(reset, experimental=("chat", "vectorStore")) == shown({}, experimental=("chat", "vectorStore"))


@settings(deadline=None, max_examples=60)
@given(CHANGES, CHANGES)
def test_the_last_word_about_a_list_stands(first: dict[str, Any], second: dict[str, Any]) -> None:
    for name in ("stopWords", "rankingRules", "filterableAttributes", "synonyms", "displayedAttributes"):
        both = apply_change(apply_change({}, first), second)
        if name in second:
            assert both[name] == apply_change({}, {name: second[name]})[name]
        elif name in first:
            assert both[name] == apply_change({}, {name: first[name]})[name]


@settings(deadline=None, max_examples=60)
@given(CHANGES)
def test_a_change_made_twice_is_made_once(change: dict[str, Any]) -> None:
    once = apply_change({}, change)
    again = apply_change(once, change)
    if isinstance(change.get("embedders"), dict):  # a template's length counts from the second time on, as on a node
        once.pop("embedders")
        again.pop("embedders")
    assert canonical(again) == canonical(once)


def test_the_defaults_are_never_handed_out() -> None:
    handed = shown({})
    handed["rankingRules"].append("x")
    handed["typoTolerance"]["minWordSizeForTypos"]["oneTypo"] = 1
    node_settings({"stopWords": None}, **OURS)["stopWords"].append("x")
    assert shown({})["rankingRules"] == ["words", "typo", "proximity", "attribute", "sort", "exactness"]
    assert DEFAULTS["typoTolerance"]["minWordSizeForTypos"]["oneTypo"] == 5
    assert DEFAULTS["stopWords"] == []


def test_a_reset_is_told_to_nodes_as_the_default() -> None:
    wish = apply_change({}, {"stopWords": ["a"], "typoTolerance": {"enabled": False}, "synonyms": {"a": ["b"]}})
    patch = node_settings(reset_all(wish), **OURS)
    assert patch["stopWords"] == []
    assert patch["synonyms"] == {}
    assert patch["typoTolerance"] == DEFAULTS["typoTolerance"]
    assert "searchableAttributes" not in patch
    one = node_settings(reset_one(wish, "stopWords"), **OURS)
    assert one["stopWords"] == []
    assert one["synonyms"] == {"a": ["b"]}


def test_a_whole_reset_is_remembered_under_a_part_set_later() -> None:
    wish = apply_change({}, {"typoTolerance": {"disableOnWords": ["a"]}})
    for change in ({"typoTolerance": None}, {"typoTolerance": {"enabled": False}}):
        wish = apply_change(wish, change)
    told = node_settings(wish, **OURS)["typoTolerance"]
    assert told["disableOnWords"] == []
    assert told["enabled"] is False


def test_an_embedder_taken_away_is_told_to_nodes_that_missed_it() -> None:
    wish = apply_change({}, {"embedders": {"a": {"source": "userProvided", "dimensions": 2}}})
    wish = apply_change(wish, {"embedders": None})
    assert shown(wish)["embedders"] == {}
    assert node_settings(wish, **OURS)["embedders"] == {"a": None}


def test_what_is_ours_is_there_from_the_first() -> None:
    patch = node_settings({}, primary_key=None, exact_ties=True, anti_entropy=True)
    assert patch == {
        "displayedAttributes": ["*"],
        "filterableAttributes": [
            {
                "attributePatterns": ["_miroir_shard", "_miroir_seq", "_miroir_updated_at", "_miroir_placed_at"],
                "features": {"facetSearch": False, "filter": {"equality": True, "comparison": True}},
            }
        ],
        "sortableAttributes": ["_miroir_seq"],
        "rankingRules": ["words", "typo", "proximity", "attribute", "sort", "exactness", "_miroir_seq:asc"],
        "faceting": {"maxValuesPerFacet": 1000},
    }
    less = node_settings({}, primary_key="id", exact_ties=False, anti_entropy=False, expiry=True)
    assert less["rankingRules"] == DEFAULTS["rankingRules"]
    assert less["filterableAttributes"][0]["attributePatterns"] == [
        "_miroir_shard",
        "_miroir_seq",
        "_miroir_placed_at",
        "_miroir_expires_at",
    ]
    assert less["filterableAttributes"][1] == {
        "attributePatterns": ["id"],
        "features": {"facetSearch": False, "filter": {"equality": True, "comparison": False}},
    }


def test_the_view_holds_the_clients_settings_alone() -> None:
    wish = apply_change(
        {},
        {
            "displayedAttributes": ["a"],
            "filterableAttributes": ["a"],
            "sortableAttributes": ["b", "a"],
            "faceting": {"maxValuesPerFacet": 7, "sortFacetValuesBy": {"a": "count"}},
            "distinctAttribute": "d",
            "embedders": {"gone": {"source": "userProvided", "dimensions": 2}, "e": {}},
        },
    )
    wish = apply_change(wish, {"embedders": {"gone": None}})
    index = view("books", "books__1", "id", 8, 3, wish, exact_ties=False)
    assert index.displayed == ("a",)
    assert index.filterable == ("a",)
    assert index.sortable == ("a", "b")
    assert index.hidden_filterable == {"id"}
    assert index.added_rules == 2
    assert index.max_values_per_facet == 7
    assert index.max_total_hits == 1000
    assert index.sort_facet_values_by == (("*", "alpha"), ("a", "count"))
    assert index.distinct == "d"
    assert index.embedders == {"e"}
    plain = view("books", "books__1", None, 8, 3, {}, exact_ties=True)
    assert plain.displayed is None
    assert plain.hidden_filterable == frozenset()


@settings(deadline=None, max_examples=60)
@given(CHANGES)
def test_the_canonical_form_knows_no_order_of_members(change: dict[str, Any]) -> None:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: turned(member) for name, member in reversed(list(value.items()))}
        return [turned(member) for member in value] if isinstance(value, list) else value

    assert canonical(turned(change)) == canonical(change)
    assert fingerprint(turned(change)) == fingerprint(change)
    assert json.loads(canonical(canonical_value := json.loads(canonical(change)))) == canonical_value


@settings(deadline=None, max_examples=60)
@given(st.permutations(["a", "b", "c", "é", "B"]), st.integers(-(2**53), 2**53))
def test_equal_values_have_equal_bytes(words: list[str], number: int) -> None:
    right = {"stopWords": sorted(words), "synonyms": {"x": sorted(words)}, "searchCutoffMs": number}
    left = {"searchCutoffMs": float(number), "synonyms": {"x": words}, "stopWords": [*words, words[0]]}
    assert canonical(left) == canonical(right)
    assert canonical({**right, "searchCutoffMs": number + 1}) != canonical(right)
    ordered = {"rankingRules": words}
    assert (canonical(ordered) == canonical({"rankingRules": sorted(words)})) == (words == sorted(words))


def test_canonical_bytes() -> None:
    mixed = {"synonyms": {"b": ["z", "y"], "a": []}, "pagination": {"maxTotalHits": 2**64 - 2}, "x": -0.0, "y": 1e-7}
    assert canonical(mixed) == (
        b'{"pagination":{"maxTotalHits":18446744073709551614},"synonyms":{"a":[],"b":["y","z"]},"x":0,"y":1e-07}'
    )


@pytest.mark.parametrize(
    ("secret", "seen"),
    [
        ("", "XXX..."),
        ("123456789", "XXX..."),
        ("1234567890", "12XXXX..."),
        ("1234567890123456789", "12XXXX..."),
        ("12345678901234567890", "123XXXXX..."),
        ("123456789012345678901234567890", "12345XXXXXX..."),
        ("ééééééé", "éXXXX..."),
    ],
)
def test_secrets_are_cut_as_a_node_cuts_them(secret: str, seen: str) -> None:
    assert redact(secret) == seen


# What a node answered for each of these words alone.
@pytest.mark.parametrize(
    ("word", "stop", "exact"),
    [
        ("É", "E\u0301", "e"),
        ("Å", "Å", "a"),
        ("ö", "ö", "o"),
        ("ﬁx", "fix", "fix"),
        ("①", "1", "1"),
        ("Straße", "Straße", "straße"),
        ("œ", "œ", "oe"),
        ("ı", "ı", "i"),
        ("Đ", "Đ", "d"),
        ("ς", "ς", "σ"),
        ("й", "и\u0306", "и\u0306"),
        ("ガ", "カ\u3099", "か\u3099"),
        ("가", "\u1100\u1161", "\u1100\u1161"),
    ],
)
def test_words_are_spelled_as_a_node_spells_them(word: str, stop: str, exact: str) -> None:
    assert stop_word(word) == stop
    assert exact_word(word) == exact
