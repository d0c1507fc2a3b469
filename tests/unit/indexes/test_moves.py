"""Moves of names: what they come to, and what reads see while they wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miroir.errors import ApiError
from miroir.indexes.moves import (
    MOVES_NOTE,
    Swap,
    check_duplicates,
    moves_from,
    moves_of,
    names_from,
    note_of,
    problem_of,
    seen_by_reads,
)
from miroir.store import IndexMove, NameChange

NAMES = "abcde"


def moved(physical: dict[str, str], moves: list[IndexMove]) -> dict[str, str]:
    """What writes meet after the moves."""
    left = {name: value for name, value in physical.items() if name not in {move.uid for move in moves}}
    return left | {move.to: move.physical_uid for move in moves}


@st.composite
def steps(draw: st.DrawFn) -> tuple[dict[str, str], list[Swap]]:
    """Some indexes, and swaps one after the other, each possible when its turn comes."""
    physical = {name: f"p{name}" for name in draw(st.sets(st.sampled_from(NAMES), min_size=1))}
    done: list[Swap] = []
    taken = set(physical)
    for _ in range(draw(st.integers(0, 5))):
        one, other = draw(st.permutations(NAMES))[:2]
        if one in taken and other in taken:
            done.append(Swap(one, other))
        elif one in taken:
            done.append(Swap(one, other, rename=True))
            taken = taken - {one} | {other}
    return physical, done


@given(steps())
def test_undoing_all_moves_gives_the_names_of_before(case: tuple[dict[str, str], list[Swap]]) -> None:
    before, swaps = case
    now = before
    waiting = []
    for swap in swaps:
        moves = moves_of([swap], now)
        now = moved(now, moves)
        waiting.append(moves)
    assert seen_by_reads(now, waiting) == before
    assert seen_by_reads(now, []) == now
    for done in range(len(waiting)):  # the oldest end first, and each end is one step of the way
        seen = seen_by_reads(now, waiting[done:])
        assert seen_by_reads(now, waiting[done + 1 :]) == moved(seen, waiting[done])


def test_an_index_that_was_deleted_is_not_brought_back() -> None:
    moves = moves_of([Swap("a", "b")], {"a": "pa", "b": "pb"})
    assert seen_by_reads({"a": "pb"}, [moves]) == {"b": "pb"}


def test_an_index_created_under_a_name_that_was_left_is_unseen_until_then() -> None:
    moves = moves_of([Swap("a", "b", rename=True)], {"a": "pa"})
    assert seen_by_reads({"a": "new", "b": "pa"}, [moves]) == {"a": "pa"}
    assert seen_by_reads({"b": "new"}, [moves]) == {"b": "new"}


@pytest.mark.parametrize(
    ("swaps", "code", "text"),
    [
        ([Swap("a", "b")], None, ""),
        ([Swap("a", "x", rename=True)], None, ""),
        ([Swap("a", "x")], "index_not_found", "Index `x` not found."),
        ([Swap("y", "x")], "index_not_found", "Indexes `x`, `y` not found."),
        ([Swap("x", "y", rename=True)], "index_not_found", "Index `x` not found."),
        ([Swap("a", "b", rename=True), Swap("x", "c")], "index_not_found", "Index `x` not found."),
        ([Swap("a", "b", rename=True)], "index_already_exists", "Cannot rename `a` to `b` as the index"),
        ([Swap("a", "b", True), Swap("c", "taken", True)], "index_already_exists", "`b`, `taken`. Renaming"),
    ],
)
def test_problems(swaps: list[Swap], code: str | None, text: str) -> None:
    indexes = dict.fromkeys("abc")
    problem = problem_of(swaps, indexes, {**indexes, "taken": None})
    assert (problem and problem.code) == code
    assert problem is None or text in problem.message


def test_a_name_stands_once() -> None:
    check_duplicates([Swap("a", "b"), Swap("c", "d", rename=True)])
    with pytest.raises(ApiError, match="`a`, `b` were specified several times"):
        check_duplicates([Swap("b", "a"), Swap("b", "a")])


def test_a_task_remembers_its_moves() -> None:
    moves = moves_of([Swap("a", "b")], {"a": "pa", "b": "pb"})
    assert list(moves_from({MOVES_NOTE: note_of(moves)})) == moves
    assert moves_from({"primaryKey": None}) == ()


def test_names_of_earlier_tasks() -> None:
    details = {"swaps": [Swap("a", "b").view(), Swap("c", "d", rename=True).view()]}
    assert names_from("indexSwap", details) == (NameChange("a", "b", False), NameChange("c", "d", True))
    renaming = {"primaryKey": None, "oldIndexUid": "a", "newIndexUid": "b"}
    assert names_from("indexUpdate", renaming) == (NameChange("a", "b", True),)
