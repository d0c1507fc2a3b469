"""How hits of different queries are compared: laws of an order, and what each kind of value means in it."""

from __future__ import annotations

from functools import cmp_to_key
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miroir.search.weighted_scores import Value, clients_values, compare
from miroir.stamps import seq_text

numbers = st.integers(-3, 3) | st.sampled_from([-0.5, 0.25, 2.5])
texts = st.sampled_from(["", "a", "B", "é"])
scores = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])
distances = st.none() | st.sampled_from([0.0, 1.5, 2.0, 1e6])


def sort(value: Any, *, asc: bool) -> Value:
    return {"sort": {"value": value, "asc": asc}}


def place(distance: float | None, *, asc: bool) -> Value:
    return {"geoSort": {"distance": distance, "asc": asc}}


one_value = st.one_of(
    st.builds(lambda score: {"weightedScore": score}, scores),
    st.builds(lambda score: {"vectorSort": score}, scores),
    st.builds(sort, numbers | texts | st.none() | st.booleans(), asc=st.booleans()),
    st.builds(place, distances, asc=st.booleans()),
)
several = st.lists(one_value, max_size=4)


@given(several, scores, several, scores)
def test_whoever_comes_first_comes_first_from_both_sides(
    left: list[Value], left_score: float, right: list[Value], right_score: float
) -> None:
    assert compare(left, left_score, right, right_score) == -compare(right, right_score, left, left_score)
    assert compare(left, left_score, left, left_score) == 0


@given(several, scores, several, several, scores)
def test_what_is_equal_leaves_it_to_what_is_behind(
    start: list[Value], left_score: float, left: list[Value], right: list[Value], right_score: float
) -> None:
    behind = compare(left, left_score, right, right_score)
    assert compare([*start, *left], left_score, [*start, *right], right_score) == behind


@given(st.lists(st.tuples(scores, st.booleans(), numbers | texts | st.none()), max_size=12), st.booleans())
def test_scores_decide_then_numbers_come_before_texts_before_nothing(
    hits: list[tuple[float, bool, Any]], ascending: bool
) -> None:
    """Sorting by comparison is sorting by a key, as far as all hits have the same kinds of values."""

    def values(hit: tuple[float, bool, Any]) -> list[Value]:
        score, by_vector, value = hit
        return [{"vectorSort" if by_vector else "weightedScore": score}, sort(value, asc=ascending)]

    def order(one: tuple[float, bool, Any], other: tuple[float, bool, Any]) -> int:
        return -compare(values(one), 0.0, values(other), 0.0)

    ordered = sorted(hits, key=cmp_to_key(order))
    expected: list[tuple[float, bool, Any]] = []
    for score in sorted({hit[0] for hit in hits}, reverse=True):
        alike = [hit for hit in hits if hit[0] == score]
        expected += sorted((hit for hit in alike if isinstance(hit[2], int | float)), key=_value, reverse=not ascending)
        expected += sorted((hit for hit in alike if isinstance(hit[2], str)), key=_value, reverse=not ascending)
        expected += [hit for hit in alike if hit[2] is None]
    assert [(hit[0], hit[2]) for hit in ordered] == [(hit[0], hit[2]) for hit in expected]


def _value(hit: tuple[float, bool, Any]) -> Any:
    return hit[2]


@given(st.lists(distances, max_size=8), st.booleans())
def test_of_places_the_farther_comes_first_and_one_that_is_nowhere_last(found: list[float | None], asc: bool) -> None:
    def order(one: float | None, other: float | None) -> int:
        return -compare([place(one, asc=asc)], 0.0, [place(other, asc=asc)], 0.0)

    known = sorted((each for each in found if each is not None), reverse=True)
    assert sorted(found, key=cmp_to_key(order)) == known + [None] * found.count(None)


@given(several, several, scores, scores)
def test_kinds_that_cannot_be_compared_leave_it_to_how_many_are_left_then_to_the_score(
    left: list[Value], right: list[Value], left_score: float, right_score: float
) -> None:
    found = compare([{"weightedScore": 0.5}, *left], left_score, [sort(1, asc=True), *right], right_score)
    if len(left) != len(right):
        assert found == (1 if len(left) > len(right) else -1)
    else:
        assert found == (left_score > right_score) - (left_score < right_score)


@pytest.mark.parametrize("value", [1, "a", None])
def test_sorts_in_opposite_directions_leave_it_to_the_score(value: Any) -> None:
    assert compare([sort(value, asc=True)], 0.2, [sort(9, asc=False)], 0.1) == 1
    assert compare([sort(value, asc=True)], 0.1, [sort(9, asc=False)], 0.2) == -1


def test_scores_that_differ_by_less_than_a_float_can_say_are_equal() -> None:
    assert compare([{"weightedScore": 0.1 + 0.2}], 0.0, [{"vectorSort": 0.3}], 0.0) == 0
    assert compare([{"weightedScore": 0.3 + 1e-15}], 0.0, [{"weightedScore": 0.3}], 0.0) == 1


@given(several)
def test_only_our_own_rule_is_taken_away_and_only_from_the_end(values: list[Value]) -> None:
    ours = sort(seq_text(1_700_000_000_000_000, 7), asc=True)
    assert clients_values(values) == values
    assert clients_values([*values, ours]) == values
    assert clients_values([ours, {"weightedScore": 1.0}]) == [ours, {"weightedScore": 1.0}]
