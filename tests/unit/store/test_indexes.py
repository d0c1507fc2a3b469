"""The registry: inserted if absent, changed by revision, and names of physical indexes given out once."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio

from miroir.store import MappingChanged, Store, TaskQuery, TopologyRow
from tests.unit.store.places import Place
from tests.unit.store.samples import Clock, copies, found, index_row, new_task, settlement


async def test_insert_is_if_absent(store: Store) -> None:
    first, inserted = await store.insert_index(index_row("b", primary_key="id", frozen=True), copies("a"))
    assert inserted
    assert first == index_row("b", primary_key="id", frozen=True, revision=first.revision)
    present, inserted = await store.insert_index(index_row("b", "b-2"), copies("xyz"))
    assert (present, inserted) == (first, False)
    second, _ = await store.insert_index(index_row("a"), copies("a"))
    assert second.revision > first.revision
    assert await store.list_indexes() == [second, first]
    assert await store.load_in_sync() == {"a": copies("a"), "b": copies("a")}


async def test_an_in_sync_set_is_never_empty_from_the_start(store: Store) -> None:
    with pytest.raises(ValueError, match="empty"):
        await store.insert_index(index_row(), {0: frozenset("a"), 1: frozenset()})
    assert await store.list_indexes() == []


async def test_an_index_changes_by_revision(store: Store) -> None:
    row = await found(store)
    changed = await store.update_index(replace(row, settings=b'{"x":1}', primary_key="id"))
    assert changed.revision > row.revision
    assert await store.list_indexes() == [changed]
    for stale in (row, replace(row, uid="unknown")):
        with pytest.raises(MappingChanged):
            await store.update_index(stale)
    assert await store.list_indexes() == [changed]


async def test_a_physical_name_is_given_out_once_for_ever(place: Place, clock: Clock) -> None:
    store = await place.open(clock)
    assert await store.next_physical_uid("books") == "books"
    second = await store.next_physical_uid("books")
    await store.insert_index(index_row("books", second), copies())
    await store.delete_index("books", second, new_task())
    await store.forget_garbage(second)
    await store.aclose()
    store = await place.open(clock)
    third = await store.next_physical_uid("books")
    assert len({"books", second, third}) == 3
    assert second.startswith("_miroir_")
    assert second.endswith("_books")
    # An index that was found on the nodes and never asked for a name has taken it all the same.
    await store.insert_index(index_row("films"), copies())
    await store.delete_index("films", "films", new_task())
    assert await store.next_physical_uid("films") != "films"
    long = "x" * 512
    names = [await store.next_physical_uid(long) for _ in range(3)]
    assert names[0] == long
    assert max(map(len, names[1:])) <= 512
    # Nor can a uid that looks like a generated name get one that was given out.
    taken = await store.next_physical_uid(third)
    assert taken != third
    await store.aclose()


async def test_a_deleted_index_is_garbage_until_the_nodes_dropped_it(store: Store) -> None:
    await found(store, "b")
    await found(store, "a")
    await store.delete_index("b", "b", new_task())
    await store.delete_index("a", "a", new_task())
    assert await store.list_garbage() == ["a", "b"]
    await store.forget_garbage("a")
    assert await store.list_garbage() == ["b"]


async def test_only_one_of_many_inserts(store: Store) -> None:
    winners: list[str] = []

    async def insert(number: int) -> None:
        row, inserted = await store.insert_index(index_row("books", f"books-{number}"), copies())
        if inserted:
            winners.append(row.physical_uid)

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(insert, number)
    assert winners == [(await store.list_indexes())[0].physical_uid]


async def test_topology_is_compared_and_set(store: Store) -> None:
    assert await store.load_topology() is None
    assert not await store.save_topology(TopologyRow(2, b"two"))
    assert await store.save_topology(TopologyRow(1, b"one"))
    saved: list[int] = []

    async def save(number: int) -> None:
        if await store.save_topology(TopologyRow(2, str(number).encode())):
            saved.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(save, number)
    assert len(saved) == 1
    assert await store.load_topology() == TopologyRow(2, str(saved[0]).encode())


async def test_a_creation_is_taken_back_only_where_nobody_was_told_of_the_index(store: Store) -> None:
    """Neither its own task counts, nor what was before it, nor what is of other indexes, nor our own."""
    row = replace(await found(store), created_at="2026-03-01T12:00:00.5Z")
    rollback = new_task(type="indexDeletion", origin="rollback")
    await store.add_task(new_task(enqueued_at="2026-03-01T12:00:00.4Z"))
    await store.add_task(new_task("films", physical_uid="films"))
    await store.add_task(new_task(physical_uid="books", origin="primary_key"))
    creation = await store.add_task(new_task(type="indexCreation", physical_uid="books"))
    assert not await store.take_back_index(row, rollback)
    assert not await store.take_back_index(row, rollback, creation.uid - 1)
    told = await store.add_task(new_task("called otherwise", physical_uid="books"))
    assert not await store.take_back_index(row, rollback, creation.uid)
    assert len(await store.list_indexes()) == 1
    await store.settle(settlement(told))
    await store.delete_tasks(TaskQuery(uids=frozenset({told.uid})), told.uid + 1, 1)
    assert await store.take_back_index(row, rollback, creation.uid)
    assert await store.list_indexes() == []
    assert await store.list_garbage() == ["books"]
    with pytest.raises(MappingChanged):
        await store.take_back_index(row, rollback, creation.uid)
