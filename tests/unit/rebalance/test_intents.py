"""Intents that were left behind, over a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from miroir.rebalance import IntentExpiry
from miroir.store import Intent, IntentGone, Store
from miroir.store.sqlite import open_sqlite
from miroir.store.sqlite.backend import wall_clock_us
from tests.client import eventually
from tests.unit.store.samples import announce, begun, found, outcome


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with await open_sqlite(tmp_path / "store.db") as opened:
        await found(opened)
        yield opened


async def test_the_shards_of_a_dead_process_are_verified_at_once(store: Store) -> None:
    left = await begun(store, announce((1, 3), peer="gone"))
    running = await begun(store, announce((0,), peer="alive"))
    await IntentExpiry(store).expire_left_behind(frozenset({"gone"}))
    assert await store.open_intents() == [running]
    assert {(repair.shard, repair.node) for repair in await store.list_repairs()} == {(1, None), (3, None)}
    with pytest.raises(IntentGone):
        await store.commit(outcome(left))
    assert (await store.commit(outcome(running))).task.status == "enqueued"


async def test_nobody_dead_means_nothing_expires(store: Store) -> None:
    intent = await begun(store, announce((1,), peer="alive"))
    await IntentExpiry(store).expire_left_behind(frozenset())
    assert await store.open_intents() == [intent]
    assert await store.list_repairs() == []


async def test_an_intent_of_a_minute_expires_by_itself_and_a_younger_one_stays(tmp_path: Path) -> None:
    ages_s = [61, 50]
    async with await open_sqlite(
        tmp_path / "aging.db", clock_us=lambda: wall_clock_us() - (ages_s[0] * 1_000_000 if ages_s else 0)
    ) as store:
        await found(store)
        await begun(store, announce((1,)))
        ages_s.pop(0)
        young = await begun(store, announce((2,)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(IntentExpiry(store).run)
            await eventually(lambda: _are_open(store, [young]), what="the old one expired")
            nursery.cancel_scope.cancel()
        assert {(repair.shard, repair.node) for repair in await store.list_repairs()} == {(1, None)}


async def _are_open(store: Store, intents: list[Intent]) -> bool:
    return await store.open_intents() == intents
