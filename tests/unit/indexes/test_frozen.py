"""An index that was frozen is written to again when its change is taken back, not only when it is committed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from miroir.indexes import Registry
from miroir.indexes.alignment import NotAligned
from miroir.indexes.broadcast import BroadcastKnobs, SettingsBroadcast
from miroir.indexes.node_index import NodeIndex
from miroir.indexes.versions import NodeVersions
from miroir.nodes import NodeTaskView
from miroir.store import NodeTask, StoreUnavailable
from miroir.tasks import TaskTracker
from tests.unit.cluster.memory_node import INDEX, fleet
from tests.unit.cluster.topologies import plain
from tests.unit.store.samples import new_task


class _Refusing:
    """Stands in for the aligner: the node that comes second cannot do the change.

    `store_away`: when it is taken back then, the store cannot be told what nodes have.
    """

    def __init__(self, *, store_away: bool) -> None:
        self._store_away = store_away
        self._refused = False

    async def align(self, physical_uid: str, node: str) -> bool:
        await trio.lowlevel.checkpoint()
        if self._refused and self._store_away:
            raise StoreUnavailable("away")
        if node == "meili-1":
            self._refused = True
            view: Any = NodeTaskView(uid=1, status="failed")
            raise NotAligned("it failed", view)
        return False


@pytest.mark.parametrize("store_away", [False, True])
async def test_a_frozen_index_thaws_when_its_change_is_taken_back(tmp_path: Path, store_away: bool) -> None:
    async with fleet(tmp_path, plain(1, 2, 2)) as running:
        running.all_identified()
        await running.add_index(2)
        (row,) = await running.store.list_indexes()
        await running.store.update_index(replace(row, frozen=True))
        registry = Registry(exact_ties=True)
        registry.load(await running.store.list_indexes())
        tracker = TaskTracker(running.cluster, running.store, lambda _, text: text, lambda _: None)
        aligner: Any = _Refusing(store_away=store_away)
        phases: Any = _Quiet()
        broadcast = SettingsBroadcast(
            running.cluster,
            running.store,
            tracker,
            registry,
            NodeVersions(running.cluster, running.store, registry),
            aligner,
            NodeIndex(exact_ties=True, anti_entropy=True),
            phases,
            BroadcastKnobs(1.0, 1, True, in_turn=True),
        )
        part = NodeTask("meili-0", "life of meili-0", 7, (), "succeeded")
        details = {"_change": '{"stopWords":["the"]}'}
        new = new_task(INDEX, type="settingsUpdate", details=details, physical_uid=INDEX, node_tasks=(part,))
        task = await running.store.add_task(new)
        broadcast.load([task])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tracker.run)
            nursery.start_soon(broadcast.run)
            with trio.fail_after(60):
                while (known := await running.store.get_task(task.uid)) is None or known.status == "enqueued":
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        assert known.status == "failed"
        assert [row.frozen for row in await running.store.list_indexes()] == [False]
        assert not registry.get(INDEX).row.frozen


class _Quiet:
    def settings_phase(self, index: str, phase: int) -> None:
        """Nobody counts."""

    def settings_mismatched(self) -> None:
        """Nobody counts."""
