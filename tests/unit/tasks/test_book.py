"""The book of open tasks: whatever is entered, recorded and closed, it knows who is waited for."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miroir.store import NodeTask, NodeTaskStatus, TaskRow
from miroir.tasks.book import Book

NODES = "abc"


def row(uid: int, *parts: NodeTask, physical_uid: str = "books", type: str = "documentDeletion") -> TaskRow:
    return TaskRow(
        uid=uid,
        index_uid="books",
        type=type,
        status="enqueued",
        node_tasks=parts,
        details={},
        error=None,
        enqueued_at="2026-03-01T12:00:00Z",
        physical_uid=physical_uid,
        stamp=uid * 10,
    )


def part(node: str, uid: int, incarnation: str = "i1", status: NodeTaskStatus = "open") -> NodeTask:
    return NodeTask(node, incarnation, uid, (0,), status)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[TaskRow], list[int]]:
    """Tasks with node tasks of their own, and the order in which some of those end."""
    uids = count(1)
    tasks = []
    for uid in range(draw(st.integers(1, 8))):
        nodes = draw(st.lists(st.sampled_from(NODES), max_size=4))
        tasks.append(
            row(
                uid,
                *(part(node, next(uids)) for node in nodes),
                physical_uid=draw(st.sampled_from(["books", "films"])),
                type=draw(st.sampled_from(["documentDeletion", "indexCreation"])),
            )
        )
    every = [each.uid for task in tasks for each in task.node_tasks]
    return tasks, draw(st.permutations(every))[: draw(st.integers(0, len(every)))]


@given(histories(), st.data())
def test_it_knows_what_a_search_through_everything_would_find(
    history: tuple[list[TaskRow], list[int]], data: st.DataObject
) -> None:
    tasks, ending = history
    book = Book(NODES)
    for task in tasks:
        assert book.enter(task) == list(task.node_tasks)
        assert book.enter(task) == [], "entered twice is entered once"
    owner = {each.uid: (task, each) for task in tasks for each in task.node_tasks}
    ended = set()
    for uid in ending:
        task, each = owner[uid]
        assert book.record(each.node, ("i1", uid), "succeeded", None) == task.uid
        assert book.record(each.node, ("i1", uid), "failed", None) is None, "heard once"
        ended.add(uid)
    closed = data.draw(st.sets(st.sampled_from(tasks).map(lambda task: task.uid)))
    for uid in closed:
        book.close(uid)
    left = [task for task in tasks if task.uid not in closed]
    assert book.uids() == [task.uid for task in left]
    assert set(book.stamps) == {task.stamp for task in left if task.stamp}
    awaited = [(task, each) for task in left for each in task.node_tasks if each.uid not in ended]
    for node in NODES:
        assert book.awaited(node) == sum(each.node == node for _, each in awaited)
        assert set(book.waiting_for(node)) == {task.uid for task, each in awaited if each.node == node}
        for index in ("books", "films"):
            busy = [task.type for task, each in awaited if each.node == node and task.physical_uid == index]
            assert book.busy(node, index) == bool(busy)
            assert book.making(node, index) == ("indexCreation" in busy)
    for found in book.rows():
        assert {each.uid for each in found.node_tasks if each.status == "succeeded"} <= ended
        assert sum(each.status == "open" for each in found.node_tasks) == sum(
            task.uid == found.uid for task, _ in awaited
        )


@given(st.integers(0, 40), st.integers(1, 10), st.integers(1, 10))
def test_everything_behind_the_oldest_has_its_turn(size: int, skip: int, at_once: int) -> None:
    book = Book(NODES)
    book.enter(row(1, *(part("a", uid) for uid in range(size))))
    oldest = book.oldest("a", skip)
    assert oldest == [("i1", uid) for uid in range(min(size, skip))]
    behind = max(size - skip, 0)
    rounds = -(-behind // at_once) + 1
    seen = [key for _ in range(rounds) for key in book.others("a", skip, at_once)]
    assert set(seen) == {("i1", uid) for uid in range(skip, size)}
    assert all(len(book.others("a", skip, at_once)) <= at_once for _ in range(3))


def test_a_wiped_node_gives_out_its_uids_anew() -> None:
    book = Book(NODES)
    book.enter(row(1, part("a", 5)))
    book.enter(row(2, part("a", 5, "i2")))
    assert book.awaited("a") == 2
    assert book.record("a", ("i1", 5), "lost", None) == 1
    assert book.record("a", ("i2", 5), "succeeded", None) == 2
    found = [[each.status for each in task.node_tasks] for task in book.rows()]
    assert found == [["lost"], ["succeeded"]]


def test_what_has_ended_before_it_is_entered_is_not_waited_for() -> None:
    book = Book(NODES)
    assert book.enter(row(1, part("a", 1, status="succeeded"), part("b", 2))) == [part("b", 2)]
    assert (book.awaited("a"), book.awaited("b")) == (0, 1)


def test_closing_what_is_not_there_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Book(NODES).close(1)
