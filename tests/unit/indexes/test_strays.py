"""Indexes on a node that nobody knows: dropped when they are ours and an hour old, and only then."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import trio

from miroir.cluster import SCRATCH_PREFIX, Lanes
from miroir.indexes import GarbageCollector, Strays
from miroir.indexes.settings import node_settings
from miroir.nodes import NodeAnswerError
from tests.unit.cluster.memory_node import INDEX, Fleet, MemoryNode, fleet
from tests.unit.cluster.topologies import plain
from tests.unit.store.samples import new_task

HOUR_S = 3600.0
OURS = node_settings({}, primary_key="id", exact_ties=True, anti_entropy=True, node=None)
FOREIGN: dict[str, Any] = {"filterableAttributes": ["_miroir_shard"], "rankingRules": ["words"]}


class Disks:
    """What stands-ins for nodes have on their disks, and what they were told to drop."""

    def __init__(self, running: Fleet) -> None:
        self.running = running
        self.indexes: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in running.nodes}
        self.broken: set[str] = set()
        for node in running.nodes.values():
            self._serve(node)
        absent: Any = None
        garbage = GarbageCollector(running.cluster, running.store, absent, absent, Lanes())
        self.strays = Strays(running.cluster, running.store, garbage)

    def _serve(self, node: MemoryNode) -> None:
        async def names() -> list[str]:
            await trio.lowlevel.checkpoint()
            if node.id in self.broken:
                raise NodeAnswerError(node.id, 500, b"")
            return list(self.indexes[node.id])

        async def settings(name: str) -> dict[str, Any]:
            await trio.lowlevel.checkpoint()
            return self.indexes[node.id][name]

        node.index_names = names  # type: ignore[method-assign]
        node.settings = settings  # type: ignore[method-assign, assignment]

    async def dropped(self, *times_s: float) -> set[tuple[str, str]]:
        """What was dropped by looks at these times."""
        for node in self.running.nodes.values():
            node.received.clear()
        for now_s in times_s:
            await self.strays.look(now_s)
        return {
            (name, call.target.removeprefix("/indexes/"))
            for name, node in self.running.nodes.items()
            for call in node.received
            if call.method == "DELETE"
        }


@pytest.fixture
async def disks(tmp_path: Path) -> AsyncIterator[Disks]:
    """`books` is known; `old` was, and nobody wants it dropped any more."""
    async with fleet(tmp_path, plain(1, 3, 2)) as running:
        running.all_identified()
        await running.add_index(4)
        assert await running.store.next_physical_uid("old") == "old"
        yield Disks(running)


async def test_what_is_ours_and_unknown_for_an_hour_is_dropped_where_it_is(disks: Disks) -> None:
    generated = await disks.running.store.next_physical_uid("old")
    disks.indexes["meili-0"] = {INDEX: OURS, "old": OURS, "_miroir_meta": {}}
    disks.indexes["meili-1"] = {INDEX: OURS, generated: {}}
    assert await disks.dropped(0.0, HOUR_S - 1) == set()
    assert await disks.dropped(HOUR_S) == {("meili-0", "old"), ("meili-1", generated)}


async def test_what_is_not_proved_to_be_ours_is_left_alone(disks: Disks) -> None:
    disks.indexes["meili-0"] = {
        "old": FOREIGN,  # a name of ours, an index of the operator's
        "theirs": OURS,  # of another Miroir, perhaps
        "_miroir_7_other": OURS,
        "_miroir_meta": {},
        "_miroir_scratch": {},
    }
    assert await disks.dropped(0.0, HOUR_S, 2 * HOUR_S) == set()


async def test_a_scratch_index_that_nobody_dropped_is_dropped(disks: Disks) -> None:
    """Its node made it when nobody waited for its verdict any more."""
    scratch = f"{SCRATCH_PREFIX}_{uuid4().hex}"
    disks.indexes["meili-1"] = {scratch: {}, INDEX: OURS}
    assert await disks.dropped(0.0, HOUR_S - 1) == set()
    assert await disks.dropped(HOUR_S) == {("meili-1", scratch)}


async def test_an_hour_begins_anew_for_what_was_gone_meanwhile(disks: Disks) -> None:
    disks.indexes["meili-0"] = {"old": OURS}
    await disks.dropped(0.0)
    disks.indexes["meili-0"] = {}
    await disks.dropped(100.0)
    disks.indexes["meili-0"] = {"old": OURS}
    assert await disks.dropped(200.0, HOUR_S + 199.0) == set()
    assert await disks.dropped(HOUR_S + 200.0) == {("meili-0", "old")}


async def test_what_is_known_to_be_garbage_is_the_collectors(disks: Disks) -> None:
    await disks.running.store.delete_index(INDEX, INDEX, new_task(type="indexDeletion"))
    disks.indexes["meili-0"] = {INDEX: OURS}
    assert await disks.dropped(0.0, HOUR_S) == set()
    await disks.running.store.forget_garbage(INDEX)
    assert await disks.dropped(HOUR_S, 2 * HOUR_S) == {("meili-0", INDEX)}


async def test_a_node_that_does_not_answer_keeps_nobody_from_the_others(disks: Disks) -> None:
    disks.indexes["meili-0"] = disks.indexes["meili-1"] = {"old": OURS}
    disks.broken.add("meili-0")
    assert await disks.dropped(0.0, HOUR_S) == {("meili-1", "old")}
