"""In-sync sets, repairs, and what is known of nodes' disks."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from miroir.store import HoldRow, MappingChanged, NodeIdentity, NodeTask, Repair, Store
from tests.unit.store.places import Place
from tests.unit.store.samples import NODES, Clock, announce, begun, copies, found, new_task, written


async def test_a_node_that_lost_its_disk_leaves_every_set_but_never_as_the_last(store: Store) -> None:
    await found(store, "books")
    await found(store, "films", nodes={"c"})
    await found(store, "notes", nodes={"a", "b"})
    changed = await store.drop_node_copies("c", lost_as="c#1")
    assert changed == {"books": copies("ab"), "films": copies({"c#1"})}
    assert await store.load_in_sync() == changed | {"notes": copies("ab")}
    asked = [(repair.physical_uid, repair.shard, repair.node) for repair in await store.list_repairs()]
    assert asked == [(uid, shard, "c") for uid in ("books", "films") for shard in range(4)]
    assert await store.drop_node_copies("c", lost_as="c#2") == {}
    assert await store.drop_node_copies("unknown", lost_as="x") == {}


async def test_copies_that_differ_leave_but_not_all(store: Store) -> None:
    await found(store)
    assert await store.leave_in_sync("unknown", copies("a"), "differ", since=1) == {}
    changed = await store.leave_in_sync(
        "books", {0: frozenset("ax"), 1: NODES, 2: frozenset(), 9: NODES}, "differ", since=1
    )
    assert changed == {0: frozenset("bc")}
    assert (await store.load_in_sync())["books"] == {**copies(), 0: frozenset("bc")}
    asked = {(repair.shard, repair.node, repair.reason) for repair in await store.list_repairs()}
    assert asked == {(0, "a", "differ"), (1, None, "differ")}


async def test_a_stale_copy_is_allocated_and_the_others_are_made_equal_to_it(store: Store) -> None:
    await found(store, nodes={"a"})
    await store.drop_node_copies("a", lost_as="a#1")
    lost = {shard: frozenset({"a#1"}) for shard in (1, 2)}
    owners = {shard: NODES - {"b"} for shard in range(4)}
    with pytest.raises(MappingChanged):
        await store.allocate_stale("books", {**lost, 1: frozenset("a")}, "b", owners)
    assert await store.allocate_stale("books", lost, "b", owners) == {1: frozenset("b"), 2: frozenset("b")}
    trusted = (await store.load_in_sync())["books"]
    assert trusted == {0: {"a#1"}, 1: {"b"}, 2: {"b"}, 3: {"a#1"}}
    asked = {(each.shard, each.node) for each in await store.list_repairs() if each.reason.startswith("another")}
    assert asked == {(shard, node) for shard in (1, 2) for node in ("a", "c")}
    assert await store.allocate_stale("books", {1: frozenset("b")}, "a", {}) == {1: frozenset("a")}
    assert not [each for each in await store.list_repairs() if (each.shard, each.node) == (1, "a")]


async def test_a_node_whose_name_is_part_of_another_is_not_mistaken(store: Store) -> None:
    await found(store, nodes={"node-1", "node-10", 'no"de'})
    assert await store.drop_node_copies("node-", lost_as="x") == {}
    assert (await store.drop_node_copies('no"de', lost_as="x"))["books"][0] == {"node-1", "node-10"}


async def test_a_copy_joins_under_its_own_hold_only(store: Store, clock: Clock) -> None:
    await found(store)
    await written(store, (0, 1), {"a", "b"})
    with pytest.raises(MappingChanged):
        await store.join_in_sync("books", 0, "c", "move", "a")
    await store.place_hold(HoldRow("move", "books", (0,), clock.now_ms + 1000))
    for shard, operation, uid in ((1, "move", "books"), (0, "other", "books"), (0, "move", "films")):
        with pytest.raises(MappingChanged):
            await store.join_in_sync(uid, shard, "c", operation, "a")
    await store.queue_repairs("books", {0: None}, "verify")
    assert await store.join_in_sync("books", 0, "c", "move", "a") == NODES
    assert (await store.load_in_sync())["books"] == {**copies(), 1: frozenset({"a", "b"})}
    left = {(repair.shard, repair.node) for repair in await store.list_repairs()}
    assert left == {(0, None), (1, "c")}
    clock.now_us += 1_000_000
    with pytest.raises(MappingChanged):
        await store.join_in_sync("books", 0, "d", "move", "a")


async def test_a_copy_does_not_join_while_a_write_is_open(store: Store, clock: Clock) -> None:
    await found(store, nodes={"a"})
    intent = await begun(store, announce((0, 2)))
    await store.place_hold(HoldRow("move", "books", (), clock.now_ms + 1000))
    with pytest.raises(MappingChanged):
        await store.join_in_sync("books", 2, "c", "move", "a")
    assert await store.join_in_sync("books", 1, "c", "move", "a") == {"a", "c"}
    with pytest.raises(MappingChanged):
        await store.join_in_sync("books", 77, "c", "move", "a")
    await store.withdraw(intent.stamp, verify=False)
    assert await store.join_in_sync("books", 2, "c", "move", "a") == {"a", "c"}


async def test_asking_twice_is_once_and_renews(store: Store, clock: Clock) -> None:
    await store.queue_repairs("books", {0: "a", 1: None}, "first")
    clock.now_us += 1000
    await store.queue_repairs("books", {2: "b"}, "second")
    first = await store.list_repairs()
    assert first[:2] == [
        Repair("books", 0, "a", "first", clock.now_ms - 1),
        Repair("books", 1, None, "first", clock.now_ms - 1),
    ]
    # Within the same millisecond, and with the clock jumping back, the asking is still another.
    clock.now_us -= 5_000_000
    await store.queue_repairs("books", {0: "a"}, "again")
    await store.finish_repair(first[0])
    renewed = await store.list_repairs()
    assert [(repair.shard, repair.reason) for repair in renewed] == [(1, "first"), (2, "second"), (0, "again")]
    for repair in renewed:
        await store.finish_repair(repair)
    assert await store.list_repairs() == []
    await store.queue_repairs("books", {}, "none")
    assert await store.list_repairs() == []


async def test_of_one_incarnation_the_highest_task_uid_wins(store: Store) -> None:
    await store.save_identity(NodeIdentity("a", "i1", 10))
    await store.save_identity(NodeIdentity("b", "i1", 3))
    await store.save_identity(NodeIdentity("a", "i1", 4))
    assert (await store.load_identities())["a"] == NodeIdentity("a", "i1", 10)
    await store.save_identity(NodeIdentity("a", "i2", 4))
    await store.save_identity(NodeIdentity("b", "i1", 5))
    assert await store.load_identities() == {"a": NodeIdentity("a", "i2", 4), "b": NodeIdentity("b", "i1", 5)}


async def test_what_a_node_took_after_it_was_looked_at_is_known_from_the_tasks(store: Store) -> None:
    await store.save_identity(NodeIdentity("a", "i2", 40))
    await store.save_identity(NodeIdentity("b", "i1", 3))
    parts = (NodeTask("a", "i1", 90, (0,)), NodeTask("a", "i2", 41, (0,)), NodeTask("b", "i1", 2, (0,)))
    await store.add_task(new_task(node_tasks=parts))
    await store.add_task(new_task(node_tasks=(NodeTask("a", "i2", 43, (0,)), NodeTask("c", "i1", 7, (0,)))))
    await store.add_task(new_task())
    assert await store.load_identities() == {"a": NodeIdentity("a", "i2", 43), "b": NodeIdentity("b", "i1", 3)}


async def test_the_cluster_id_is_made_once(place: Place, clock: Clock) -> None:
    first, second = await place.open(clock), await place.open(clock)
    assert len(await first.cluster_id()) == 32
    assert await first.cluster_id() == await second.cluster_id()
    for store in (first, second):
        await store.aclose()


async def test_a_copy_does_not_join_from_a_source_that_is_not_trusted_any_more(store: Store, clock: Clock) -> None:
    await found(store)
    await written(store, (0,), {"a"})
    await store.place_hold(HoldRow("move", "books", (0,), clock.now_ms + 1000))
    with pytest.raises(MappingChanged):
        await store.join_in_sync("books", 0, "c", "move", "b")
    assert await store.join_in_sync("books", 0, "c", "move", "a") == {"a", "c"}


async def test_the_first_write_in_question_is_remembered(store: Store) -> None:
    await found(store)
    await store.queue_repairs("books", {0: "a"}, "late", since=70)
    await store.queue_repairs("books", {0: "a"}, "early", since=30)
    await store.queue_repairs("books", {0: "a"}, "later", since=50)
    assert [(repair.since, repair.reason) for repair in await store.list_repairs()] == [(30, "later")]


async def test_who_watches_is_told_in_the_order_of_the_transactions(store: Store) -> None:
    """Two writes side by side drop a copy each: what is kept of it must end as the store has it, every time."""
    await found(store)
    kept: dict[int, frozenset[str]] = {}
    store.watch_in_sync(lambda _, sets: kept.update(sets))
    for _ in range(20):
        async with trio.open_nursery() as nursery:
            for node in "abc":
                lost = {shard: frozenset(node) for shard in range(4)}
                nursery.start_soon(partial(store.leave_in_sync, "books", lost, "test", since=1))
        assert kept == {shard: nodes for shard, nodes in (await store.load_in_sync())["books"].items() if shard in kept}
        await store.place_hold(HoldRow("move", "books", (), 1 << 50))
        for shard, nodes in list(kept.items()):
            for node in sorted({"a", "b", "c"} - nodes):
                await store.join_in_sync("books", shard, node, "move", min(nodes))
        await store.release_hold("move", "books")
