"""begin, commit, withdraw, expire: what each leaves behind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from miroir.store import (
    Claim,
    Held,
    HoldRow,
    IntentGone,
    MappingChanged,
    NoQuorum,
    Quorum,
    Repair,
    Store,
    TopologyRow,
)
from tests.unit.store.places import Place
from tests.unit.store.samples import (
    NODES,
    SHARDS,
    Clock,
    announce,
    begun,
    copies,
    found,
    index_row,
    new_task,
    outcome,
    written,
)


def _asked(repairs: list[Repair]) -> set[tuple[int, str | None]]:
    return {(repair.shard, repair.node) for repair in repairs}


async def test_begin_leaves_an_intent_with_the_clock_as_its_stamp(store: Store, clock: Clock) -> None:
    await found(store)
    intent = await begun(store, announce((1, 3), claim=Claim(b"k", b"f", 2**60)))
    assert intent.stamp == clock.now_us
    assert (intent.shards, intent.begun_ms, intent.idempotency_key) == ((1, 3), clock.now_ms, b"k")
    assert await store.open_intents() == [intent]


async def test_stamps_grow_while_the_clock_stands_and_when_it_jumps_back(place: Place, clock: Clock) -> None:
    stamps = []
    store = await place.open(clock)
    await found(store)
    stamps += [(await begun(store, announce())).stamp, await store.issue_stamp()]
    clock.now_us -= 3_600_000_000
    stamps += [(await begun(store, announce())).stamp, await store.issue_stamp()]
    await store.aclose()
    store = await place.open(clock)
    stamps.append(await store.issue_stamp())
    clock.now_us += 7_200_000_000
    stamps.append(await store.issue_stamp())
    await store.aclose()
    assert stamps == sorted(set(stamps))
    assert stamps[4] == stamps[3] + 1
    assert stamps[5] == clock.now_us


async def test_begin_refuses_a_name_that_stands_for_something_else(store: Store) -> None:
    await found(store)
    for wrong in (
        announce(uid="unknown"),
        announce(physical_uid="other"),
        announce(topology_version=2),
        announce(topology_version=0),
    ):
        with pytest.raises(MappingChanged):
            await store.begin(wrong, lambda intent: pytest.fail(f"begun: {intent}"))
    assert await store.open_intents() == []


async def test_a_store_without_a_topology_is_at_version_zero(store: Store) -> None:
    await store.insert_index(index_row(), copies())
    await begun(store, announce(topology_version=0))


async def test_a_hold_keeps_begins_of_its_shards_away(store: Store, clock: Clock) -> None:
    await found(store)
    await found(store, "films")
    await store.place_hold(HoldRow("move-1", "books", (1, 2), clock.now_ms + 5000))
    with pytest.raises(Held) as held:
        await begun(store, announce((0, 2)))
    assert (held.value.operation, held.value.until_ms) == ("move-1", clock.now_ms + 5000)
    await begun(store, announce((0, 3)))
    await begun(store, announce((2,), "films"))
    await store.release_hold("move-1", "films")
    with pytest.raises(Held):
        await begun(store, announce((1,)))
    await store.release_hold("move-1", "books")
    await begun(store, announce((1,)))


async def test_a_hold_of_the_whole_name_runs_out(store: Store, clock: Clock) -> None:
    await found(store)
    await store.place_hold(HoldRow("swap", "books", (), clock.now_ms + 10))
    for shards in ((0,), (0, 1, 2, 3), ()):
        with pytest.raises(Held):
            await begun(store, announce(shards))
    clock.now_us += 10_000
    await begun(store, announce())


async def test_an_operation_replaces_its_hold(store: Store, clock: Clock) -> None:
    await found(store)
    await store.place_hold(HoldRow("move", "books", (), clock.now_ms + 5000))
    await store.place_hold(HoldRow("move", "books", (3,), clock.now_ms + 5000))
    await store.place_hold(HoldRow("other", "books", (3,), clock.now_ms + 9000))
    await begun(store, announce((0,)))
    with pytest.raises(Held) as held:
        await begun(store, announce((3,)))
    assert held.value.operation == "other"


async def test_a_write_that_all_took_stands(store: Store) -> None:
    await found(store)
    intent = await begun(store, announce((0, 1)))
    committed = await store.commit(outcome(intent))
    assert committed.in_sync == {}
    assert (committed.task.stamp, committed.task.physical_uid) == (intent.stamp, "books")
    assert await store.get_task(committed.task.uid) == committed.task
    assert await store.open_intents() == []
    assert await store.list_repairs() == []


async def test_a_copy_that_missed_a_write_is_no_longer_trusted(store: Store) -> None:
    await found(store)
    intent = await begun(store, announce((0, 1)))
    accepted = {0: frozenset({"a", "b"}), 1: frozenset({"a", "b", "c"})}
    committed = await store.commit(replace(outcome(intent), accepted=accepted))
    assert committed.in_sync == {0: frozenset({"a", "b"})}
    assert (await store.load_in_sync())["books"] == {**copies(), 0: frozenset({"a", "b"})}
    assert _asked(await store.list_repairs()) == {(0, "c")}


async def test_a_trusted_copy_that_owns_the_shard_no_more_leaves_and_is_not_repaired(store: Store) -> None:
    await found(store)
    intent = await begun(store, announce())
    committed = await store.commit(outcome(intent, {"a", "b"}, owners=copies({"a", "b"}, (0,))))
    assert committed.in_sync == {0: frozenset({"a", "b"})}
    assert await store.list_repairs() == []


async def test_a_destination_that_is_not_in_sync_counts_for_nothing(store: Store) -> None:
    await found(store, nodes={"a"})
    intent = await begun(store, announce())
    with pytest.raises(NoQuorum):
        await store.commit(outcome(intent, {"b", "c"}))
    committed = await written(store, (0,), {"a"})
    assert committed.in_sync == {}
    assert _asked(await store.list_repairs()) == {(0, None)}


@pytest.mark.parametrize(
    ("accepted", "quorums", "stands"),
    [
        ({"a"}, (Quorum(NODES, 1),), True),
        ({"a"}, (Quorum(NODES, 2),), False),
        ({"a", "c"}, (Quorum(frozenset("ab"), 2), Quorum(frozenset("c"), 1)), True),
        ({"a", "c"}, (Quorum(frozenset("ab"), 2),), False),
        ({"a", "x"}, (Quorum(frozenset("ax"), 2),), False),
        (set(), (Quorum(NODES, 0),), False),
        (NODES, (), False),
    ],
)
async def test_one_of_the_quorums_must_hold(
    store: Store, accepted: set[str], quorums: tuple[Quorum, ...], stands: bool
) -> None:
    await found(store)
    intent = await begun(store, announce())
    commit = outcome(intent, accepted, quorums={0: quorums})
    if stands:
        await store.commit(commit)
        return
    with pytest.raises(NoQuorum) as refusal:
        await store.commit(commit)
    assert refusal.value.shards == (0,)


async def test_a_write_that_does_not_stand_changes_nothing_but_asks_for_verification(store: Store) -> None:
    await found(store)
    before = await store.load_in_sync()
    intent = await begun(store, announce((0, 1, 2)))
    commit = replace(
        outcome(intent),
        accepted={0: NODES, 1: frozenset({"x"}), 2: frozenset({"a"})},
    )
    with pytest.raises(NoQuorum) as refusal:
        await store.commit(commit)
    assert refusal.value.shards == (1,)
    assert await store.load_in_sync() == before
    assert await store.open_intents() == []
    assert await store.open_tasks() == []
    assert _asked(await store.list_repairs()) == {(0, None), (1, None), (2, None)}
    with pytest.raises(IntentGone):
        await store.commit(commit)


async def test_commit_keeps_the_intent_when_the_topology_moved_on(store: Store) -> None:
    await found(store)
    intent = await begun(store, announce())
    assert await store.save_topology(TopologyRow(2, b"{}"))
    with pytest.raises(MappingChanged):
        await store.commit(outcome(intent))
    assert await store.open_intents() == [intent]
    committed = await store.commit(outcome(intent, topology_version=2))
    assert committed.task.stamp == intent.stamp


async def test_commit_keeps_the_intent_when_the_name_stands_for_another_index(store: Store) -> None:
    row = await found(store)
    intent = await begun(store, announce())
    await store.update_index(replace(row, physical_uid="books-2"))
    with pytest.raises(MappingChanged):
        await store.commit(outcome(intent))
    assert await store.open_intents() == [intent]


async def test_a_change_of_settings_does_not_disturb_a_write(store: Store) -> None:
    row = await found(store)
    intent = await begun(store, announce())
    await store.update_index(replace(row, settings=b'{"synonyms":{}}', settings_version=1))
    await store.commit(outcome(intent))


async def test_withdrawing_asks_for_verification_only_when_told(store: Store) -> None:
    await found(store)
    silent, sent = await begun(store, announce((0,))), await begun(store, announce((1, 2)))
    await store.withdraw(silent.stamp, verify=False)
    await store.withdraw(sent.stamp, verify=True)
    assert _asked(await store.list_repairs()) == {(1, None), (2, None)}
    assert await store.open_intents() == []
    with pytest.raises(IntentGone):
        await store.commit(outcome(silent))


async def test_intents_expire_by_age_and_by_the_death_of_their_peer(store: Store, clock: Clock) -> None:
    await found(store)
    old = await begun(store, announce((0,)))
    clock.now_us += 60_000_000
    dead = await begun(store, announce((1, 2), peer="p2"))
    alive = await begun(store, announce((3,)))
    expired = await store.expire_intents(clock.now_ms - 30_000, frozenset({"p2", "p3"}))
    assert expired == [old, dead]
    assert await store.open_intents() == [alive]
    assert _asked(await store.list_repairs()) == {(0, None), (1, None), (2, None)}
    for gone in expired:
        with pytest.raises(IntentGone):
            await store.commit(outcome(gone))
    assert await store.expire_intents(clock.now_ms, frozenset()) == []


async def test_deleting_an_index_ends_its_writes(store: Store) -> None:
    await found(store)
    await found(store, "films")
    open_write = await begun(store, announce((0,)))
    other = await begun(store, announce((0,), "films"))
    await store.queue_repairs("books", {1: "a"}, "test")
    with pytest.raises(MappingChanged):
        await store.delete_index("books", "films", new_task())
    task = await store.delete_index("books", "books", new_task(type="indexDeletion", details={}))
    assert await store.get_task(task.uid) == task
    assert await store.open_intents() == [other]
    assert set(await store.load_in_sync()) == {"films"}
    assert await store.list_repairs() == []
    with pytest.raises(IntentGone):
        await store.commit(outcome(open_write))
    with pytest.raises(MappingChanged):
        await begun(store, announce())
    assert len((await store.load_in_sync())["films"]) == SHARDS
