"""Changes of settings that came to nothing leave nothing behind, in whatever order one hears of them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from miroir.indexes.taking_back import taken_back
from miroir.indexes.task_details import settings_details

wishes = st.dictionaries(st.sampled_from(["stopWords", "synonyms", "pagination"]), st.integers(1, 3), max_size=3)
changes = st.dictionaries(
    st.sampled_from(["stopWords", "synonyms", "pagination"]), st.none() | st.integers(1, 3), min_size=1, max_size=3
)


def applied(wish: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**wish, **change}.items() if value is not None}


@given(wishes, changes)
def test_the_only_change_is_undone(wish: dict[str, Any], change: dict[str, Any]) -> None:
    after = applied(wish, change)
    assert taken_back(after, [(wish, after)]) == wish


@given(wishes, changes, changes)
def test_what_a_later_change_set_otherwise_stays(
    wish: dict[str, Any], undone: dict[str, Any], kept: dict[str, Any]
) -> None:
    middle = applied(wish, undone)
    after = applied(middle, kept)
    left = taken_back(after, [(wish, middle)])
    for name in {*undone, *kept}:
        if name in kept and after.get(name) != middle.get(name):
            assert left.get(name) == after.get(name)
        elif name not in kept:
            assert left.get(name) == wish.get(name)


@given(wishes, st.permutations([1, 2, 3]), st.permutations([0, 1, 2]))
def test_three_changes_of_one_setting_that_all_came_to_nothing(
    wish: dict[str, Any], values: list[int], order: list[int]
) -> None:
    """As their tasks end: each knows those before it that are known to have come to nothing, newest first."""
    history = []
    current = dict(wish)
    for value in (value + 10 for value in values):
        after = applied(current, {"stopWords": value})
        history.append((current, after))
        current = after
    undone: list[int] = []
    for number in order:
        undone.append(number)
        earlier = [history[each] for each in sorted(undone, reverse=True) if each < number]
        current = taken_back(current, [history[number], *earlier])
    assert current == wish


def test_details_are_spelled_as_a_node_spells_them() -> None:
    key = "sk-abcdefghijklmnopqrstuvwxyz0123456789"
    details = settings_details(
        {
            "displayedAttributes": None,
            "stopWords": ["b", "a", "b"],
            "rankingRules": ["words", "a:asc"],
            "filterableAttributes": ["z", {"attributePatterns": ["a"], "features": {"facetSearch": True}}],
            "typoTolerance": {"disableOnWords": ["b", "a"], "enabled": False, "disableOnNumbers": True},
            "embedders": {
                "o": {"source": "openAi", "apiKey": key},
                "c": {"source": "composite", "searchEmbedder": {"source": "rest", "apiKey": key}},
                "gone": None,
            },
            "synonyms": None,
        }
    )
    assert details == {
        "displayedAttributes": ["*"],
        "stopWords": ["a", "b"],
        "rankingRules": ["words", "a:asc"],
        "filterableAttributes": [
            "z",
            {
                "attributePatterns": ["a"],
                "features": {"facetSearch": True, "filter": {"equality": True, "comparison": False}},
            },
        ],
        "typoTolerance": {"disableOnWords": ["a", "b"], "enabled": False, "disableOnNumbers": True},
        "embedders": {
            "o": {"source": "openAi", "apiKey": "sk-abXXXXXX..."},
            "c": {"source": "composite", "searchEmbedder": {"source": "rest", "apiKey": "sk-abXXXXXX..."}},
            "gone": None,
        },
        "synonyms": None,
    }
