"""Tasks: registered, followed, settled, listed, forgotten."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from miroir.store import NodeTask, Store, TaskQuery
from tests.unit.store.places import Place
from tests.unit.store.samples import LATER, NODES, NOW, Clock, copies, found, new_task, settlement, written

ERROR: Any = {"message": "no", "code": "internal", "type": "internal", "link": "l"}


async def test_a_task_is_kept_whole(store: Store) -> None:
    new = new_task(
        None,
        status="failed",
        details={"swaps": [{"indexes": ["a", "b"]}], "ü": None, "n": 1.5},
        error=ERROR,
        started_at=NOW,
        finished_at=LATER,
        node_tasks=(NodeTask("a", "i1", 3, (0, 5)), NodeTask("b", "i2", 0, (), "lost")),
        session="s",
        origin="ttl",
        physical_uid="p",
        stamp=2**53 + 1,
    )
    task = await store.add_task(new)
    assert {name: getattr(task, name) for name in new.__slots__} == {name: getattr(new, name) for name in new.__slots__}
    assert await store.get_task(task.uid) == task
    assert await store.get_task(task.uid + 1) is None


async def test_uids_grow_from_zero_and_are_never_reused(place: Place, clock: Clock) -> None:
    store = await place.open(clock)
    uids = [(await store.add_task(new_task(status="succeeded", finished_at=NOW))).uid for _ in range(3)]
    assert await store.prune_tasks(LATER, 10) == 3
    await store.aclose()
    store = await place.open(clock)
    uids.append((await store.add_task(new_task())).uid)
    await store.aclose()
    assert uids == [0, 1, 2, 3]


async def test_a_closed_task_must_say_when(store: Store) -> None:
    with pytest.raises(ValueError, match="finished"):
        await store.add_task(new_task(status="failed"))
    with pytest.raises(ValueError, match="RFC 3339"):
        await store.add_task(new_task(enqueued_at="yesterday"))
    assert (await store.list_tasks(TaskQuery())).total == 0


async def test_open_tasks_are_followed_until_settled(store: Store) -> None:
    await found(store)
    task = (await written(store)).task
    other = await store.add_task(new_task(None, origin="ttl"))
    assert await store.open_tasks() == [task, other]
    moved = replace(task, status="processing", started_at=NOW, details={"n": 1}, node_tasks=task.node_tasks[:1])
    await store.update_open_task(moved)
    assert await store.get_task(task.uid) == moved
    with pytest.raises(ValueError, match="settle"):
        await store.update_open_task(replace(moved, status="failed"))
    settled, changed = await store.settle(settlement(moved))
    assert (settled.status, settled.finished_at, changed) == ("succeeded", LATER, {})
    assert settled.details == {"receivedDocuments": 2, "indexedDocuments": 2}
    assert await store.get_task(task.uid) == settled
    await store.update_open_task(moved)
    assert await store.settle(settlement(task, copies("a"), status="failed", error=ERROR)) == (settled, {})
    assert await store.get_task(task.uid) == settled
    assert await store.open_tasks() == [other]
    with pytest.raises(KeyError):
        await store.settle(settlement(replace(task, uid=99)))


async def test_a_copy_that_lost_a_write_is_no_longer_trusted(store: Store) -> None:
    await found(store)
    task = (await written(store, (0, 1, 2))).task
    lost = {0: frozenset("a"), 1: frozenset("x"), 2: NODES, 9: frozenset("a")}
    _, changed = await store.settle(settlement(task, lost))
    assert changed == {0: frozenset("bc")}
    assert (await store.load_in_sync())["books"] == {**copies(), 0: frozenset("bc")}
    # Nobody has shard 2: no copy is better than another, so all stay and are compared.
    assert {(repair.shard, repair.node) for repair in await store.list_repairs()} == {(0, "a"), (2, None)}


async def test_settling_after_the_index_is_gone_touches_no_copies(store: Store) -> None:
    await found(store)
    task = (await written(store)).task
    await store.delete_index("books", "books", new_task())
    settled, changed = await store.settle(settlement(task, copies("a")))
    assert (settled.status, changed) == ("succeeded", {})
    assert await store.list_repairs() == []


async def test_pruning_takes_the_oldest_and_never_an_open_one(store: Store) -> None:
    await store.add_task(new_task())
    times = ["2026-01-01T00:00:03Z", "2026-01-01T00:00:01.5Z", "2026-01-01T00:00:01Z", "2026-01-01T00:00:02+01:00"]
    for time in times:
        await store.add_task(new_task(status="succeeded", finished_at=time))
    assert await store.prune_tasks("2026-01-01T00:00:03Z", 2) == 2
    assert [task.uid for task in (await store.list_tasks(TaskQuery())).tasks] == [2, 1, 0]
    assert await store.prune_tasks("2026-01-01T00:00:03Z", 2) == 1
    assert await store.prune_tasks("2030-01-01T00:00:00Z", 5) == 1
    assert [task.uid for task in (await store.list_tasks(TaskQuery())).tasks] == [0]


async def test_pruning_leaves_what_something_has_still_to_follow_from(store: Store) -> None:
    task = await store.add_task(new_task(physical_uid="books"))
    await store.settle(settlement(task, status="failed"))
    assert await store.prune_tasks("2100-01-01T00:00:00Z", 5) == 0
    assert [each.uid for each in await store.list_follow_ups()] == [task.uid]
    await store.finish_follow_up(task.uid)
    assert await store.prune_tasks("2100-01-01T00:00:00Z", 5) == 1


async def test_counts_follow_every_change(store: Store) -> None:
    empty = dict.fromkeys(("enqueued", "processing", "succeeded", "failed", "canceled"), 0)
    assert await store.count_tasks() == empty
    tasks = [await store.add_task(new_task()) for _ in range(4)]
    await store.add_task(new_task(origin="ttl"))
    await store.update_open_task(replace(tasks[0], status="processing"))
    await store.settle(settlement(tasks[1], status="failed"))
    assert await store.count_tasks() == empty | {"enqueued": 2, "processing": 1, "failed": 1}
    assert (await store.list_tasks(TaskQuery(limit=0))).total == 4
    await store.prune_tasks("2030-01-01T00:00:00Z", 5)
    assert await store.count_tasks() == empty | {"enqueued": 2, "processing": 1}


@pytest.fixture
async def listed(store: Store) -> Store:
    """Tasks 0 to 5; number 2 is not a client's. 0 and 1 are a and b's; times are spread at odd fractions."""
    await store.add_task(new_task("a", enqueued_at="2026-01-01T00:00:00Z"))
    await store.add_task(new_task("b", type="indexCreation", enqueued_at="2026-01-01T00:00:00.5Z"))
    await store.add_task(new_task("a", origin="ttl"))
    await store.add_task(
        new_task(
            "a",
            type="indexCreation",
            status="succeeded",
            enqueued_at="2026-01-01T00:00:01Z",
            started_at="2026-01-01T00:00:02Z",
            finished_at="2026-01-01T00:00:03.000000001Z",
        )
    )
    task = await store.add_task(new_task("B", enqueued_at="2026-01-01T02:00:04+02:00"))
    await store.update_open_task(replace(task, status="processing", started_at="2026-01-01T00:00:09Z"))
    await store.add_cancelation(
        new_task(None, type="taskCancelation", enqueued_at="2026-01-01T00:00:05.25Z"),
        TaskQuery(uids=frozenset({4})),
        frozenset({"documentAdditionOrUpdate"}),
    )
    return store


@pytest.mark.parametrize(
    ("query", "uids", "total", "following"),
    [
        (TaskQuery(), [5, 4, 3, 1, 0], 5, None),
        (TaskQuery(limit=2), [5, 4], 5, 3),
        (TaskQuery(limit=2, start=3), [3, 1], 5, 0),
        (TaskQuery(limit=2, start=2), [1, 0], 5, None),
        (TaskQuery(limit=2, reverse=True), [0, 1], 5, 3),
        (TaskQuery(limit=2, start=2, reverse=True), [3, 4], 5, 5),
        (TaskQuery(limit=0), [], 5, 5),
        (TaskQuery(start=2**64, limit=2**64), [5, 4, 3, 1, 0], 5, None),
        (TaskQuery(uids=frozenset({0, 2, 4, 99}), limit=1), [4], 2, 0),
        (TaskQuery(uids=frozenset()), [], 0, None),
        (TaskQuery(statuses=frozenset({"enqueued"})), [5, 1, 0], 3, None),
        (TaskQuery(statuses=frozenset({"enqueued", "processing"}), limit=2), [5, 4], 4, 1),
        (TaskQuery(types=frozenset({"indexCreation", "taskCancelation"})), [5, 3, 1], 3, None),
        (TaskQuery(index_uids=frozenset({"a"})), [3, 0], 2, None),
        (TaskQuery(index_uids=frozenset({"b", "c"})), [1], 1, None),
        (TaskQuery(canceled_by=frozenset({5, 6})), [], 0, None),  # marked, and not canceled yet
        (TaskQuery(types=frozenset({"indexCreation"}), index_uids=frozenset({"a"}), start=2), [], 1, None),
        (TaskQuery(before_enqueued_at="2026-01-01T00:00:00.5Z"), [0], 1, None),
        (TaskQuery(before_enqueued_at="2026-01-01T00:00:00.500000001Z"), [1, 0], 2, None),
        (TaskQuery(after_enqueued_at="2026-01-01T00:00:00Z"), [5, 4, 3, 1], 4, None),
        (TaskQuery(after_enqueued_at="2026-01-01T00:00:04Z"), [5], 1, None),
        (TaskQuery(before_started_at="2026-01-01T00:00:09Z"), [3], 1, None),
        (TaskQuery(after_started_at="1970-01-01T00:00:00Z"), [4, 3], 2, None),
        (TaskQuery(after_finished_at="2026-01-01T00:00:03Z"), [3], 1, None),
        (TaskQuery(before_finished_at="9999-12-31T23:59:59Z"), [3], 1, None),
        (TaskQuery(before_finished_at="2026-01-01T00:00:03Z"), [], 0, None),
        (TaskQuery(visible=frozenset({"a"})), [3, 0], 5, None),  # as on a node the total counts what is hidden
        (TaskQuery(visible=frozenset({"a", "b*"}), limit=1), [3], 5, 1),
        (TaskQuery(visible=frozenset({"B*"})), [4], 5, None),
        (TaskQuery(visible=frozenset({"a_", "%", "*"})), [4, 3, 1, 0], 5, None),
        (TaskQuery(visible=frozenset({"_", "%*"})), [], 5, None),
        (TaskQuery(visible=frozenset()), [], 5, None),
        (TaskQuery(visible=frozenset({"a"}), index_uids=frozenset({"a", "b"})), [3, 0], 3, None),
    ],
)
async def test_listing(listed: Store, query: TaskQuery, uids: list[int], total: int, following: int | None) -> None:
    page = await listed.list_tasks(query)
    assert ([task.uid for task in page.tasks], page.total, page.next) == (uids, total, following)


DOCUMENTS = frozenset({"documentAdditionOrUpdate"})


def cancelation(**changes: Any) -> Any:
    details = {"matchedTasks": None, "canceledTasks": None, "originalFilter": "?"}
    return new_task(None, type="taskCancelation", details=details, **changes)


async def test_who_may_not_see_a_task_cannot_change_it(listed: Store) -> None:
    task = await listed.add_cancelation(cancelation(), TaskQuery(visible=frozenset({"b"})), DOCUMENTS)
    assert (task.details["matchedTasks"], await listed.tasks_being_canceled(task.uid)) == (1, [])
    task = await listed.add_cancelation(cancelation(), TaskQuery(visible=frozenset({"a*"})), DOCUMENTS)
    assert (task.details["matchedTasks"], await listed.tasks_being_canceled(task.uid)) == (2, [0])
    deletion = new_task(None, type="taskDeletion", details={"matchedTasks": None})
    assert (await listed.add_deletion(deletion, TaskQuery(visible=frozenset({"b"})))).details["matchedTasks"] == 1
    assert await listed.delete_tasks(TaskQuery(visible=frozenset({"b", "c*"})), 99, 10) == []
    assert [task.uid for task in await listed.delete_tasks(TaskQuery(visible=frozenset({"a"})), 99, 10)] == [3]


async def test_a_cancelation_marks_what_is_open_and_of_a_type_it_may_cancel(listed: Store) -> None:
    before = await listed.count_tasks()
    task = await listed.add_cancelation(cancelation(), TaskQuery(), DOCUMENTS)
    # Matching: all of clients'. Marked: not 1 (a creation), 2 (ours), 3 (over), 4 (marked already), 5 or itself.
    assert list(task.details.items()) == [("matchedTasks", 5), ("canceledTasks", None), ("originalFilter", "?")]
    assert (task.uid, await listed.tasks_being_canceled(task.uid)) == (6, [0])
    assert await listed.tasks_being_canceled(5) == [4]
    assert await listed.get_task(task.uid) == task
    assert (await listed.count_tasks())["enqueued"] == before["enqueued"] + 1


@pytest.mark.parametrize(("status", "mark"), [("canceled", 6), ("succeeded", None), ("failed", None)])
async def test_a_mark_lasts_on_what_ends_canceled(listed: Store, status: Any, mark: int | None) -> None:
    cancel = await listed.add_cancelation(cancelation(), TaskQuery(uids=frozenset({0, 3})), DOCUMENTS)
    task = await listed.get_task(0)
    assert task is not None
    await listed.update_open_task(replace(task, canceled_by=None, status="processing", started_at=NOW))
    assert await listed.tasks_being_canceled(cancel.uid) == [0], "an update wipes no mark off"
    settled, _ = await listed.settle(settlement(task, status=status))
    assert settled.canceled_by == mark
    assert await listed.get_task(0) == settled
    assert await listed.tasks_being_canceled(cancel.uid) == []
    page = await listed.list_tasks(TaskQuery(canceled_by=frozenset({cancel.uid})))
    assert [each.uid for each in page.tasks] == ([0] if mark is not None else [])


async def test_a_task_is_never_canceled_by_one_that_was_there_before_it(store: Store) -> None:
    cancel = await store.add_cancelation(cancelation(), TaskQuery(), DOCUMENTS)
    await store.add_task(new_task())
    assert cancel.details["matchedTasks"] == 0
    assert await store.tasks_being_canceled(cancel.uid) == []


async def test_deleting_takes_what_is_over_and_matches_in_bounded_steps(store: Store) -> None:
    over = {"status": "succeeded", "finished_at": NOW}
    for uid in range(5):
        await store.add_task(new_task("a", **over, node_tasks=(NodeTask("n", "i1", uid, (0,), "succeeded"),)))
    await store.add_task(new_task("a"))
    await store.add_task(new_task("b", **over))
    await store.add_task(new_task("a", origin="ttl", **over))
    query = TaskQuery(index_uids=frozenset("a"))
    deletion = await store.add_deletion(new_task(None, type="taskDeletion", details={"matchedTasks": None}), query)
    late = await store.add_task(new_task("a", **over))
    assert deletion.details == {"matchedTasks": 6}
    gone = await store.delete_tasks(query, deletion.uid, 3)
    assert [(task.uid, [part.uid for part in task.node_tasks]) for task in gone] == [(0, [0]), (1, [1]), (2, [2])]
    assert [task.uid for task in await store.delete_tasks(query, deletion.uid, 3)] == [3, 4]
    assert await store.delete_tasks(query, deletion.uid, 3) == []
    assert await store.get_task(0) is None
    left = await store.list_tasks(TaskQuery())
    assert ([task.uid for task in left.tasks], left.total) == ([late.uid, deletion.uid, 6, 5], 4)
    assert await store.get_task(7) is not None, "internal work cannot be selected"
    assert (await store.count_tasks())["succeeded"] == 2
    # No filter at all is everything, for a client who wrote `uids=*`.
    assert [task.uid for task in await store.delete_tasks(TaskQuery(), late.uid + 1, 99)] == [6, late.uid]
