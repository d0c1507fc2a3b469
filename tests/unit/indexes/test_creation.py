"""Changes of indexes that fail while others write to them already. In-memory stand-ins are the nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio

from miroir.cluster import Holds, Lanes, Operation, Writer
from miroir.errors import ApiError
from miroir.indexes import Index, IndexService, Registry
from miroir.indexes.node_index import NodeIndex
from miroir.nodes import NodeCall, Refused, Unsent
from miroir.store import NewTask, TaskRow
from miroir.tasks import TaskTracker, now_text
from tests.unit.cluster.memory_node import Fleet, MemoryNode, fleet
from tests.unit.cluster.topologies import plain

SHARDS = 4


@dataclass
class Bench:
    fleet: Fleet
    registry: Registry
    indexes: IndexService
    writer: Writer

    async def write(self, index: Index, shards: tuple[int, ...]) -> TaskRow:
        """What a client's documents on these shards come to."""
        operation = Operation(
            index_uid=index.uid,
            physical_uid=index.physical_uid,
            index_shards=SHARDS,
            shards=shards,
            calls=lambda _intent, _shards: [NodeCall("documents", "POST", "/documents")],
            task=NewTask(index.uid, "documentAdditionOrUpdate", {}, now_text()),
        )
        return (await self.writer.write(operation)).task

    def only_on(self, node: str) -> tuple[int, ...]:
        return self.fleet.cluster.placement(SHARDS).shards_of_node[node]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Two nodes, one copy of everything; the second is away."""
    async with fleet(tmp_path, plain(1, 2, 1)) as running:
        running.all_identified()
        for node in running.nodes.values():
            _make_empty(node)
        running.nodes["meili-1"].answers.append(Unsent("away"))
        registry = Registry(exact_ties=True)
        tracker = TaskTracker(running.cluster, running.store, lambda _, text: text, lambda _: None)
        writer = Writer(
            running.cluster,
            running.store,
            Holds(running.store),
            Lanes(),
            tracker.follow,
            peer="p1",
            policy="in_sync",
            node_timeout_s=20.0,
            patience_s=5.0,
        )
        indexes = IndexService(
            running.cluster,
            running.store,
            writer,
            tracker,
            registry,
            node_index=NodeIndex(exact_ties=True, anti_entropy=True),
            default_shards=SHARDS,
        )
        yield Bench(running, registry, indexes, writer)


def _make_empty(node: MemoryNode) -> None:
    async def has_index(physical_uid: str) -> bool:
        await trio.lowlevel.checkpoint()
        return False

    node.has_index = has_index  # type: ignore[method-assign]  # the stand-in does as it is told


async def test_a_creation_that_does_not_stand_is_taken_back(bench: Bench) -> None:
    with pytest.raises(ApiError, match="does not stand"):
        await bench.indexes.create("films", None)
    assert bench.registry.find("films") is None
    assert await bench.fleet.store.list_indexes() == []


async def test_documents_that_were_acknowledged_meanwhile_keep_the_index(bench: Bench) -> None:
    """The part of the node that is there was taken, and documents for it too, before it is clear that all is lost."""
    written: list[TaskRow] = []

    async def late(_: NodeCall) -> None:
        bench.fleet.nodes["meili-1"].before_answering = None
        written.append(await bench.write(bench.registry.get("films"), bench.only_on("meili-0")))

    bench.fleet.nodes["meili-1"].before_answering = late
    with pytest.raises(ApiError, match="does not stand"):
        await bench.indexes.create("films", None)
    assert [task.index_uid for task in written] == ["films"]
    assert [row.uid for row in await bench.fleet.store.list_indexes()] == ["films"]
    assert bench.registry.find("films") is not None
    assert await bench.fleet.repairs() == {(shard, None) for shard in range(SHARDS)}, "nodes are given it by repair"
    assert await bench.fleet.store.list_garbage() == []


async def test_a_first_primary_key_stays_where_documents_may_have_been_written_by_it(bench: Bench) -> None:
    """One node does not answer: the key is not everywhere, but who saw it in the registry has written by it."""
    bench.fleet.nodes["meili-1"].answers.clear()
    await bench.indexes.create("films", None)

    async def late(_: NodeCall) -> None:
        bench.fleet.nodes["meili-1"].before_answering = None
        seen = bench.registry.get("films")
        assert seen.row.primary_key == "id"
        await bench.write(seen, bench.only_on("meili-0"))

    bench.fleet.nodes["meili-1"].before_answering = late
    bench.fleet.nodes["meili-1"].answers.append(Unsent("away"))
    with pytest.raises(ApiError, match="does not stand"):
        await bench.indexes.set_primary_key("films", "id")
    assert bench.registry.get("films").row.primary_key == "id"
    assert [row.primary_key for row in await bench.fleet.store.list_indexes()] == ["id"]
    assert {(shard, None) for shard in range(SHARDS)} <= await bench.fleet.repairs()


async def test_a_first_primary_key_that_nodes_refuse_is_taken_back(bench: Bench) -> None:
    bench.fleet.nodes["meili-1"].answers.clear()
    await bench.indexes.create("films", None)
    for node in bench.fleet.nodes.values():
        node.answers.append(Refused(400, b'{"message":"no","code":"bad_request","type":"invalid_request","link":""}'))
    with pytest.raises(ApiError, match="no"):
        await bench.indexes.set_primary_key("films", "id")
    assert bench.registry.get("films").row.primary_key is None
    assert [row.primary_key for row in await bench.fleet.store.list_indexes()] == [None]


async def test_a_first_primary_key_and_a_commit_of_settings_do_not_undo_each_other(bench: Bench) -> None:
    """Settings are committed at any time: a first write that brings the key meanwhile must not be refused for it."""
    bench.fleet.nodes["meili-1"].answers.clear()
    await bench.indexes.create("films", None)
    row = bench.registry.get("films").row
    settings = b'{"filterableAttributes":["year"]}'
    await bench.fleet.store.update_index(replace(row, settings=settings, settings_version=2))
    await bench.indexes.set_primary_key("films", "id")
    (kept,) = await bench.fleet.store.list_indexes()
    assert (kept.primary_key, kept.settings, kept.settings_version) == ("id", settings, 2)
    assert bench.registry.get("films").row == kept


async def test_of_two_first_primary_keys_one_stands(bench: Bench) -> None:
    bench.fleet.nodes["meili-1"].answers.clear()
    await bench.indexes.create("films", None)
    row = bench.registry.get("films").row
    await bench.fleet.store.update_index(replace(row, primary_key="sku"))
    with pytest.raises(ApiError, match="changed at the same time"):
        await bench.indexes.set_primary_key("films", "id")
    assert [row.primary_key for row in await bench.fleet.store.list_indexes()] == ["sku"]
