"""Cancelations and deletions over a real store and tracker. Nodes are stand-ins that do as the test says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from miroir.nodes import Accepted, Outcome, Unknown
from miroir.store import NewTask, NodeTask, Store, TaskQuery, TaskRow
from miroir.store.sqlite import open_sqlite
from miroir.tasks import Canceler, Deleter, TaskTracker, task_view
from tests.client import eventually
from tests.unit.store.samples import announce, begun, found, new_task, outcome
from tests.unit.tasks.stand_ins import INCARNATION, StandInNode, come_back, stand_in_cluster

NODES = ("a", "b", "c")


class ObedientNode(StandInNode):
    """Cancels what is open when told to, unless it is `deaf`; remembers what it was told."""

    deaf = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.canceled: list[list[int]] = []
        self.forgotten: list[list[int]] = []

    async def cancel_tasks(self, uids: Sequence[int]) -> Outcome:
        await trio.lowlevel.checkpoint()
        if self.deaf:
            return Unknown("cut")
        self.canceled.append(list(uids))
        for uid in uids:
            if self.known[uid].status in ("enqueued", "processing"):
                self.shows(uid, "canceled")
        return Accepted(1000)

    async def delete_tasks(self, uids: Sequence[int]) -> Outcome:
        await trio.lowlevel.checkpoint()
        self.forgotten.append(list(uids))
        return Unknown("cut") if self.deaf else Accepted(1000)


class Rig:
    """Everything a process has for tasks, over one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.cluster, clients = stand_in_cluster(client=ObedientNode)
        self.nodes: dict[str, ObedientNode] = clients
        self.tracker = TaskTracker(self.cluster, store, lambda _, text: text, lambda _: None)
        self.canceler = Canceler(self.cluster, store, self.tracker)
        self.deleter = Deleter(self.cluster, store, self.tracker)

    async def write(self, uid: int, type: str = "documentAdditionOrUpdate") -> TaskRow:
        """A write that every node took as its task `uid`."""
        intent = await begun(self.store, announce())
        parts = tuple(NodeTask(node, INCARNATION, uid, (0,)) for node in NODES)
        task = new_task(type=type, details={"receivedDocuments": 1}, node_tasks=parts)
        committed = await self.store.commit(outcome(intent, NODES, task=task))
        for node in self.nodes.values():
            node.shows(uid, "enqueued")
        self.tracker.follow(committed.task)
        return committed.task

    async def ended(self, task: TaskRow) -> TaskRow:
        with trio.fail_after(60):
            await self.tracker.wait(task.uid)
        known = await self.store.get_task(task.uid)
        assert known is not None
        return known

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            for worker in (self.tracker.run, self.canceler.run, self.deleter.run):
                nursery.start_soon(worker)
            yield
            nursery.cancel_scope.cancel()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with await open_sqlite(tmp_path / "store.db") as store:
        await found(store)
        made = Rig(store)
        made.cluster.load_in_sync(await store.load_in_sync())
        yield made


async def test_a_canceled_task_says_by_whom_and_nodes_are_told_its_uids_only(rig: Rig) -> None:
    task, other = await rig.write(3), await rig.write(4)
    async with rig.running():
        cancelation = await rig.canceler.cancel(TaskQuery(uids=frozenset({task.uid})), "?uids=0")
        assert (cancelation.status, cancelation.type, cancelation.index_uid) == ("enqueued", "taskCancelation", None)
        done, canceled = await rig.ended(cancelation), await rig.ended(task)
    assert done.status == "succeeded"
    assert list(done.details.items()) == [("matchedTasks", 1), ("canceledTasks", 1), ("originalFilter", "?uids=0")]
    assert None not in (done.started_at, done.finished_at)
    assert (canceled.status, canceled.canceled_by, canceled.error) == ("canceled", cancelation.uid, None)
    assert canceled.details["indexedDocuments"] == 0
    assert all(node.canceled == [[3]] for node in rig.nodes.values())
    known = await rig.store.get_task(other.uid)
    assert known is not None
    assert known.status == "enqueued"
    assert (await rig.store.load_in_sync())["books"][0] == set(NODES), "no copy has it: none is better than another"


async def test_what_a_node_had_done_before_stays_done_and_the_others_are_repaired(rig: Rig) -> None:
    task = await rig.write(3)
    rig.nodes["a"].shows(3, "succeeded", details={"indexedDocuments": 1})
    async with rig.running():
        done = await rig.ended(await rig.canceler.cancel(TaskQuery(uids=frozenset({task.uid})), "?"))
        kept = await rig.ended(task)
    assert (done.details["matchedTasks"], done.details["canceledTasks"]) == (1, 0)
    assert (kept.status, kept.canceled_by) == ("succeeded", None)
    assert (await rig.store.load_in_sync())["books"][0] == {"a"}
    assert {(each.shard, each.node) for each in await rig.store.list_repairs()} == {(0, "b"), (0, "c")}


@pytest.mark.parametrize("type", ["indexCreation", "indexDeletion"])
async def test_what_took_effect_at_once_is_matched_and_not_canceled(rig: Rig, type: str) -> None:
    task = await rig.write(3, type)
    async with rig.running():
        done = await rig.ended(await rig.canceler.cancel(TaskQuery(), "?uids=*"))
    assert (done.details["matchedTasks"], done.details["canceledTasks"]) == (1, 0)
    assert all(not node.canceled for node in rig.nodes.values())
    assert rig.tracker.find(task.uid) is not None


async def test_a_node_that_is_away_is_told_when_it_is_back(rig: Rig) -> None:
    task = await rig.write(3)
    rig.cluster.node_missed("c", "timeout")
    rig.nodes["b"].deaf = True
    async with rig.running():
        cancelation = await rig.canceler.cancel(TaskQuery(uids=frozenset({task.uid})), "?")
        await eventually(lambda: rig.nodes["a"].canceled)
        rig.nodes["b"].deaf = False
        await eventually(lambda: rig.nodes["b"].canceled)
        assert not rig.nodes["c"].canceled
        shown = await rig.store.get_task(task.uid)
        assert shown is not None
        assert task_view(shown)["canceledBy"] is None, "open as long as a copy may still be made"
        come_back(rig.cluster, "c")
        assert (await rig.ended(cancelation)).details["canceledTasks"] == 1
    assert [node.canceled for node in rig.nodes.values()] == [[[3]]] * 3, "told once"


async def test_a_disk_that_was_wiped_is_not_told_the_uids_of_the_old_one(rig: Rig) -> None:
    task = await rig.write(3)
    come_back(rig.cluster, "c", "another disk")
    async with rig.running():
        await rig.ended(await rig.canceler.cancel(TaskQuery(uids=frozenset({task.uid})), "?"))
    assert rig.nodes["a"].canceled == [[3]]
    assert rig.nodes["c"].canceled == []


async def test_a_cancelation_that_a_crash_interrupted_goes_on(rig: Rig) -> None:
    task = await rig.write(3)
    cancelation = await rig.canceler.cancel(TaskQuery(uids=frozenset({task.uid})), "?")
    successor = Rig(rig.store)
    for node in successor.nodes.values():
        node.shows(3, "enqueued")
    async with successor.running():
        await eventually(lambda: all(node.canceled for node in successor.nodes.values()), what="the nodes being told")
        await successor.ended(cancelation)
    known = await rig.store.get_task(task.uid)
    assert known is not None
    assert known.canceled_by == cancelation.uid


async def test_tasks_are_deleted_here_and_on_the_nodes_that_can_be_told(rig: Rig) -> None:
    now = "2026-03-01T12:00:00Z"
    over = NewTask("books", "documentAdditionOrUpdate", {}, now, status="failed", finished_at=now)
    parts = (
        NodeTask("a", INCARNATION, 5, (0,), "failed"),
        NodeTask("b", "old disk", 6, (0,), "failed"),
        NodeTask("c", INCARNATION, 7, (0,), "lost"),
    )
    gone = [await rig.store.add_task(replace(over, node_tasks=parts)) for _ in range(2)]
    waiting = await rig.write(9)
    rig.nodes["a"].deaf = True  # which is no reason to keep ours
    async with rig.running():
        deletion = await rig.deleter.delete(TaskQuery(index_uids=frozenset({"books"})), "?indexUids=books")
        done = await rig.ended(deletion)
    expected = {"matchedTasks": 3, "deletedTasks": 2, "originalFilter": "?indexUids=books"}
    assert list(done.details.items()) == list(expected.items())
    assert [await rig.store.get_task(task.uid) for task in gone] == [None, None]
    assert await rig.store.get_task(waiting.uid) is not None
    assert rig.nodes["a"].forgotten == [[5, 5]]
    assert rig.nodes["b"].forgotten == rig.nodes["c"].forgotten == []


async def test_a_deletion_that_a_crash_interrupted_goes_on_with_every_filter(rig: Rig) -> None:
    now = "2026-03-01T12:00:00Z"
    over = NewTask("books", "documentDeletion", {}, now, status="failed", finished_at=now)
    kept = await rig.store.add_task(replace(over, type="settingsUpdate"))
    gone = await rig.store.add_task(over)
    query = TaskQuery(
        uids=frozenset({kept.uid, gone.uid}),
        types=frozenset({"documentDeletion"}),
        after_enqueued_at="2026-01-01T00:00:00Z",
    )
    deletion = await rig.deleter.delete(query, "?")
    successor = Rig(rig.store)
    async with successor.running():
        await eventually(lambda: successor.tracker.find(deletion.uid) is None)
        await eventually(lambda: rig.store.count_tasks(), what="the store")
        known = None
        while known is None or known.status != "succeeded":
            known = await rig.store.get_task(deletion.uid)
    assert known.details["deletedTasks"] == 1
    assert await rig.store.get_task(kept.uid) == kept
    assert await rig.store.get_task(gone.uid) is None


@pytest.mark.parametrize("type", ["taskCancelation", "taskDeletion"])
async def test_one_that_is_registered_is_carried_out_though_its_client_was_given_up(rig: Rig, type: str) -> None:
    asked = {"taskCancelation": rig.canceler.cancel, "taskDeletion": rig.deleter.delete}[type]
    async with rig.running():
        await trio.testing.wait_all_tasks_blocked()
        with trio.CancelScope() as deadline:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(asked, TaskQuery(uids=frozenset({99})), "?uids=99")
                await trio.lowlevel.checkpoint()
                deadline.cancel()
        registered = (await rig.store.list_tasks(TaskQuery())).tasks
        for task in registered:
            assert (await rig.ended(task)).status == "succeeded"
    assert [task.type for task in registered] == [type]
