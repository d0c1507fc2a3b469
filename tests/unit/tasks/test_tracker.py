"""The tracker over a real store. Its nodes are stand-ins: what they say of their tasks is the test's to choose."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import trio

from miroir.cluster import Cluster
from miroir.errors import miroir_error
from miroir.nodes import NodeAnswerError
from miroir.store import NewTask, NodeTask, Settle, ShardCopies, Store, StoreUnavailable, TaskQuery, TaskRow
from miroir.store.sqlite import open_sqlite
from miroir.tasks import DISTINCT_NOTE, TaskTracker
from miroir.tasks.pace import least_pause
from tests.client import eventually
from tests.unit.store.samples import NOW, announce, begun, copies, found, new_task, outcome
from tests.unit.tasks.stand_ins import INCARNATION, StandInNode, come_back, stand_in_cluster

NODES = ("a", "b", "c")
UID = 7
DETAILS = {"receivedDocuments": 2, "indexedDocuments": None, DISTINCT_NOTE: 2}


class Rig:
    """A tracker, the store it writes to, and the nodes it asks."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.cluster, clients = stand_in_cluster()
        self.nodes: dict[str, StandInNode] = clients
        self.reached: list[str] = []
        self.tracker = self.another(store)

    def another(self, store: Store) -> TaskTracker:
        """A tracker as a process makes it that has just started."""
        return TaskTracker(self.cluster, store, _cleaned, self.reached.append)

    async def write(self, shards: tuple[int, ...] = (0,), uids: Iterable[int] = (UID,)) -> TaskRow:
        """A write that every node took under each of these uids: committed, followed, open on all of them."""
        intent = await begun(self.store, announce(shards))
        parts = tuple(NodeTask(node, INCARNATION, uid, shards) for uid in uids for node in NODES)
        committed = await self.store.commit(outcome(intent, NODES, task=new_task(details=DETAILS, node_tasks=parts)))
        for node in self.nodes.values():
            for uid in uids:
                node.shows(uid, "enqueued")
        self.tracker.follow(committed.task)
        return committed.task

    async def known(self, uid: int) -> TaskRow:
        task = await self.store.get_task(uid)
        assert task is not None
        return task

    async def in_sync(self, shard: int = 0) -> frozenset[str]:
        return (await self.store.load_in_sync())["books"][shard]


def _cleaned(_: TaskRow, text: str) -> str:
    return text.replace("_miroir", "*")


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with await open_sqlite(tmp_path / "store.db") as store:
        await found(store)
        made = Rig(store)
        made.cluster.load_in_sync(await store.load_in_sync())
        yield made


@asynccontextmanager
async def running(tracker: TaskTracker) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tracker.run)
        nursery.start_soon(tracker.run_follow_ups)
        yield
        nursery.cancel_scope.cancel()


async def settled(tracker: TaskTracker, task: TaskRow) -> None:
    with trio.fail_after(60):
        await tracker.wait(task.uid)


async def test_what_an_earlier_run_left_open_is_followed_before_that_is_said(rig: Rig) -> None:
    task = await rig.write()
    tracker = rig.another(rig.store)
    assert tracker.open_tasks == []
    async with running(tracker):
        with trio.fail_after(60):
            await tracker.followed()
        assert [each.uid for each in tracker.open_tasks] == [task.uid]


async def test_a_task_is_settled_when_every_node_is_done(rig: Rig) -> None:
    task = await rig.write()
    told: list[TaskRow] = []
    rig.tracker.on_ended(told.append)
    async with running(rig.tracker):
        for number, node in enumerate(rig.nodes.values()):
            node.shows(
                UID,
                "succeeded",
                startedAt=f"2026-03-01T12:00:0{number}Z",
                finishedAt=f"2026-03-01T12:00:1{number}Z",
                details={"indexedDocuments": 2},
            )
        await settled(rig.tracker, task)
        await eventually(lambda: told, what="the listener")
    done = await rig.known(task.uid)
    assert told == [done]
    assert done.status == "succeeded"
    assert done.details == {"receivedDocuments": 2, "indexedDocuments": 2}
    assert (done.started_at, done.finished_at) == ("2026-03-01T12:00:00Z", "2026-03-01T12:00:12Z")
    assert {part.status for part in done.node_tasks} == {"succeeded"}
    assert await rig.in_sync() == {"a", "b", "c"}
    assert rig.reached == ["enqueued", "succeeded"]
    assert rig.tracker.open_tasks == []


def _appending(told: list[TaskRow]) -> Callable[[TaskRow], Awaitable[None]]:
    async def hook(task: TaskRow) -> None:
        await trio.lowlevel.checkpoint()
        told.append(task)

    return hook


async def test_a_task_that_every_node_failed_shows_a_nodes_error_in_the_clients_words(rig: Rig) -> None:
    task = await rig.write()
    error = {"message": "_miroir is bad", "code": "invalid_document_id", "type": "invalid_request", "link": "docs"}
    for node in rig.nodes.values():
        node.shows(UID, "failed", error=error)
    async with running(rig.tracker):
        await settled(rig.tracker, task)
    done = await rig.known(task.uid)
    assert done.status == "failed"
    assert done.error == {**error, "message": "* is bad"}
    assert done.details["indexedDocuments"] == 0
    assert await rig.in_sync() == {"a", "b", "c"}, "no copy is better than another"


async def test_a_copy_that_missed_what_the_others_have_is_not_trusted_any_more(rig: Rig) -> None:
    task = await rig.write((0, 1))
    rig.nodes["a"].shows(UID, "failed")
    for node in "bc":
        rig.nodes[node].shows(UID, "succeeded", details={"indexedDocuments": 2})
    async with running(rig.tracker):
        await settled(rig.tracker, task)
    done = await rig.known(task.uid)
    assert (done.status, done.error) == ("succeeded", None)
    assert await rig.in_sync(0) == await rig.in_sync(1) == {"b", "c"}
    assert await rig.in_sync(2) == {"a", "b", "c"}
    repairs = {(repair.shard, repair.node) for repair in await rig.store.list_repairs()}
    assert repairs == {(0, "a"), (1, "a")}


async def test_nobody_waits_for_a_node_that_is_away_when_others_have_its_part(rig: Rig) -> None:
    task = await rig.write()
    rig.cluster.node_missed("c", "timeout")
    async with running(rig.tracker):
        rig.nodes["a"].shows(UID, "succeeded")
        rig.nodes["b"].shows(UID, "succeeded")
        await settled(rig.tracker, task)
    done = await rig.known(task.uid)
    assert done.status == "succeeded"
    assert {part.node: part.status for part in done.node_tasks} == {"a": "succeeded", "b": "succeeded", "c": "lost"}
    assert await rig.in_sync() == {"a", "b"}
    assert not rig.nodes["c"].polls, "a node that is away is not asked"


@pytest.mark.parametrize("back", [True, False])
async def test_the_only_trusted_copy_is_waited_for_although_others_have_it(rig: Rig, back: bool) -> None:
    """They missed a later write and will be made equal to it. Unless one of them is allocated: then that counts."""
    task = await rig.write()
    await rig.store.leave_in_sync("books", {0: frozenset("bc")}, "missed the next", since=1)
    rig.cluster.load_in_sync(await rig.store.load_in_sync())
    rig.cluster.node_missed("a", "timeout")
    for node in "bc":
        rig.nodes[node].shows(UID, "succeeded", details={"indexedDocuments": 2})
    async with running(rig.tracker):
        await eventually(lambda: [part.status for part in rig.tracker.open_tasks[0].node_tasks].count("succeeded") == 2)
        assert (await rig.known(task.uid)).status == "enqueued"
        if back:
            rig.nodes["a"].shows(UID, "succeeded", details={"indexedDocuments": 2})
            come_back(rig.cluster, "a")
        else:
            await rig.store.allocate_stale("books", {0: frozenset("a")}, "b", {})
            rig.cluster.load_in_sync(await rig.store.load_in_sync())
        await settled(rig.tracker, task)
    assert (await rig.known(task.uid)).status == "succeeded"
    assert await rig.in_sync() == ({"a"} if back else {"b"})


async def test_a_task_that_only_an_absent_node_can_have_stays_open_until_it_is_back(rig: Rig) -> None:
    task = await rig.write()
    for node in "ab":
        rig.nodes[node].shows(UID, "failed")
    rig.cluster.node_missed("c", "timeout")
    other = await rig.write((1,), (8,))
    for node in "ab":
        rig.nodes[node].shows(8, "succeeded")
    async with running(rig.tracker):
        await settled(rig.tracker, other)
        await eventually(lambda: [part.status for part in rig.tracker.open_tasks[0].node_tasks].count("failed") == 2)
        assert (await rig.known(task.uid)).status == "enqueued"
        rig.nodes["c"].shows(UID, "succeeded", details={"indexedDocuments": 2})
        come_back(rig.cluster, "c")
        await settled(rig.tracker, task)
    assert (await rig.known(task.uid)).status == "succeeded"
    assert await rig.in_sync() == {"c"}


@pytest.mark.parametrize("wiped", [True, False], ids=["another disk", "the task is unknown"])
async def test_what_a_node_does_not_know_any_more_is_lost(rig: Rig, wiped: bool) -> None:
    task = await rig.write()
    for node in rig.nodes.values():
        node.shows(UID, "succeeded")
    if wiped:
        come_back(rig.cluster, "a", "another incarnation")
    else:
        del rig.nodes["a"].known[UID]
    async with running(rig.tracker):
        await settled(rig.tracker, task)
    done = await rig.known(task.uid)
    assert {part.node: part.status for part in done.node_tasks} == {"a": "lost", "b": "succeeded", "c": "succeeded"}
    assert await rig.in_sync() == {"b", "c"}


async def test_a_task_that_all_nodes_lost_failed_and_says_what_to_do(rig: Rig) -> None:
    task = await rig.write()
    for node in rig.nodes.values():
        node.known.clear()
    async with running(rig.tracker):
        await settled(rig.tracker, task)
    done = await rig.known(task.uid)
    assert done.status == "failed"
    assert done.error is not None
    assert (done.error["code"], done.error["type"]) == ("internal", "internal")
    assert done.finished_at is not None
    assert done.started_at is not None


async def test_what_follows_from_a_failure_is_done_although_the_process_died_before(rig: Rig) -> None:
    task = await rig.write()
    begun: list[TaskRow] = []

    async def cut_short(failed: TaskRow) -> None:
        begun.append(failed)
        await trio.sleep_forever()

    rig.tracker.on_failed(cut_short)
    async with running(rig.tracker):
        for node in rig.nodes.values():
            node.shows(UID, "failed")
        await eventually(lambda: begun, what="the follow-up being begun")
    assert await rig.store.delete_tasks(TaskQuery(), task.uid + 1, 10) == [], "it is needed yet"
    told: list[TaskRow] = []
    for _ in range(2):
        successor = rig.another(rig.store)
        successor.on_failed(_appending(told))
        async with running(successor):
            await eventually(lambda: told, what="the follow-up")
            await eventually(lambda: _none_left(rig.store), what="the store being told")
        assert told == begun == [await rig.known(task.uid)], "once it is done it is not done again"


async def _none_left(store: Store) -> bool:
    return not await store.list_follow_ups()


async def test_a_follow_up_that_does_not_get_through_is_tried_again(rig: Rig) -> None:
    task = await rig.write()
    failures: list[Exception] = [StoreUnavailable("away"), miroir_error("miroir_no_quorum", "no node")]
    told: list[TaskRow] = []

    async def flaky(failed: TaskRow) -> None:
        await trio.lowlevel.checkpoint()
        if failures:
            raise failures.pop()
        told.append(failed)

    rig.tracker.on_failed(flaky)
    async with running(rig.tracker):
        for node in rig.nodes.values():
            node.shows(UID, "failed")
        await eventually(lambda: told, what="the third try")
    assert told == [await rig.known(task.uid)]


async def test_a_follow_up_that_is_a_mistake_keeps_no_other_waiting(rig: Rig) -> None:
    poison, other = await rig.write(uids=(UID,)), await rig.write(uids=(UID + 1,))
    tried: list[int] = []
    told: list[int] = []

    async def mistaken(failed: TaskRow) -> None:
        await trio.lowlevel.checkpoint()
        tried.append(failed.uid)
        if failed.uid == poison.uid and tried.count(poison.uid) < 3:
            raise KeyError("a mistake of ours")
        told.append(failed.uid)

    rig.tracker.on_failed(mistaken)
    async with running(rig.tracker):
        for node in rig.nodes.values():
            node.shows(UID, "failed")
            node.shows(UID + 1, "failed")
        await eventually(lambda: len(told) == 2, what="both follow-ups done")
    assert told == [other.uid, poison.uid]


async def test_nothing_follows_from_success(rig: Rig) -> None:
    task = await rig.write()
    async with running(rig.tracker):
        for node in rig.nodes.values():
            node.shows(UID, "succeeded")
        await settled(rig.tracker, task)
    assert await _none_left(rig.store)


async def test_a_poll_that_fails_is_made_again(rig: Rig) -> None:
    task = await rig.write()
    rig.nodes["a"].breaks(2)
    rig.nodes["b"].failures = [NodeAnswerError("b", 500, b"")]
    rig.nodes["c"].failures = [msgspec.ValidationError("not a page of tasks")]
    for node in rig.nodes.values():
        node.shows(UID, "succeeded")
    async with running(rig.tracker):
        await settled(rig.tracker, task)
    assert [len(node.polls) for node in rig.nodes.values()] == [3, 2, 2]
    assert (await rig.known(task.uid)).status == "succeeded"


async def test_a_task_that_a_node_works_on_is_processing(rig: Rig) -> None:
    task = await rig.write()
    rig.nodes["b"].shows(UID, "processing")

    async def is_processing() -> bool:
        return (await rig.known(task.uid)).status == "processing"

    async with running(rig.tracker):
        await eventually(is_processing)
        assert (await rig.known(task.uid)).started_at == "2026-03-01T12:00:01Z"
        assert rig.tracker.open_tasks[0].status == "processing"


async def test_who_asks_for_an_open_task_has_its_nodes_asked(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miroir.tasks.tracker.pause", lambda _poll, _quiet: 3600.0)
    task = await rig.write()
    node = rig.nodes["a"]
    async with running(rig.tracker):
        await eventually(lambda: node.polls, what="the first poll")
        for each in rig.nodes.values():
            each.shows(UID, "succeeded")
        asked = rig.tracker.asked_for(task.uid)
        assert asked is not None
        assert asked.uid == task.uid
        await settled(rig.tracker, task)
    assert rig.tracker.asked_for(task.uid) is None, "it is the store's to tell now"


async def test_the_oldest_of_many_tasks_are_looked_at_and_the_others_asked_for_when_they_ended(rig: Rig) -> None:
    task = await rig.write(uids=range(150))
    node = rig.nodes["a"]
    async with running(rig.tracker):
        await eventually(lambda: node.polls and node.polls_for_ended)
        looked_at, others = node.polls[0], node.polls_for_ended[0]
        assert looked_at + others == list(range(150)), "each is asked for once, in two requests"
        for uid in range(150):
            for each in rig.nodes.values():
                each.shows(uid, "succeeded")
        await settled(rig.tracker, task)
    done = await rig.known(task.uid)
    assert done.status == "succeeded"
    assert len(done.node_tasks) == 450
    assert {part.status for part in done.node_tasks} == {"succeeded"}


async def test_ten_thousand_open_tasks_cost_two_bounded_requests_a_poll(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pause", "pause_when_asked"):
        monkeypatch.setattr(f"miroir.tasks.tracker.{name}", lambda poll, _quiet: least_pause(poll))
    node = rig.nodes["a"]
    for uid in range(10_000):
        part = NodeTask("a", INCARNATION, uid, (0,))
        row = TaskRow(uid, "books", "documentAdditionOrUpdate", "enqueued", (part,), {}, None, NOW)
        node.shows(uid, "enqueued")
        rig.tracker.follow(row)
    async with running(rig.tracker):
        await eventually(lambda: len(node.polls_for_ended) >= 12, 90)
    assert all(poll == list(range(20)) for poll in node.polls)
    assert all(len(poll) <= 1000 for poll in node.polls_for_ended)
    assert {uid for poll in node.polls_for_ended for uid in poll} == set(range(20, 10_000)), "each has its turn"
    assert not rig.nodes["b"].polls


async def test_what_is_open_in_the_store_is_taken_over_at_start(rig: Rig) -> None:
    task = await rig.write()
    successor = rig.another(rig.store)
    for node in rig.nodes.values():
        node.shows(UID, "succeeded")
    async with running(successor):
        await eventually(lambda: any(node.polls for node in rig.nodes.values()))
        await settled(successor, task)
    assert (await rig.known(task.uid)).status == "succeeded"


class FlakyStore:
    """The store, away for the first `failures` settlements."""

    def __init__(self, store: Store, failures: int) -> None:
        self._store = store
        self._failures = failures

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def settle(self, settle: Settle) -> tuple[TaskRow, ShardCopies]:
        if self._failures:
            self._failures -= 1
            await trio.lowlevel.checkpoint()
            raise StoreUnavailable("the disk is full")
        return await self._store.settle(settle)


async def test_a_task_is_settled_although_the_store_was_away_when_it_was_time_to(rig: Rig) -> None:
    rig.tracker = rig.another(FlakyStore(rig.store, 2))  # type: ignore[arg-type]  # passes all else on
    task = await rig.write()
    for node in rig.nodes.values():
        node.shows(UID, "succeeded")
    for _ in range(2):
        with trio.fail_after(60), pytest.RaisesGroup(StoreUnavailable, flatten_subgroups=True, allow_unwrapped=True):
            await rig.tracker.run()
    async with running(rig.tracker):  # as the supervisor does
        await settled(rig.tracker, task)
    assert (await rig.known(task.uid)).status == "succeeded"


async def test_a_task_may_get_more_parts_while_it_is_followed(rig: Rig) -> None:
    task = await rig.write()
    more = replace(task, node_tasks=(*task.node_tasks, NodeTask("a", INCARNATION, 8, (0,))))
    await rig.store.update_open_task(more)
    rig.tracker.follow(more)
    for node in rig.nodes.values():
        node.shows(UID, "succeeded")
    rig.nodes["a"].shows(8, "enqueued")
    async with running(rig.tracker):
        await eventually(lambda: rig.tracker.node_is_idle("b", "books"), what="b being done")
        assert not rig.tracker.node_is_idle("a", "books")
        assert (await rig.known(task.uid)).status == "enqueued"
        rig.nodes["a"].shows(8, "succeeded")
        await settled(rig.tracker, task)
    assert rig.tracker.node_is_idle("a", "books")


async def test_a_terminal_task_is_not_followed_and_not_waited_for(rig: Rig) -> None:
    failed = NewTask("books", "documentAdditionOrUpdate", {}, "2026-03-01T12:00:00Z", status="failed")
    task = await rig.tracker.register(replace(failed, finished_at="2026-03-01T12:00:00Z"))
    rig.tracker.follow(task)
    assert rig.tracker.open_tasks == []
    assert rig.reached == ["failed"]
    await settled(rig.tracker, task)


async def test_the_age_of_the_oldest_open_task(rig: Rig) -> None:
    assert rig.tracker.oldest_open_s() == 0.0
    await rig.write()
    assert rig.tracker.oldest_open_s() > 0.0
    assert not rig.tracker.node_is_idle("a", "books")
    assert rig.tracker.node_is_idle("a", "films")


def test_the_clusters_state_is_the_real_one() -> None:
    cluster, _ = stand_in_cluster()
    assert isinstance(cluster, Cluster)
    assert cluster.usable_nodes() == {"a", "b", "c"}
    assert cluster.placement(4).copies() == copies()
