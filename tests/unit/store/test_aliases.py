"""Aliases in the store: versions, a bounded history, and names that are an alias's or an index's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from miroir.store import AliasRow, IndexMove, MappingChanged, NameTaken, Store
from tests.unit.store.samples import LATER, NOW, copies, found, index_row, new_task

ROW = AliasRow("shop", "single", ("shop_v1",), 0, None, NOW, NOW)


async def test_flips_are_versions_and_the_newest_are_kept(store: Store) -> None:
    row = await store.put_alias(ROW, 3)
    assert row == replace(ROW, version=1)
    for number in range(2, 6):
        row = await store.put_alias(replace(row, targets=(f"shop_v{number}",), created_at="x", updated_at=LATER), 3)
    assert row == AliasRow("shop", "single", ("shop_v5",), 5, None, NOW, LATER)
    assert await store.list_aliases() == [row]
    history = await store.alias_history("shop")
    assert [(flip.version, flip.targets) for flip in history] == [
        (5, ("shop_v5",)),
        (4, ("shop_v4",)),
        (3, ("shop_v3",)),
    ]


async def test_a_row_of_another_version_changes_nothing(store: Store) -> None:
    row = await store.put_alias(ROW, 3)
    for version in (0, 2):
        with pytest.raises(MappingChanged):
            await store.put_alias(replace(row, version=version, targets=("other",)), 3)
        with pytest.raises(MappingChanged):
            await store.delete_alias("shop", version)
    assert await store.list_aliases() == [row]
    await store.delete_alias("shop", 1)
    assert await store.list_aliases() == []
    assert await store.alias_history("shop") == []
    assert (await store.put_alias(ROW, 3)).version == 1


async def test_an_alias_and_an_index_never_share_a_name(store: Store) -> None:
    await found(store, "books")
    with pytest.raises(NameTaken):
        await store.put_alias(replace(ROW, name="books"), 3)
    await store.put_alias(ROW, 3)
    with pytest.raises(NameTaken):
        await store.insert_index(index_row("shop"), copies())
    with pytest.raises(NameTaken):
        await store.move_indexes([IndexMove("books", "books", "shop")], new_task(None), lambda _: None)
    assert [row.uid for row in await store.list_indexes()] == ["books"]
