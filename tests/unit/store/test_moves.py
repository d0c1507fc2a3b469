"""Moving names: all at once or not at all, in order with writes, and what earlier tasks are called then."""

from __future__ import annotations

from typing import Any

import pytest

from miroir.store import Held, IndexMove, MappingChanged, Moved, NameChange, Settle, Store, TaskQuery
from tests.unit.store.samples import LATER, NOW, announce, copies, found, index_row, new_task


async def _move(store: Store, *moves: IndexMove) -> Moved:
    heard: list[Moved] = []
    task = await store.move_indexes(moves, new_task(None, type="indexSwap", details={"swaps": []}), heard.append)
    (moved,) = heard
    assert moved.task == task
    return moved


async def _mapping(store: Store) -> dict[str, str]:
    return {row.uid: row.physical_uid for row in await store.list_indexes()}


async def test_two_indexes_exchange_their_names(store: Store) -> None:
    a = await found(store, "a")
    b, _ = await store.insert_index(index_row("b", primary_key="id"), copies())
    before = await store.add_task(new_task("a", physical_uid="a"))
    await store.add_task(new_task("c", physical_uid="c"))
    moved = await _move(store, IndexMove("a", "a", "b"), IndexMove("b", "b", "a", LATER))
    assert await _mapping(store) == {"a": "b", "b": "a"}
    assert moved.waits_for == {before.uid}
    rows = {row.uid: row for row in moved.rows}
    assert (rows["b"].primary_key, rows["b"].updated_at) == (None, NOW)
    assert (rows["a"].primary_key, rows["a"].updated_at) == ("id", LATER)
    assert min(row.revision for row in moved.rows) > max(a.revision, b.revision)
    assert (await store.open_tasks())[-1] == moved.task


async def test_what_is_not_as_it_was_is_not_moved(store: Store) -> None:
    await found(store, "a")
    await store.insert_index(index_row("b"), copies())
    for moves in (
        [IndexMove("a", "other", "c")],
        [IndexMove("none", "none", "c")],
        [IndexMove("a", "a", "b")],
        [IndexMove("a", "a", "c"), IndexMove("b", "other", "a")],
    ):
        with pytest.raises(MappingChanged):
            await _move(store, *moves)
    assert await _mapping(store) == {"a": "a", "b": "b"}
    assert await store.open_tasks() == []


async def test_a_move_waits_for_writes_on_their_way(store: Store) -> None:
    row = await found(store, "a")
    intent = await store.begin(announce(uid="a"), lambda _: None)
    with pytest.raises(Held):
        await _move(store, IndexMove("a", "a", "b"))
    with pytest.raises(Held):
        await store.replace_index("a", index_row("a", "fresh", revision=row.revision), copies())
    await store.withdraw(intent.stamp, verify=False)
    await _move(store, IndexMove("a", "a", "b"))
    with pytest.raises(MappingChanged):
        await store.begin(announce(uid="a"), lambda _: None)


async def test_an_index_begins_anew(store: Store) -> None:
    row = await found(store, "a")
    renewed = await store.replace_index("a", index_row("a", "fresh", revision=row.revision), copies("xy"))
    assert await store.list_indexes() == [renewed]
    assert await store.list_garbage() == ["a"]
    assert await store.load_in_sync() == {"fresh": copies("xy")}
    with pytest.raises(MappingChanged):
        await store.replace_index("fresh", row, copies())


async def _settle(store: Store, *names: NameChange) -> int:
    task = await store.add_task(new_task(None, type="indexSwap", details={"swaps": []}))
    await store.settle(Settle(task.uid, "succeeded", (), {"swaps": []}, None, NOW, LATER, names=names))
    return task.uid


async def test_a_renaming_exchanges_the_names_of_earlier_tasks(store: Store) -> None:
    uids = [(await store.add_task(new_task(name))).uid for name in ("a", "b", "c", "a")]
    await _settle(store, NameChange("a", "b", both=True))
    after = await store.add_task(new_task("a"))
    names = [task.index_uid for uid in (*uids, after.uid) if (task := await store.get_task(uid))]
    assert names == ["b", "a", "c", "b", "a"]
    listed = await store.list_tasks(TaskQuery(index_uids=frozenset({"b"})))
    assert {task.uid for task in listed.tasks} == {uids[0], uids[3]}


async def test_a_swap_renames_those_of_its_first_index(store: Store) -> None:
    uids = [(await store.add_task(new_task(name))).uid for name in ("a", "b")]
    await _settle(store, NameChange("a", "b", both=False))
    assert [task.index_uid for uid in uids if (task := await store.get_task(uid))] == ["b", "b"]


async def test_earlier_swaps_name_what_is_called_so_now(store: Store) -> None:
    def swap(*names: str) -> dict[str, Any]:
        return {"swaps": [{"indexes": list(names), "rename": False}]}

    uids = [
        (await store.add_task(new_task(None, type="indexSwap", details=swap(*names)))).uid
        for names in (("a", "b"), ("c", "b"), ("ab", "c"), ("a", "c"))
    ]
    await _settle(store, NameChange("a", "b", both=False))
    assert [task.details for uid in uids if (task := await store.get_task(uid))] == [
        swap("b", "a"),
        swap("c", "b"),
        swap("ab", "c"),
        swap("b", "c"),
    ]
    await _settle(store, NameChange("c", "d", both=True), NameChange("d", "e", both=True))
    assert [task.details for uid in uids if (task := await store.get_task(uid))] == [
        swap("b", "a"),
        swap("e", "b"),
        swap("ab", "e"),
        swap("b", "e"),
    ]
