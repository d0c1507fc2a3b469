"""Holds over a real store: who waits, who does not, and for how long."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from threading import Event
from time import time

import pytest
import trio
import trio.testing

from miroir.cluster import Holds
from miroir.errors import ApiError
from miroir.store import Begin, HoldRow, Intent
from tests.unit.cluster.memory_node import INDEX, Fleet, fleet
from tests.unit.cluster.topologies import plain


@pytest.fixture
async def held(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with fleet(tmp_path, plain(1, 2, 1)) as opened:
        await opened.add_index(4)
        yield opened


def _begin(*shards: int) -> Begin:
    return Begin(index_uid=INDEX, physical_uid=INDEX, shards=shards, topology_version=1, peer="p")


def _nothing(_: Intent) -> None:
    """Takes no place."""


async def test_writes_to_held_shards_wait_and_others_do_not(held: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits is woken by the release, long before looking again by itself."""
    monkeypatch.setattr("miroir.cluster.holds._POLL_S", 1000.0)
    holds = Holds(held.store)
    began: list[Intent] = []

    async def write() -> None:
        await holds.begin(_begin(1, 2), began.append, patience_s=30)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery, holds.hold("move", INDEX, (2, 3), 60_000):
            nursery.start_soon(write)
            await holds.begin(_begin(0, 1), _nothing, patience_s=0)
            with pytest.raises(ApiError, match="move"):
                await holds.begin(_begin(3), _nothing, patience_s=0)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert began == []
            assert len(await held.store.open_intents()) == 1
    assert [intent.shards for intent in began] == [(1, 2)]


async def test_patience_ends(held: Fleet) -> None:
    """503 that may be tried again; and nothing is left behind."""
    holds = Holds(held.store)
    async with holds.hold("move", INDEX, (), 60_000):
        with trio.fail_after(60), pytest.raises(ApiError) as refused:
            await holds.begin(_begin(0), _nothing, patience_s=0.12)
    assert refused.value.code == "miroir_overloaded"
    assert refused.value.status == 503
    assert "retry-after" in refused.value.headers
    assert await held.store.open_intents() == []


async def test_a_hold_ends_with_its_block_however_it_ends(held: Fleet) -> None:
    holds = Holds(held.store)
    with pytest.raises(RuntimeError, match="on purpose"):
        async with holds.hold("move", INDEX, (0,), 60_000):
            raise RuntimeError("on purpose")
    await holds.begin(_begin(0), _nothing, patience_s=0)
    with trio.CancelScope() as scope:
        async with holds.hold("move", INDEX, (0,), 60_000):
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    await holds.begin(_begin(0), _nothing, patience_s=0)


async def test_a_hold_that_is_cancelled_while_it_is_placed(tmp_path: Path) -> None:
    """In the very transaction that places it: nobody hears of it, yet it must not outlive the operation."""
    armed, entered, go_on = Event(), Event(), Event()

    def clock_us() -> int:
        """Read on the store's thread, within each transaction."""
        if armed.is_set():
            armed.clear()
            entered.set()
            go_on.wait(10)
        return int(time() * 1e6)

    async def place(holds: Holds) -> None:
        async with holds.hold("move", INDEX, (0,), 60_000):
            raise AssertionError("cancelled before")

    async with fleet(tmp_path, plain(1, 2, 1), clock_us) as opened:
        await opened.add_index(4)
        holds = Holds(opened.store)
        async with trio.open_nursery() as nursery:
            armed.set()
            nursery.start_soon(place, holds)
            with trio.fail_after(60):
                while not entered.is_set():
                    await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
            go_on.set()
        await holds.begin(_begin(0), _nothing, patience_s=0)


async def test_another_process_s_hold_binds_until_it_lapses(held: Fleet) -> None:
    """Nobody here is woken by it; its time runs out, or its row goes."""
    holds = Holds(held.store)
    await held.store.place_hold(HoldRow("of another", INDEX, (0,), int(time() * 1000) + 150))
    with trio.fail_after(60):
        await holds.begin(_begin(0), _nothing, patience_s=9)
    await held.store.place_hold(HoldRow("of another", INDEX, (0,), int(time() * 1000) + 60_000))
    with pytest.raises(ApiError, match="of another"):
        await holds.begin(_begin(0), _nothing, patience_s=0)
    await held.store.release_hold("of another", INDEX)
    await holds.begin(_begin(0), _nothing, patience_s=0)
