"""The write protocol over a real store; in-memory stand-ins say what nodes may say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Literal

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from miroir.cluster import Holds, Lanes, Node, NodeRefusal, Operation, Placement, Topology, Writer, Written, place
from miroir.errors import ApiError
from miroir.nodes import Accepted, NodeCall, Outcome, Refused, Unconfirmed, Unknown, Unsent
from miroir.store import Intent, MappingChanged, NewTask, TaskRow, TopologyRow
from miroir.store.sqlite import open_sqlite
from tests.unit.cluster.memory_node import INDEX, Fleet, fleet
from tests.unit.cluster.topologies import plain, with_node

SHARDS = 6
_NO = Refused(400, b'{"message":"no"}')


def _calls(intent: Intent, shards: tuple[int, ...]) -> Sequence[NodeCall]:
    """One request that tells which write it is of."""
    return [NodeCall("write", "POST", f"/{intent.stamp}", ",".join(map(str, shards)).encode())]


def _task() -> NewTask:
    return NewTask(INDEX, "documentAdditionOrUpdate", {"receivedDocuments": 1}, "2026-03-01T12:00:00Z")


def operation(*shards: int) -> Operation:
    return Operation(INDEX, INDEX, SHARDS, shards, _calls, _task())


@dataclass
class Bench:
    fleet: Fleet
    lanes: Lanes = field(default_factory=Lanes)
    followed: list[TaskRow] = field(default_factory=list)
    policy: Literal["in_sync", "majority"] = "in_sync"
    node_timeout_s: float = 20.0

    @property
    def writer(self) -> Writer:
        return Writer(
            self.fleet.cluster,
            self.fleet.store,
            Holds(self.fleet.store),
            self.lanes,
            self.followed.append,
            peer="p1",
            policy=self.policy,
            node_timeout_s=self.node_timeout_s,
            patience_s=5.0,
        )

    async def write(self, *shards: int) -> Written:
        return await self.writer.write(operation(*shards))

    @property
    def placement(self) -> Placement:
        return self.fleet.cluster.placement(SHARDS)

    def stamps_at(self, node: str) -> list[int]:
        return [int(call.target[1:]) for call in self.fleet.nodes[node].received]

    async def in_sync(self) -> dict[int, frozenset[str]]:
        """What the store says; this process must say the same."""
        stored = (await self.fleet.store.load_in_sync())[INDEX]
        assert self.fleet.cluster.in_sync(INDEX) == stored
        return stored

    async def assert_at_rest(self) -> None:
        """No intent is open, and nobody stands in a lane."""
        assert await self.fleet.store.open_intents() == []
        with trio.fail_after(60):
            for node in self.fleet.nodes:
                place = self.lanes.join(node, INDEX)
                await place.turn()
                place.leave()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """One group of three nodes, two copies, all of them in order."""
    async with fleet(tmp_path, plain(1, 3, 2)) as opened:
        opened.all_identified()
        await opened.add_index(SHARDS)
        yield Bench(opened)


def _owned_by(placement: Placement, *nodes: str) -> int:
    """A shard with exactly these owners."""
    return next(shard for shard, owners in enumerate(placement.owners) if owners == frozenset(nodes))


# -- what stands -----------------------------------------------------------------------------------------------------


async def test_a_write_that_everybody_takes(bench: Bench) -> None:
    every = tuple(range(SHARDS))
    written = await bench.write(*every)
    assert bench.followed == [written.task]
    assert written.short_groups == ()
    assert written.task.status == "enqueued"
    assert await bench.fleet.store.get_task(written.task.uid) == written.task
    for node, shards in bench.placement.shards_of_node.items():
        (call,) = bench.fleet.nodes[node].received
        assert call.target == f"/{written.task.stamp}"
        assert call.body == ",".join(map(str, shards)).encode()
        assert [(task.incarnation, task.uid, task.shards) for task in written.task.node_tasks if task.node == node] == [
            (f"life of {node}", 100, shards)
        ]
    assert await bench.in_sync() == bench.placement.copies()
    assert await bench.fleet.repairs() == set()
    await bench.assert_at_rest()


async def test_a_write_is_prepared_for_every_node_before_anything_is_sent(bench: Bench) -> None:
    every = tuple(range(SHARDS))
    prepared: list[tuple[int, set[tuple[int, ...]], int]] = []

    async def prepare(intent: Intent, parts: Collection[tuple[int, ...]]) -> None:
        await trio.lowlevel.checkpoint()
        sent = sum(len(node.received) for node in bench.fleet.nodes.values())
        prepared.append((intent.stamp, set(parts), sent))

    written = await bench.writer.write(replace(operation(*every), prepare=prepare))
    assert prepared == [(written.task.stamp, set(bench.placement.shards_of_node.values()), 0)]


async def test_a_write_that_cannot_be_prepared_leaves_no_intent(bench: Bench) -> None:
    async def prepare(_: Intent, __: Collection[tuple[int, ...]]) -> None:
        await trio.lowlevel.checkpoint()
        raise MemoryError

    with pytest.raises(MemoryError):
        await bench.writer.write(replace(operation(0), prepare=prepare))
    assert bench.followed == []
    await bench.assert_at_rest()


async def test_only_owners_are_asked(bench: Bench) -> None:
    shard = 0
    await bench.write(shard)
    assert {node for node in bench.fleet.nodes if bench.stamps_at(node)} == bench.placement.owners[shard]


@pytest.mark.parametrize("outcome", [_NO, Unknown("cut"), Unsent("no connection")])
async def test_who_did_not_accept_is_trusted_no_more(bench: Bench, outcome: Outcome) -> None:
    shard = _owned_by(bench.placement, "meili-0", "meili-1")
    bench.fleet.nodes["meili-1"].answers.append(outcome)
    written = await bench.write(shard)
    assert [task.node for task in written.task.node_tasks] == ["meili-0"]
    assert written.short_groups == (0,)
    assert await bench.in_sync() == bench.placement.copies() | {shard: frozenset({"meili-0"})}
    assert await bench.fleet.repairs() == {(shard, "meili-1")}
    await bench.assert_at_rest()


async def test_a_half_taken_part_is_not_taken(bench: Bench) -> None:
    """Two requests for a node: it accepts one, refuses the other. Its first task is followed, its copy not trusted."""
    shard = _owned_by(bench.placement, "meili-0", "meili-1")
    bench.fleet.nodes["meili-1"].answers.extend([Accepted(5), _NO, Accepted(6)])

    def twice(intent: Intent, shards: tuple[int, ...]) -> Sequence[NodeCall]:
        return [*_calls(intent, shards), *_calls(intent, shards), *_calls(intent, shards)]

    written = await bench.writer.write(replace(operation(shard), calls=twice))
    assert {(task.node, task.uid) for task in written.task.node_tasks} == {
        *(("meili-0", uid) for uid in (100, 101, 102)),
        ("meili-1", 5),
    }
    assert len(bench.fleet.nodes["meili-1"].received) == 2
    assert (await bench.in_sync())[shard] == {"meili-0"}


async def test_half_taken_by_everybody_is_no_refusal(bench: Bench) -> None:
    """Something happened, so the client is not told that nothing did."""
    for node in bench.fleet.nodes.values():
        node.answers.extend([Accepted(5), _NO])

    def twice(intent: Intent, shards: tuple[int, ...]) -> Sequence[NodeCall]:
        return [*_calls(intent, shards), *_calls(intent, shards)]

    with pytest.raises(ApiError) as failed:
        await bench.writer.write(replace(operation(0), calls=twice))
    assert failed.value.code == "miroir_no_quorum"
    assert await bench.fleet.repairs() == {(0, None)}
    assert bench.followed == []
    await bench.assert_at_rest()


async def test_a_silent_node_is_asked_once_and_then_unknown(bench: Bench) -> None:
    bench.node_timeout_s = 0.1
    shard = _owned_by(bench.placement, "meili-0", "meili-1")

    async def never(_: NodeCall) -> None:
        await trio.sleep_forever()

    bench.fleet.nodes["meili-1"].before_answering = never
    written = await bench.write(shard)
    assert bench.stamps_at("meili-1") == [written.task.stamp]
    assert (await bench.in_sync())[shard] == {"meili-0"}
    await bench.assert_at_rest()


async def test_majority_wants_more_than_half_of_a_group(bench: Bench) -> None:
    bench.policy = "majority"
    shard = _owned_by(bench.placement, "meili-0", "meili-1")
    await bench.write(shard)
    bench.fleet.nodes["meili-1"].answers.append(Unknown("cut"))
    with pytest.raises(ApiError) as failed:
        await bench.write(shard)
    assert (failed.value.status, failed.value.code) == (503, "miroir_no_quorum")
    assert f"too few trusted copies of shard {shard} could take it" in failed.value.message
    assert await bench.in_sync() == bench.placement.copies()
    assert await bench.fleet.repairs() == {(shard, None)}
    assert len(bench.followed) == 1
    await bench.assert_at_rest()


# -- what does not ---------------------------------------------------------------------------------------------------


async def test_all_refuse(bench: Bench) -> None:
    """The node's own words are the client's answer, and there is nothing to look at."""
    for name, node in bench.fleet.nodes.items():
        node.answers.append(Refused(413, name.encode()))
    with pytest.raises(NodeRefusal) as refusal:
        await bench.write(0)
    assert (refusal.value.status, refusal.value.body) == (413, min(bench.placement.owners[0]).encode())
    assert await bench.fleet.repairs() == set()
    assert bench.followed == []
    await bench.assert_at_rest()


async def test_nobody_is_there(bench: Bench) -> None:
    for node in bench.fleet.nodes:
        bench.fleet.cluster.node_condemned(node, "wiped")
    with pytest.raises(ApiError) as failed:
        await bench.write(0, 1)
    assert failed.value.code == "miroir_no_quorum"
    assert all(not node.received for node in bench.fleet.nodes.values())
    assert await bench.fleet.repairs() == set()
    assert await bench.in_sync() == bench.placement.copies()
    await bench.assert_at_rest()


@pytest.mark.parametrize("policy", ["in_sync", "majority"])
async def test_what_cannot_stand_is_not_sent(bench: Bench, policy: Literal["in_sync", "majority"]) -> None:
    """Of one shard too few trusted copies are there; those of the others need not get what would not stand."""
    bench.policy = policy
    lone = _owned_by(bench.placement, "meili-0", "meili-1")
    other = _owned_by(bench.placement, "meili-1", "meili-2")
    if policy == "in_sync":
        bench.fleet.nodes["meili-1"].answers.append(Unsent("no connection"))
        await bench.write(lone)
        assert (await bench.in_sync())[lone] == {"meili-0"}
    before = {node: bench.stamps_at(node) for node in bench.fleet.nodes}
    repairs = await bench.fleet.repairs()
    bench.fleet.cluster.node_condemned("meili-0", "gone")
    with pytest.raises(ApiError) as failed:
        await bench.write(lone, other)
    assert (failed.value.status, failed.value.code) == (503, "miroir_no_quorum")
    assert f"of shard {lone} could take it. Nothing of it was applied" in failed.value.message
    assert {node: bench.stamps_at(node) for node in bench.fleet.nodes} == before
    assert await bench.fleet.repairs() == repairs
    await bench.assert_at_rest()
    await bench.write(other)


async def test_who_may_be_back_at_its_turn_is_waited_for(bench: Bench) -> None:
    """Before it is the node's turn nothing is certain: it may be there again by then."""
    cluster, lone = bench.fleet.cluster, _owned_by(bench.placement, "meili-0", "meili-1")
    bench.fleet.nodes["meili-1"].answers.append(Unsent("no connection"))
    await bench.write(lone)
    earlier = bench.lanes.join("meili-0", INDEX)
    cluster.node_condemned("meili-0", "gone")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.write, lone)
        with trio.fail_after(20):
            while len(bench.stamps_at("meili-1")) < 2:
                await trio.lowlevel.checkpoint()
        bench.fleet.all_identified()
        bench.fleet.all_identified()
        assert cluster.usable("meili-0")
        earlier.leave()
    assert len(bench.followed) == 2
    assert (await bench.in_sync())[lone] == {"meili-0"}
    await bench.assert_at_rest()


async def test_the_name_means_another_index(bench: Bench) -> None:
    """Nothing is sent."""
    await bench.fleet.store.delete_index(INDEX, INDEX, replace(_task(), type="indexDeletion"))
    with pytest.raises(MappingChanged):
        await bench.write(0)
    assert all(not node.received for node in bench.fleet.nodes.values())
    await bench.assert_at_rest()


_OUTCOMES = st.sampled_from(("accept", "accept", "refuse", "unsent", "unknown", "unusable"))


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_any_mix_of_answers(data: st.DataObject) -> None:
    """Against the rules as TOPOLOGY states them."""
    groups, copies = data.draw(st.sampled_from(((1, 1), (1, 2), (1, 3), (2, 1), (2, 2))))
    topology = plain(groups, 3, copies)
    placement = place(topology, SHARDS)
    says = {node.id: data.draw(_OUTCOMES, label=node.id) for node in topology.nodes}
    trusted = {
        shard: frozenset(data.draw(st.sets(st.sampled_from(sorted(owners)), min_size=1), label=f"trusted {shard}"))
        for shard, owners in enumerate(placement.owners)
    }
    shards = tuple(sorted(data.draw(st.sets(st.integers(0, SHARDS - 1), min_size=1), label="shards")))
    trio.run(_mix, topology, says, trusted, shards)


async def _mix(
    topology: Topology, says: dict[str, str], trusted: dict[int, frozenset[str]], shards: tuple[int, ...]
) -> None:
    with TemporaryDirectory() as folder:
        async with fleet(Path(folder), topology) as opened:
            opened.all_identified()
            await opened.add_index(SHARDS, trusted)
            bench = Bench(opened)
            told: dict[str, Outcome] = {"refuse": _NO, "unsent": Unsent("no"), "unknown": Unknown("cut")}
            for name, node in opened.nodes.items():
                if says[name] == "unusable":
                    opened.cluster.node_condemned(name, "wiped")
                elif says[name] in told:
                    node.answers.append(told[says[name]])
            owners = {node for shard in shards for node in bench.placement.owners[shard]}
            took = {node for node in owners if says[node] == "accept"}
            stands = all(trusted[shard] & took for shard in shards)
            unusable = {node for node, outcome in says.items() if outcome == "unusable"}
            in_vain = any(trusted[shard] <= unusable for shard in shards)
            expected = dict(trusted)
            repairs: set[tuple[int, str | None]] = set()
            if stands:
                written = await bench.write(*shards)
                for shard in shards:
                    expected[shard] = trusted[shard] & took
                    repairs |= {(shard, node) for node in trusted[shard] - took}
                assert {task.node for task in written.task.node_tasks} == took
                assert bench.followed == [written.task]
            else:
                with pytest.raises((ApiError, NodeRefusal)) as failed:
                    await bench.write(*shards)
                answers = {says[node] for node in owners}
                refused = not took and "refuse" in answers and "unknown" not in answers and not in_vain
                assert isinstance(failed.value, NodeRefusal) == refused
                if (took or "unknown" in answers) and not in_vain:
                    repairs = {(shard, None) for shard in shards}
                assert bench.followed == []
            assert await bench.in_sync() == expected
            assert await opened.repairs() == repairs
            sent: set[str] = set() if in_vain else owners - unusable
            assert all(len(opened.nodes[node].received) == (node in sent) for node in owners)
            assert all(not opened.nodes[node].received for node in opened.nodes.keys() - owners)
            await bench.assert_at_rest()


# -- interruptions ---------------------------------------------------------------------------------------------------


async def test_cancelled_amid_the_sending(bench: Bench) -> None:
    """What was sent may have arrived: its shards are verified, and the lanes are free for the next."""
    shard = _owned_by(bench.placement, "meili-0", "meili-1")
    asked = trio.Event()

    async def never(_: NodeCall) -> None:
        asked.set()
        await trio.sleep_forever()

    bench.fleet.nodes["meili-1"].before_answering = never
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.write, shard)
        with trio.fail_after(60):
            await asked.wait()
            while not bench.stamps_at("meili-0"):
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert await bench.fleet.repairs() == {(shard, None)}
    assert bench.followed == []
    await bench.assert_at_rest()
    bench.fleet.nodes["meili-1"].before_answering = None
    await bench.write(shard)


async def test_cancelled_while_waiting_for_its_turn(bench: Bench) -> None:
    """Behind a slow write; the slow one is not disturbed, and the one after goes on."""
    shard = _owned_by(bench.placement, "meili-0", "meili-1")
    gate = trio.Event()

    async def slow(_: NodeCall) -> None:
        await gate.wait()

    bench.fleet.nodes["meili-0"].before_answering = slow
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.write, shard)
            while not bench.stamps_at("meili-0"):
                await trio.lowlevel.checkpoint()
            with trio.CancelScope() as impatient:
                async with trio.open_nursery() as second:
                    second.start_soon(bench.write, shard)
                    while len(bench.stamps_at("meili-1")) < 2:
                        await trio.lowlevel.checkpoint()
                    impatient.cancel()
            assert impatient.cancelled_caught
            nursery.start_soon(bench.write, shard)
            while len(bench.stamps_at("meili-1")) < 3:
                await trio.lowlevel.checkpoint()
            gate.set()
    first, _, third = bench.stamps_at("meili-1")
    assert bench.stamps_at("meili-0") == [first, third]
    assert len(bench.followed) == 2
    assert await bench.fleet.repairs() == {(shard, None)}
    await bench.assert_at_rest()


async def test_cancelled_during_the_commit(bench: Bench) -> None:
    """Too late: it stands, and its task is followed."""
    scope = trio.CancelScope()
    original = bench.fleet.store.commit

    async def commit(asked: object) -> object:
        scope.cancel()
        return await original(asked)  # type: ignore[arg-type]  # handed through

    bench.fleet.store.commit = commit  # type: ignore[method-assign,assignment]  # the instant that matters
    with scope:
        await bench.write(0)
    (task,) = bench.followed
    assert (await bench.fleet.store.get_task(task.uid)) == task
    assert await bench.fleet.repairs() == set()
    await bench.assert_at_rest()


async def test_a_failure_of_ours_amid_the_sending(bench: Bench) -> None:
    """Whatever ends a write, its intent does not stay."""

    def broken(intent: Intent, shards: tuple[int, ...]) -> Sequence[NodeCall]:
        raise RuntimeError("on purpose")

    with pytest.raises(ExceptionGroup):
        await bench.writer.write(replace(operation(0), calls=broken))
    assert await bench.fleet.repairs() == {(0, None)}
    await bench.assert_at_rest()


async def test_the_store_goes_away_amid_the_sending(tmp_path: Path) -> None:
    """503; the intent is found by whoever opens the store next."""
    async with fleet(tmp_path, plain(1, 3, 2)) as opened:
        opened.all_identified()
        await opened.add_index(SHARDS)
        bench = Bench(opened)

        async def close_store(_: NodeCall) -> None:
            await opened.store.aclose()

        for node in opened.nodes.values():
            node.before_answering = close_store
        with pytest.raises(ApiError) as failed:
            await bench.write(0)
        assert failed.value.code == "miroir_overloaded"
        assert bench.followed == []
        sent = {stamp for node in opened.nodes for stamp in bench.stamps_at(node)}
        with pytest.raises(ApiError) as failed:
            await bench.write(0)
        assert failed.value.code == "miroir_overloaded"
        assert {stamp for node in opened.nodes for stamp in bench.stamps_at(node)} == sent
    again = await open_sqlite(tmp_path / "store.db")
    try:
        assert {intent.stamp for intent in await again.open_intents()} == sent
        await again.expire_intents(0, frozenset({"p1"}))
        assert {(repair.shard, repair.node) for repair in await again.list_repairs()} == {(0, None)}
    finally:
        await again.aclose()


async def test_expired_amid_the_sending(bench: Bench) -> None:
    """The intent was taken for dead: the write does not stand, whoever accepted it."""

    async def expire(_: NodeCall) -> None:
        await bench.fleet.store.expire_intents(0, frozenset({"p1"}))

    for node in bench.fleet.nodes.values():
        node.before_answering = expire
    with pytest.raises(ApiError) as failed:
        await bench.write(0)
    assert failed.value.code == "miroir_no_quorum"
    assert await bench.fleet.repairs() == {(0, None)}
    assert bench.followed == []
    await bench.assert_at_rest()


# -- a topology that moves on ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [True, False])
async def test_the_topology_changes_amid_the_sending(bench: Bench, told: bool) -> None:
    """Told of it, new owners get their part too; who was not told cannot commit, and the shards are verified."""
    cluster = bench.fleet.cluster
    grown = with_node(cluster.topology, Node("meili-new", "http://meili-new:7700", 0))
    before, after = bench.placement, place(grown, SHARDS)
    every = tuple(range(SHARDS))
    assert after.shards_of_node["meili-new"]
    changed = trio.Event()
    changing = False

    async def change(_: NodeCall) -> None:
        nonlocal changing
        if changing:
            await changed.wait()
            return
        changing = True
        assert await bench.fleet.store.save_topology(TopologyRow(grown.version, grown.to_json()))
        if told:
            cluster.adopt(grown)
            bench.fleet.all_identified()
        changed.set()

    for node in bench.fleet.nodes.values():
        node.before_answering = change
    if told:
        written = await bench.write(*every)
        (call,) = bench.fleet.nodes["meili-new"].received
        assert call.target == f"/{written.task.stamp}"
        assert call.body == ",".join(map(str, after.shards_of_node["meili-new"])).encode()
        # It took the write, but has nothing of what was there before: nobody trusts it yet. The others all took it.
        assert await bench.in_sync() == before.copies()
        assert await bench.fleet.repairs() == set()
        assert {task.node for task in written.task.node_tasks} == set(cluster.clients)
    else:
        with pytest.raises(ApiError) as failed:
            await bench.write(*every)
        assert failed.value.code == "miroir_no_quorum"
        assert await bench.fleet.repairs() == {(shard, None) for shard in every}
        assert bench.followed == []
    assert all(len(bench.stamps_at(f"meili-{number}")) == 1 for number in range(3))
    await bench.assert_at_rest()


# -- order -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
async def test_every_node_sees_writes_in_the_order_of_their_stamps(bench: Bench, seed: int) -> None:
    """Overlapping writes, nodes of uneven pace, some writes given up."""
    random = Random(seed)

    async def linger(_: NodeCall) -> None:
        for _step in range(random.randrange(20)):
            await trio.lowlevel.checkpoint()

    for node in bench.fleet.nodes.values():
        node.before_answering = linger

    async def write() -> None:
        shards = tuple(sorted(random.sample(range(SHARDS), random.randint(1, SHARDS))))
        with trio.CancelScope() as scope:
            if random.random() < 0.15:
                scope.deadline = trio.current_time() + random.random() * 0.02
            await bench.write(*shards)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for _ in range(60):
                nursery.start_soon(write)
    for name in bench.fleet.nodes:
        stamps = bench.stamps_at(name)
        assert len(stamps) == len(set(stamps)) > 10
        assert stamps == sorted(stamps)
    assert len({task.stamp for task in bench.followed}) == len(bench.followed) > 20
    await bench.assert_at_rest()


# -- a disk nobody has looked at -------------------------------------------------------------------------------------


async def test_a_suspect_gets_nothing_until_it_is_confirmed(bench: Bench) -> None:
    shard = _owned_by(bench.placement, "meili-0", "meili-1")
    bench.fleet.cluster.suspect("meili-1")
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.write, shard)
            while not bench.stamps_at("meili-0"):
                await trio.lowlevel.checkpoint()
            await trio.testing.wait_all_tasks_blocked()
            assert bench.stamps_at("meili-1") == []
            bench.fleet.cluster.node_identified("meili-1", "life of meili-1")
    assert len(bench.stamps_at("meili-1")) == 1
    assert await bench.in_sync() == bench.placement.copies()


async def test_a_connection_lost_in_the_very_moment(bench: Bench) -> None:
    """Nothing was sent, so it is sent once the disk was looked at again: more than once, if it comes to that."""
    shard = _owned_by(bench.placement, "meili-0", "meili-1")
    node, cluster = bench.fleet.nodes["meili-1"], bench.fleet.cluster
    node.answers.extend([Unconfirmed("lost")] * 2)

    async def lose(_: NodeCall) -> None:
        if node.answers:
            cluster.suspect("meili-1")

    node.before_answering = lose
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.write, shard)
            for tries in (1, 2):
                while len(node.received) < tries:
                    await trio.lowlevel.checkpoint()
                await trio.testing.wait_all_tasks_blocked()
                assert len(node.received) == tries
                assert bench.followed == []
                cluster.node_identified("meili-1", "life of meili-1")
    assert len(node.received) == 3
    assert {task.node for task in bench.followed[0].node_tasks} == {"meili-0", "meili-1"}
    assert await bench.in_sync() == bench.placement.copies()


async def test_connections_lost_again_and_again(bench: Bench) -> None:
    """It is given up in the end, though every look finds the node in order."""
    bench.node_timeout_s = 0.1
    shard = _owned_by(bench.placement, "meili-0", "meili-1")
    node = bench.fleet.nodes["meili-1"]
    node.answers.extend([Unconfirmed("lost")] * 1_000_000)
    with trio.fail_after(20):
        await bench.write(shard)
    assert (await bench.in_sync())[shard] == {"meili-0"}
    assert await bench.fleet.repairs() == {(shard, "meili-1")}


async def test_a_suspect_that_turns_out_another_gets_nothing(bench: Bench) -> None:
    shard = _owned_by(bench.placement, "meili-0", "meili-1")
    cluster = bench.fleet.cluster
    cluster.suspect("meili-1")
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.write, shard)
            while not bench.stamps_at("meili-0"):
                await trio.lowlevel.checkpoint()
            cluster.node_condemned("meili-1", "wiped")
            cluster.node_identified("meili-1", "another life")  # known again, but not yet trusted to answer
    assert bench.stamps_at("meili-1") == []
    assert (await bench.in_sync())[shard] == {"meili-0"}


async def test_a_suspect_nobody_confirms_in_time(bench: Bench) -> None:
    bench.node_timeout_s = 0.1
    shard = _owned_by(bench.placement, "meili-0", "meili-1")
    bench.fleet.cluster.suspect("meili-1")
    with trio.fail_after(20):
        await bench.write(shard)
    assert bench.stamps_at("meili-1") == []
    assert (await bench.in_sync())[shard] == {"meili-0"}
    assert await bench.fleet.repairs() == {(shard, "meili-1")}
